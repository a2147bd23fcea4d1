"""Why the cluster ended a leg: one rule for each way in which it says so.

A program that is told to stop exits the same way whoever told it. Who did, says the Job (its
conditions, its suspension, its absence) or the pod (its disruption). The first rule that applies
counts: what we did ourselves, then what was done to the pod, then the rest.

Source:
    Kubernetes 1.35 (Job conditions, DisruptionTarget), Kueue 0.14 (Workload conditions), all seen on
    the real thing by the tests in tests/cluster.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lowtide.legs import LegEnd, StopCause
from lowtide.manifest import STOP_ANNOTATION
from lowtide.objects import Document, any_condition, changed_at, condition, part, time_of
from lowtide.pod_facts import PodFacts


class State(StrEnum):
    """Everything that a leg on a cluster can be. The values are shown to people and programs."""

    ABSENT = "absent"
    STARTING = "starting"
    WAITING_FOR_QUOTA = "waiting-for-quota"
    QUEUED = "queued"
    UNSCHEDULABLE = "unschedulable"
    IMAGE_ERROR = "image-error"
    REFUSED = "refused"
    RUNNING = "running"
    COMPLETED = "completed"
    PROGRAM_FAILED = "program-failed"
    OUT_OF_MEMORY = "out-of-memory"
    PREEMPTED = "preempted"
    EVICTED = "evicted"
    NODE_LOST = "node-lost"
    DEADLINE = "deadline"
    STOPPED = "stopped"
    WITHDRAWN = "withdrawn"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the cluster holds about a leg, as the API server returns it.

    Attributes:
        job: The Job; None when there is none.
        pods: Its pods.
        workload: Kueue's Workload of the Job; None when there is none.
        events: Events of the Job, oldest first; needed only while it has no pod.
        ahead: How many Workloads are before it in its queue; None when unknown.
    """

    job: Document | None
    pods: Sequence[Document] = ()
    workload: Document | None = None
    events: Sequence[Document] = ()
    ahead: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why the cluster ended a leg.

    Attributes:
        state: What it is then.
        end: The end it means; None: the exit code decides.
        at: When it was said.
        why: One sentence.
    """

    state: State
    at: datetime | None
    why: str
    end: LegEnd | None = None


STATE_OF_END: Mapping[LegEnd, State] = {
    LegEnd.COMPLETED: State.COMPLETED,
    LegEnd.FAILED: State.PROGRAM_FAILED,
    LegEnd.PREEMPTED: State.EVICTED,
    LegEnd.DEADLINE: State.DEADLINE,
    LegEnd.STOPPED: State.STOPPED,
    LegEnd.WITHDRAWN: State.WITHDRAWN,
    LegEnd.LOST: State.GONE,
}


def verdict_of(evidence: Evidence, facts: PodFacts) -> Verdict | None:
    """Return why the cluster ended the leg; None as long as it has not said so."""
    return next(
        (found for look in _VERDICTS if (found := look(evidence, facts)) is not None), None
    )


def _by_completion(evidence: Evidence, _facts: PodFacts) -> Verdict | None:
    for kind in ("Complete", "SuccessCriteriaMet"):
        found = condition(evidence.job, kind)
        if found:
            at = changed_at(found)
            return Verdict(state=State.COMPLETED, at=at, why="the program ended by itself")
    return None


def _by_stop(evidence: Evidence, _facts: PodFacts) -> Verdict | None:
    cause = stop_cause(evidence)
    failed = _failure(evidence)
    if cause is None or not (failed or is_suspended(evidence)):
        return None
    end = _ENDS_OF_STOPS[cause]
    at = changed_at(failed) or _suspended_at(evidence)
    return Verdict(state=STATE_OF_END[end], end=end, at=at, why=_WHY_STOPPED[cause])


_ENDS_OF_STOPS: Mapping[StopCause, LegEnd] = {
    "limit": LegEnd.DEADLINE,
    "stop": LegEnd.STOPPED,
    "preempt": LegEnd.PREEMPTED,
    # Should it have started in the very moment of its withdrawal, it ran, and is paid for.
    "start-by": LegEnd.STOPPED,
}
_WHY_STOPPED: Mapping[StopCause, str] = {
    "limit": "its run-time limit is used up",
    "stop": "it was asked to stop",
    "preempt": "its capacity was given away",
    "start-by": "it was not to start that late",
}


def _by_disruption(_evidence: Evidence, facts: PodFacts) -> Verdict | None:
    if facts.disruption is None:
        return None
    state, why = _DISRUPTIONS.get(facts.disruption, (State.EVICTED, "its pod was disrupted"))
    return Verdict(state=state, end=LegEnd.PREEMPTED, at=None, why=f"{why} ({facts.disruption})")


_DISRUPTIONS: Mapping[str, tuple[State, str]] = {
    "PreemptionByScheduler": (State.PREEMPTED, "a pod of a higher priority took its place"),
    "EvictionByEvictionAPI": (State.EVICTED, "its pod was evicted"),
    "TerminationByKubelet": (State.EVICTED, "its node shut down or ran short"),
    "DeletionByTaintManager": (State.NODE_LOST, "its node was tainted: unreachable or reclaimed"),
    "DeletionByPodGC": (State.NODE_LOST, "its node is gone"),
}


def _by_failure(evidence: Evidence, facts: PodFacts) -> Verdict | None:
    failed = _failure(evidence)
    if not failed:
        return None
    at, message = changed_at(failed), str(failed.get("message", ""))
    if failed.get("reason") == "DeadlineExceeded":
        why = "its run-time limit is used up"
        return Verdict(state=State.DEADLINE, end=LegEnd.DEADLINE, at=at, why=why)
    if failed.get("reason") == "PodFailurePolicy":
        return Verdict(state=State.EVICTED, end=LegEnd.PREEMPTED, at=at, why=message)
    if facts.was_deleted and facts.exit_code in _TOLD_TO_END:
        why = "somebody deleted its pod"
        return Verdict(state=State.EVICTED, end=LegEnd.PREEMPTED, at=at, why=why)
    return Verdict(state=State.PROGRAM_FAILED, at=at, why=message)


# What a program exits with that was sent a SIGTERM: by itself, or killed after its grace period.
_TOLD_TO_END = frozenset({143, -9})


def _by_kueue(evidence: Evidence, facts: PodFacts) -> Verdict | None:
    if not is_suspended(evidence) or generation(evidence) == 1:
        return None
    # No longer true once Kueue has given it a place anew: it then tries in vain to start it again.
    evicted = any_condition(evidence.workload, "Evicted")
    reason = evicted.get("reason", "")
    at = changed_at(evicted) or _suspended_at(evidence)
    if reason == "DeactivatedDueToMaximumExecutionTimeExceeded":
        why = "Kueue ended it: its maximum execution time is used up"
        return Verdict(state=State.DEADLINE, end=LegEnd.DEADLINE, at=at, why=why)
    if not evicted and facts.started_at is not None:
        return None  # its reason is on its way, by another watch
    if not evicted:
        why = "somebody changed its Job, and a leg starts once"
        return Verdict(state=State.PREEMPTED, end=LegEnd.PREEMPTED, at=at, why=why)
    message = str(evicted.get("message", reason)).removeprefix("Previously: ")
    why = f"Kueue took it back: {message}"
    return Verdict(state=State.PREEMPTED, end=LegEnd.PREEMPTED, at=at, why=why)


def _by_deletion(evidence: Evidence, facts: PodFacts) -> Verdict | None:
    deleted_at = None
    if evidence.job is not None:
        deleted_at = time_of(evidence.job["metadata"].get("deletionTimestamp"))
        if deleted_at is None:
            return None
    is_told = facts.exit_code is None or facts.exit_code in _TOLD_TO_END
    return Verdict(
        state=State.EVICTED,
        end=LegEnd.PREEMPTED if is_told else None,
        at=deleted_at,
        why="somebody deleted its Job",
    )


# The first that applies counts: what we did ourselves, then what was done to the pod, then the rest.
_VERDICTS: tuple[Callable[[Evidence, PodFacts], Verdict | None], ...] = (
    _by_completion,
    _by_stop,
    _by_disruption,
    _by_failure,
    _by_kueue,
    _by_deletion,
)


def _failure(evidence: Evidence) -> Document:
    return condition(evidence.job, "Failed") or condition(evidence.job, "FailureTarget")


def stop_cause(evidence: Evidence) -> StopCause | None:
    """Return why we asked the leg to end; None where we did not."""
    cause = part(evidence.job, "metadata", "annotations").get(STOP_ANNOTATION)
    return next((known for known in _ENDS_OF_STOPS if known == cause), None)


def _suspended_at(evidence: Evidence) -> datetime | None:
    return changed_at(condition(evidence.job, "Suspended"))


def generation(evidence: Evidence) -> int:
    """Return how often the Job's spec was changed, 1 for never: a queued leg that waits untouched."""
    return int(part(evidence.job, "metadata").get("generation", 1))


def is_suspended(evidence: Evidence) -> bool:
    """Say whether the Job may not run: it waits for Kueue, or was taken back."""
    return bool(part(evidence.job, "spec").get("suspend"))


def is_ending(job: Document) -> bool:
    """Say whether a Job's end is decided: asked for by us, or seen by its controller."""
    kinds = ("Complete", "SuccessCriteriaMet", "Failed", "FailureTarget")
    is_asked = STOP_ANNOTATION in part(job, "metadata", "annotations")
    return is_asked or any(condition(job, kind) for kind in kinds)
