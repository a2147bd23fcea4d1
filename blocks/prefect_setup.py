"""What Prefect's server must know before a deployment can run: pool, queues, automations.

Everything here is level-triggered: it looks at what is there, makes what is missing, mends what
differs, and changes nothing where all is right.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.events.actions import RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from lowtide.announcements import EventName
from lowtide.errors import BadInputError
from lowtide.job import Priority

WORK_POOL = "lowtide"
QUEUES = {Priority.URGENT: 1, Priority.NORMAL: 2, Priority.BACKGROUND: 3}
BUDGET_CLOSE = "budget-close/budget-close"
CLOSE_AUTOMATION = "lowtide: close a spent budget"
TELL_AUTOMATION = "lowtide: tell a person"
TOLD = (
    EventName.BUDGET_THRESHOLD,
    EventName.RUN_REFUSED,
    EventName.LEG_PREEMPTED,
    EventName.FORECAST_BREACH,
    EventName.RUN_LATE,
)
"""What a person wants to be told at once; the other events are in Prefect's event feed."""


def ensure_pool(
    client: SyncPrefectClient, *, name: str = WORK_POOL, flow_runs_max: int = 3
) -> None:
    """Make the process work pool with its three queues, or mend what differs.

    Prefect serves the queue of the smaller number first, always: it has no ageing, and does not
    take a running flow's place away.

    Args:
        client: The server.
        name: Name of the pool.
        flow_runs_max: How many flow runs it runs at once.
    """
    try:
        pool = client.read_work_pool(name)
        if pool.concurrency_limit != flow_runs_max:
            client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=flow_runs_max))
    except ObjectNotFound:
        client.create_work_pool(
            WorkPoolCreate(
                name=name,
                type=ProcessWorker.type,
                description="Flows of lowtide, as processes of this machine.",
                base_job_template=ProcessWorker.get_default_base_job_template(),
                concurrency_limit=flow_runs_max,
            )
        )
    for priority, rank in QUEUES.items():
        _ensure_queue(client, priority.value, rank=rank, pool=name)
    # The pool's own queue, which nobody is sent to, must not stand before the urgent one.
    _ensure_queue(client, "default", rank=len(QUEUES) + 1, pool=name)


def _ensure_queue(client: SyncPrefectClient, name: str, *, rank: int, pool: str) -> None:
    # A new queue of a rank moves the others down, so each is read when its turn has come.
    try:
        queue = client.read_work_queue_by_name(name, work_pool_name=pool)
    except ObjectNotFound:
        client.create_work_queue(
            name,
            description=f"Flow runs of {name} jobs.",
            priority=rank,
            work_pool_name=pool,
        )
        return
    if queue.priority != rank:
        client.update_work_queue(queue.id, priority=rank)


def ensure_automations(client: SyncPrefectClient, *, notify: str | None = None) -> None:
    """Make the automations that listen to lowtide's events, or mend what differs.

    They are the second line: a budget's own mode ends its legs without any of them.

    Args:
        client: The server, with the deployments registered.
        notify: A saved notification block, as `slack-webhook/team`, that a person is told by;
            None leaves an automation that is there as it is.

    Raises:
        BadInputError: there is no such block.
    """
    deployment = client.read_deployment_by_name(BUDGET_CLOSE)
    wanted = [_closing(deployment.id)]
    if notify is not None:
        wanted.append(_telling(_block(client, notify)))
    for automation in wanted:
        found = client.read_automations_by_name(automation.name)
        if not found:
            client.create_automation(automation)
            continue
        for doubled in found[1:]:  # two `lowtide up` at the same moment
            client.delete_automation(doubled.id)
        if _differs(found[0], automation):
            client.update_automation(found[0].id, automation)


def _closing(deployment: UUID) -> AutomationCore:
    budget = {"__prefect_kind": "jinja", "template": "{{ event.payload.budget }}"}
    actions: list[Any] = [
        RunDeployment(
            source="selected",
            deployment_id=deployment,
            parameters={"ask": {"budget": budget}},
            job_variables=None,
        )
    ]
    return AutomationCore(
        name=CLOSE_AUTOMATION,
        description=(
            "A budget's charges reached 100 % of its limit: its background legs end at their "
            "next checkpoint."
        ),
        tags=["lowtide"],
        trigger=_on(
            [EventName.BUDGET_THRESHOLD],
            match={
                "prefect.resource.id": "lowtide.budget.*",
                "lowtide.percent": "100",
                "lowtide.of": "charged",
            },
        ),
        actions=actions,
    )


def _telling(block: UUID) -> AutomationCore:
    return AutomationCore(
        name=TELL_AUTOMATION,
        description="A budget's threshold, a refusal, a preemption, a forecast that breaks.",
        tags=["lowtide"],
        trigger=_on(TOLD, match={"prefect.resource.id": "lowtide.*"}),
        actions=[
            SendNotification(
                block_document_id=block,
                subject="{{ event.event }}: {{ event.resource.name }}",
                body="{% for key, value in event.payload.items() %}{{ key }}: {{ value }}\n"
                "{% endfor %}",
            )
        ],
    )


def _on(events: Sequence[EventName], *, match: dict[str, Any]) -> EventTrigger:
    return EventTrigger(
        expect={event.value for event in events},
        match=match,
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )


def _differs(there: AutomationCore, wanted: AutomationCore) -> bool:
    names = ("description", "trigger", "actions")
    return any(_plain(getattr(there, name)) != _plain(getattr(wanted, name)) for name in names)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any part of an automation
    """Return a part as the server compares it: without the ids that it gives to triggers."""
    if isinstance(value, list):
        return [_plain(each) for each in cast("list[Any]", value)]
    if isinstance(value, str):
        return value
    document: dict[str, Any] = value.model_dump(mode="json", exclude={"id"})
    return {
        key: sorted(each) if key in {"expect", "after", "for_each"} else each
        for key, each in document.items()
    }


def _block(client: SyncPrefectClient, named: str) -> UUID:
    slug, _, name = named.partition("/")
    try:
        return client.read_block_document_by_name(name, slug).id
    except (ObjectNotFound, ValueError):
        msg = "there is no such notification block"
        raise BadInputError(
            msg,
            where="notify",
            expected="type/name of a saved block, as slack-webhook/team",
            got=repr(named),
            remedy="create it in Prefect's UI under Blocks; `prefect block ls` lists them",
        ) from None
