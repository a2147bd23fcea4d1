"""The train flow: looks at what is, does the next step, and looks again.

It is level-triggered, like a Kubernetes controller. It remembers nothing that it could not read
again, so it may be killed at any line and run again by anyone: the ledger says who owns the run,
the runner says how its legs are, and `lowtide.steps.next_step` says what comes next.
"""

from contextlib import closing
from typing import Any

from prefect import Flow, flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled, Completed, Failed

from blocks.settings import Settings
from blocks.world import World, open_world
from flows.approval import ask_for_approval, is_for_a_person
from flows.form import asked_in_a_form
from lowtide.another_start import Chance
from lowtide.ask import TrainAsk
from lowtide.identity import scheduled_key
from lowtide.steps import Outcome, Step, next_step
from lowtide.verdict import Refused
from tasks.budget import check_budget
from tasks.claim import Attached, Owned, claim
from tasks.defer import defer_run, wait_in_place
from tasks.look import look
from tasks.monitor import monitor_epochs
from tasks.need import need_of
from tasks.plan import Plan, plan_run
from tasks.recommend import recommend
from tasks.report import report
from tasks.settle import settle_costs
from tasks.submit import submit_job
from tasks.trial import left_alone
from tasks.unwatched import stop_and_settle


def _name() -> str:
    """Name the flow run as a person would: what is trained, and how much of it."""
    ask: Any = flow_run.parameters["ask"]
    job = TrainAsk.model_validate(ask).job
    return f"{job.name}, {job.epochs} epochs"


def _end_its_leg(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """End the training of a run that was cancelled, at a checkpoint, and settle it.

    Runs in another process than the flow did, so all it has is the flow run.
    """
    _ = flow, state
    with closing(open_world(Settings())) as world:
        stop_and_settle(world, flow_run=str(flow_run.id))


@asked_in_a_form
@flow(name="train", flow_run_name=_name, on_cancellation=[_end_its_leg], persist_result=False)
def train(ask: TrainAsk, world: World | None = None) -> State[Any]:
    """Train one job within its budget, or say what is short.

    Args:
        ask: What is asked for.
        world: The outside world; None: the one that the settings describe.

    Returns:
        Completed with the run's id, `Cancelled` named Refused or Stopped, or Failed, each with
        a sentence that says why. `Completed` named Attached: somebody else owns the run.
    """
    with closing(world or open_world(Settings())) as opened:
        claimed = claim(opened, ask, fallback_key=_key(), flow_run=str(flow_run.id))
        if isinstance(claimed, Attached):
            message = f"run {claimed.run} is owned by {claimed.owner}; nothing was touched"
            return Completed(name="Attached", message=message, data=claimed.run)
        try:
            return _drive(opened, left_alone(opened, claimed))
        finally:
            opened.ledger.drop_lease(claimed.lease, now=opened.now())


def _drive(world: World, owned: Owned) -> State[Any]:  # noqa: C901, PLR0912 - a case per step
    plan: Plan | None = None
    while True:
        until = None if plan is None else plan.until
        view = look(world, owned.run, owned.job, planned=plan is not None, later=until is not None)
        match next_step(view):
            case Step.CHECK_BUDGET:
                owned, chance = _gate(world, owned)
                if chance is not None and _put_off(world, owned, chance):
                    return _deferred(owned, chance)
            case Step.PLAN:
                plan = plan_run(world, owned)
            case Step.DEFER if plan is not None and until is not None:
                chance = Chance(at=until, reason=plan.reason)
                if _put_off(world, owned, chance):
                    return _deferred(owned, chance)
                plan = None
            case Step.SUBMIT:
                submit_job(world, owned, plan)
                plan = None
            case Step.MONITOR:
                monitor_epochs(world, owned, view.legs[-1].leg)
            case Step.SETTLE:
                settle_costs(world, owned)
            case Step.RECOMMEND:
                recommend(world, owned)
            case Step.REPORT:
                report(world, owned)
            case Step.DONE | Step.DEFER:
                return _end(world, owned.run, view.outcome)


def _gate(world: World, owned: Owned) -> tuple[Owned, Chance | None]:
    # Without a deployment Prefect could not start the flow again once somebody has answered.
    may_ask = deployment.id is not None
    verdict = check_budget(world, owned, may_ask=may_ask, may_wait=True)
    if isinstance(verdict, Chance):
        return owned, verdict
    if not (may_ask and isinstance(verdict, Refused) and is_for_a_person(owned, verdict)):
        return owned, None
    need = need_of(world, owned)
    if isinstance(need, Refused):
        return owned, None
    return ask_for_approval(world, owned, verdict, needed_usd=need.amount_usd), None


def _put_off(world: World, owned: Owned, chance: Chance) -> bool:
    """Have the run go on later, or wait here; say whether this flow is to end."""
    is_put_off = defer_run(world, owned, until=chance.at, reason=chance.reason)
    if not is_put_off:
        wait_in_place(world, owned, until=chance.at)
    return is_put_off


def _deferred(owned: Owned, chance: Chance) -> State[Any]:
    message = f"{owned.run}: {chance.reason}; goes on at {chance.at:%Y-%m-%d %H:%M} UTC"
    return Completed(name="Deferred", message=message)


def _end(world: World, run: str, outcome: Outcome | None) -> State[Any]:
    row = world.ledger.run(run)
    message = f"{run}: {row.message}" if row is not None else run
    match outcome:
        case Outcome.COMPLETED:
            return Completed(message=message, data=run)
        case Outcome.COMPLETED_EARLY:
            return Completed(name="CompletedEarly", message=message, data=run)
        case Outcome.REFUSED:
            return Cancelled(name="Refused", message=message)
        case Outcome.STOPPED:
            return Cancelled(name="Stopped", message=message)
        case _:
            return Failed(message=message)


def _key() -> str:
    """Return the key of a new run: the schedule's own moment, or this flow run.

    Both stay the same when the flow run is tried again; the first also when a redeployment
    schedules the same moment twice.
    """
    is_scheduled = "auto-scheduled" in (flow_run.tags or [])
    if is_scheduled and deployment.name is not None:
        return scheduled_key(deployment.name, flow_run.scheduled_start_time.isoformat())
    return f"flow-run:{flow_run.id}"
