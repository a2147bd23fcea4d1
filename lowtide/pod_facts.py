"""What a pod says about the program in it: when it ran, how it exited, why it does not start.

A pod outlives its program here, because the finalizer `lowtide.dev/settle` holds it until it is
billed, so in nearly every case the times are measured by the kubelet that ran it. Where they are not
(a node that vanished), the end is the latest moment that the pod's record allows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lowtide.manifest import CONTAINER
from lowtide.objects import (
    NOTHING,
    Document,
    any_condition,
    changed_at,
    condition,
    part,
    parts,
    time_of,
)

_KILLED = 137
_SIGKILL = -9
_LOG_LINES_MAX = 20
# A pod that should be gone for so long, and of which no kubelet has said that it is, has lost its node.
_SILENT = timedelta(seconds=30)
_FINAL_PHASES = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """What is known of the program in a leg's pod.

    Attributes:
        started_at: When the program started, if it did.
        ended_at: When it ended, if it did; where nobody measured it, the latest moment possible.
        measured: Whether both times are the kubelet's own.
        exit_code: Its exit code; a negative signal number where it was killed.
        out_of_memory: Whether the kernel killed it for its memory.
        disruption: Reason of the pod's DisruptionTarget condition, None where it has none.
        was_deleted: Whether somebody deleted the pod: a controller, a drain, a person.
        node: Where it ran.
        stuck: Why it cannot start: a reason and a message; None where nothing is wrong.
        unschedulable: The scheduler's message; None where it is scheduled.
        log_tail: Last lines of a failed program.
    """

    started_at: datetime | None = None
    ended_at: datetime | None = None
    measured: bool = True
    exit_code: int | None = None
    out_of_memory: bool = False
    disruption: str | None = None
    was_deleted: bool = False
    node: str | None = None
    stuck: tuple[str, str] | None = None
    unschedulable: str | None = None
    log_tail: tuple[str, ...] = ()

    @property
    def was_told_to_end(self) -> bool:
        """Whether anybody ended the program; if not, it ended by itself."""
        return self.was_deleted or self.disruption is not None or self.exit_code is None


def pod_facts(pod: Document, *, now: datetime) -> PodFacts:
    """Return what a pod's record says.

    Args:
        pod: The pod, as the API server returns it.
        now: The time.

    Returns:
        The facts.
    """
    container = _container(pod)
    terminated = part(container, "state", "terminated")
    running = part(container, "state", "running")
    started_at = time_of(terminated.get("startedAt") or running.get("startedAt"))
    ended_at = time_of(terminated.get("finishedAt")) if started_at else None
    measured = True
    if started_at is not None and ended_at is None and _is_over(pod, now=now):
        ended_at, measured = _latest_moment(pod, after=started_at), False
    exit_code = terminated.get("exitCode") if started_at else None
    return PodFacts(
        started_at=started_at,
        ended_at=ended_at,
        measured=measured,
        exit_code=_SIGKILL if exit_code == _KILLED else exit_code,
        out_of_memory=terminated.get("reason") == "OOMKilled",
        disruption=condition(pod, "DisruptionTarget").get("reason"),
        was_deleted="deletionTimestamp" in pod["metadata"],
        node=part(pod, "spec").get("nodeName"),
        stuck=_stuck(part(container, "state", "waiting")),
        unschedulable=_unschedulable(pod),
        log_tail=tuple(str(terminated.get("message") or "").splitlines()[-_LOG_LINES_MAX:]),
    )


def stretch(facts: Sequence[PodFacts]) -> PodFacts:
    """Return the facts of a leg's pods as if they were one: from the first start to the last end.

    There is one, by construction of the Job. Should a cluster ever run two, both are billed.
    """
    if len(facts) == 1:
        return facts[0]
    ran = [fact for fact in facts if fact.started_at is not None]
    if not ran:
        return facts[-1]
    still_running = [fact for fact in ran if fact.ended_at is None]
    last = (still_running or sorted(ran, key=lambda fact: str(fact.ended_at)))[-1]
    return PodFacts(
        started_at=min(fact.started_at for fact in ran if fact.started_at is not None),
        ended_at=last.ended_at,
        measured=all(fact.measured for fact in ran),
        exit_code=last.exit_code,
        out_of_memory=last.out_of_memory,
        disruption=last.disruption,
        was_deleted=last.was_deleted,
        node=last.node,
        log_tail=last.log_tail,
    )


def _container(pod: Document) -> Document:
    statuses = parts(pod, "status", "containerStatuses")
    return next((status for status in statuses if status.get("name") == CONTAINER), NOTHING)


def _is_over(pod: Document, *, now: datetime) -> bool:
    if part(pod, "status").get("phase") in _FINAL_PHASES:
        return True
    gone_by = time_of(pod["metadata"].get("deletionTimestamp"))
    return gone_by is not None and now > gone_by + _SILENT


def _latest_moment(pod: Document, *, after: datetime) -> datetime:
    return max([after, *(moment for moment in _moments(pod) if moment is not None)])


def _moments(pod: Document) -> Iterator[datetime | None]:
    yield time_of(pod["metadata"].get("deletionTimestamp"))
    for found in parts(pod, "status", "conditions"):
        yield changed_at(found)


def _stuck(waiting: Document) -> tuple[str, str] | None:
    reason = waiting.get("reason", "")
    if reason in {"", "ContainerCreating", "PodInitializing"}:
        return None
    return reason, waiting.get("message", "")


def _unschedulable(pod: Document) -> str | None:
    found = any_condition(pod, "PodScheduled")
    if found.get("status") == "False" and found.get("reason") == "Unschedulable":
        return str(found.get("message", ""))
    return None
