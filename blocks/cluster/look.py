"""How a leg is: the evidence gathered, judged by the domain, and remembered.

What was once said about an end stays said. And should all trace of a leg vanish (its Job deleted, its
pod stripped of the finalizer), whoever saw it alive in this process still knows that it was there.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic

from blocks.cluster.view import Leg, View, Witness
from lowtide.leg_causes import generation
from lowtide.leg_state import Evidence, LegState, State, leg_state
from lowtide.legs import LegEnd
from lowtide.manifest import GRACE_ANNOTATION, LIMIT_ANNOTATION
from lowtide.objects import Document, part, time_of

_EVENTS_S = 3.0
_POD_WITHIN = timedelta(seconds=1)


def look(view: View, leg: Leg, *, now: datetime) -> tuple[LegState, Evidence]:
    """Return how a leg is, and what that follows from.

    Args:
        view: What this process knows of the namespace.
        leg: The leg.
        now: The time.

    Returns:
        The state, and the evidence.

    Raises:
        UnavailableError: contact with the API server is lost.
    """
    evidence = view.evidence(leg)
    known = view.witnessed.get(leg)
    if known is not None and known.state.phase == "ended":
        return known.state, evidence
    if evidence.job is not None and _needs_events(evidence, now=now):
        evidence = replace(evidence, events=_events(view, evidence.job))
    state = leg_state(evidence, now=now)
    if state.phase == "absent":
        if known is None:
            return state, evidence
        state = _lost(known, now=now)
    view.witnessed[leg] = Witness(state=state, at=now, longest=_longest(evidence, known))
    return state, evidence


def _needs_events(evidence: Evidence, *, now: datetime) -> bool:
    """Say whether only events tell why a Job has no pod, or whether it ever had one."""
    if evidence.pods:
        return False
    if part(evidence.job, "spec").get("suspend"):
        return generation(evidence) > 1
    started_at = time_of(part(evidence.job, "status").get("startTime"))
    return started_at is not None and now > started_at + _POD_WITHIN


def _events(view: View, job: Document) -> tuple[Document, ...]:
    """Return a Job's events, asked for at most once in a while."""
    uid = job["metadata"]["uid"]
    asked_s, known = view.events.get(uid, (-_EVENTS_S, ()))
    if monotonic() < asked_s + _EVENTS_S:
        return known
    namespace = job["metadata"]["namespace"]
    answer = view.jobs.api.get(
        f"/api/v1/namespaces/{namespace}/events", fieldSelector=f"involvedObject.uid={uid}"
    )
    events = tuple(sorted(answer["items"], key=_seen_at))
    view.events[uid] = (monotonic(), events)
    return events


def _seen_at(event: Document) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def _longest(evidence: Evidence, known: Witness | None) -> timedelta:
    annotations = part(evidence.job, "metadata", "annotations")
    if LIMIT_ANNOTATION not in annotations:
        return timedelta() if known is None else known.longest
    return timedelta(
        seconds=float(annotations[LIMIT_ANNOTATION]) + float(annotations[GRACE_ANNOTATION])
    )


def _lost(known: Witness, *, now: datetime) -> LegState:
    """Return the longest stretch that a vanished leg can have run; said once, it stays."""
    started_at = known.state.started_at or known.at
    return LegState(
        state=State.GONE,
        phase="ended",
        end=LegEnd.LOST,
        reason="its Job and its pod are gone, and its times with them",
        started_at=started_at,
        ended_at=min(now, started_at + known.longest),
        measured=False,
    )
