"""What a leg's Job, pod, Workload and events say about the leg: one pure table.

The one hard idea: a pod's end is not always the leg's end. A program that was told to stop exits the
same way whoever told it, so such a leg is judged only when the cluster has said why: the Job's
condition, its suspension by Kueue, or the pod's disruption. Those arrive within a moment of each
other, by different watches; until then the leg counts as running.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lowtide.leg_causes import (
    STATE_OF_END,
    Evidence,
    State,
    Verdict,
    generation,
    is_suspended,
    stop_cause,
    verdict_of,
)
from lowtide.legs import LegEnd, Phase, classify_exit
from lowtide.manifest import (
    GRACE_ANNOTATION,
    HOPELESS_ANNOTATION,
    IN_TIME_POLICY,
    LIMIT_ANNOTATION,
)
from lowtide.objects import any_condition, part, time_of
from lowtide.pod_facts import PodFacts, pod_facts, stretch
from lowtide.quantities import Shortage, parse_exceeded

__all__ = ["HOPELESS", "Evidence", "LegState", "State", "leg_state"]

HOPELESS = frozenset({State.IMAGE_ERROR, State.REFUSED})
"""Waiting states that no waiting can mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegState:
    """How a leg is.

    Attributes:
        state: One of the closed set.
        phase: The same, as coarse as every runner knows it.
        reason: One sentence for a person.
        end: How it ended; None until then.
        started_at: When its program started, if it did.
        ended_at: When it ended; a bound where `measured` is false.
        exit_code: Exit code of the program.
        measured: Whether both times are measured.
        position: Its place in Kueue's queue, from 1.
        shortages: Which quotas are short.
        log_tail: Last lines of a failed program.
    """

    state: State
    phase: Phase
    reason: str = ""
    end: LegEnd | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    measured: bool = True
    position: int | None = None
    shortages: tuple[Shortage, ...] = ()
    log_tail: tuple[str, ...] = ()


def leg_state(evidence: Evidence, *, now: datetime) -> LegState:
    """Say how a leg is.

    Args:
        evidence: What the cluster holds about it.
        now: The time, on the API server's clock give or take seconds.

    Returns:
        The state. An ended one follows from the evidence alone, whatever `now` is.

    Examples:
        >>> leg_state(Evidence(job=None), now=datetime(2026, 11, 23)).state
        <State.ABSENT: 'absent'>
    """
    if evidence.job is None and not evidence.pods:
        return LegState(state=State.ABSENT, phase="absent", reason="the cluster has no such leg")
    facts = stretch([pod_facts(pod, now=now) for pod in evidence.pods] or [PodFacts()])
    verdict = verdict_of(evidence, facts)
    if facts.started_at is not None:
        return _of_program(evidence, facts, verdict, now=now)
    if verdict is not None:
        return _never_started(evidence, verdict)
    return _waiting(evidence, facts)


# A pod that has ended, and of which no controller has said why for so long, is judged without them.
_VERDICT_WITHIN = timedelta(seconds=60)


def _of_program(
    evidence: Evidence, facts: PodFacts, verdict: Verdict | None, *, now: datetime
) -> LegState:
    """The program started."""
    running = LegState(
        state=State.RUNNING,
        phase="running",
        started_at=facts.started_at,
        reason=f"running on {facts.node}" if facts.node else "running",
    )
    if facts.ended_at is None:
        return running if verdict is None else replace(running, reason=f"ending: {verdict.why}")
    if not facts.was_told_to_end:
        verdict = None  # nobody did anything to it: its exit code says it all
    elif verdict is None and now < facts.ended_at + _VERDICT_WITHIN:
        return replace(running, reason="the program has ended; the cluster has not said why")
    ended_at = _capped(
        facts.ended_at, evidence, start=facts.started_at, is_bound=not facts.measured
    )
    return replace(
        _judged(facts, verdict),
        started_at=facts.started_at,
        ended_at=ended_at,
        exit_code=facts.exit_code,
        measured=facts.measured,
        log_tail=facts.log_tail,
    )


def _judged(facts: PodFacts, verdict: Verdict | None) -> LegState:
    if facts.exit_code == 0:
        return _ended(State.COMPLETED, LegEnd.COMPLETED, "the program ended by itself")
    if verdict is not None and verdict.end is not None:
        return _ended(verdict.state, verdict.end, verdict.why)
    if facts.exit_code is None:
        return _ended(State.NODE_LOST, LegEnd.PREEMPTED, "its node is gone, and its end with it")
    if facts.out_of_memory:
        why = "the program used more memory than it asked for, and was killed"
        return _ended(State.OUT_OF_MEMORY, LegEnd.FAILED, why)
    end = classify_exit(facts.exit_code, stop_cause=None)
    why = f"the program exited with {facts.exit_code}"
    if facts.log_tail:
        why += f": {facts.log_tail[-1]}"
    return _ended(STATE_OF_END[end], end, why)


def _never_started(evidence: Evidence, verdict: Verdict) -> LegState:
    """The cluster is done with the leg, and no pod says that its program ever ran."""
    if not evidence.pods and _had_a_pod(evidence):
        return _without_trace(evidence, verdict)
    note = part(evidence.job, "metadata", "annotations").get(HOPELESS_ANNOTATION)
    if note is not None:
        # It would fail again: counted as the job's own failure, though it cost nothing.
        state, _, why = str(note).partition(": ")
        return replace(_ended(State(state), LegEnd.FAILED, why), ended_at=verdict.at)
    withdrawn = _ended(State.WITHDRAWN, LegEnd.WITHDRAWN, f"it never started: {verdict.why}")
    return replace(withdrawn, ended_at=verdict.at)


def _without_trace(evidence: Evidence, verdict: Verdict) -> LegState:
    """There was a pod, and it is gone with its times: the longest stretch that is possible."""
    start = time_of(part(evidence.job, "status").get("startTime")) or time_of(
        part(evidence.job, "metadata").get("creationTimestamp")
    )
    is_complete = verdict.state is State.COMPLETED
    end = LegEnd.COMPLETED if is_complete else verdict.end or LegEnd.LOST
    return replace(
        _ended(verdict.state if verdict.end or is_complete else State.GONE, end, verdict.why),
        started_at=start,
        ended_at=_capped(verdict.at or start, evidence, start=start, is_bound=True),
        exit_code=0 if is_complete else None,
        measured=False,
    )


def _waiting(evidence: Evidence, facts: PodFacts) -> LegState:
    if is_suspended(evidence):
        return _queued(evidence)
    hopeless = _hopeless(evidence, facts)
    if hopeless is not None:
        return hopeless
    if facts.unschedulable is not None:
        return _wait(State.UNSCHEDULABLE, f"no node fits: {facts.unschedulable}")
    shortages = _shortages(evidence)
    if shortages:
        short = "; ".join(str(shortage) for shortage in shortages)
        return replace(_wait(State.WAITING_FOR_QUOTA, short), shortages=shortages)
    return _wait(State.STARTING, "its image is pulled" if evidence.pods else "it gets its pod")


def _queued(evidence: Evidence) -> LegState:
    if evidence.workload is None:
        return _wait(State.QUEUED, "Kueue has not seen it yet")
    found = any_condition(evidence.workload, "QuotaReserved")
    why = str(found.get("message") or "it waits for its turn")
    place = None if evidence.ahead is None else evidence.ahead + 1
    where = "" if place is None else f"number {place} in the queue: "
    return replace(_wait(State.QUEUED, f"{where}{why}"), position=place)


def _hopeless(evidence: Evidence, facts: PodFacts) -> LegState | None:
    """Say what no waiting can mend: an image that is not there, a pod that is not allowed."""
    if facts.stuck is not None:
        reason, message = facts.stuck
        return _wait(State.IMAGE_ERROR, f"{reason}: {message}" if message else reason)
    if evidence.pods or _shortages(evidence):
        return None
    refusal = _refusal(evidence)
    return None if refusal is None else _wait(State.REFUSED, f"its pod is refused: {refusal}")


def _refusal(evidence: Evidence) -> str | None:
    refused = [event for event in evidence.events if event.get("reason") == "FailedCreate"]
    message = str(refused[-1].get("message", "")) if refused else None
    # A pod that comes too late is refused by our own policy: that is a withdrawal, no failure.
    return None if message is None or IN_TIME_POLICY in message else message


def _shortages(evidence: Evidence) -> tuple[Shortage, ...]:
    refusal = _refusal(evidence)
    return () if refusal is None or evidence.pods else parse_exceeded(refusal)


def _had_a_pod(evidence: Evidence) -> bool:
    status = part(evidence.job, "status")
    counted = status.get("succeeded", 0) + status.get("failed", 0)
    created = any(event.get("reason") == "SuccessfulCreate" for event in evidence.events)
    # No event at all: they expire after an hour, and a suspended Job counts no pods. Then a leg that
    # left the queue has to count as one that ran.
    silent = not evidence.events and _left_the_queue(evidence)
    return bool(counted) or created or silent


def _left_the_queue(evidence: Evidence) -> bool:
    return is_suspended(evidence) and generation(evidence) > 1 and stop_cause(evidence) is None


def _capped(
    moment: datetime | None, evidence: Evidence, *, start: datetime | None, is_bound: bool
) -> datetime | None:
    """Return an end that is only a bound, never beyond what the run-time limit allows."""
    annotations = part(evidence.job, "metadata", "annotations")
    if moment is None or start is None or not is_bound or LIMIT_ANNOTATION not in annotations:
        return moment
    longest_s = float(annotations[LIMIT_ANNOTATION]) + float(annotations.get(GRACE_ANNOTATION, 0))
    return min(moment, start + timedelta(seconds=longest_s))


def _ended(state: State, end: LegEnd, reason: str) -> LegState:
    return LegState(state=state, phase="ended", end=end, reason=reason)


def _wait(state: State, reason: str) -> LegState:
    return LegState(state=state, phase="waiting", reason=reason)
