"""The safety net: whatever a policy would like, the deadline is kept.

Slack is the time to the deadline beyond the work left. Only three things use it up: waiting, and
the changeover of each new leg, and nothing else. A run that does not run must keep one changeover
of slack, to start on demand. So it may start on spot while it has two (one for this leg, one for
the leg on demand after it is taken away), and wait for one poll while it has one and a poll. The
net acts before the larger of the two is out of reach; from then on the run stays on demand, where
nothing uses slack up. This holds for any availability, so no policy can break it.

Source:
    Wu et al., "Can't Be Late: Optimizing Spot Instance Savings under Deadlines" (NSDI 2024),
    section 3.3, with the poll period as an extra margin.
"""

from datetime import datetime, timedelta

from lowtide.decision import Action, Decision
from lowtide.job import CapacityAsk
from lowtide.policy.observation import EPSILON_S, Observation
from lowtide.words import show_duration


def safety_net(seen: Observation) -> Decision | None:
    """Return what the deadline leaves no choice about; None where a policy may choose.

    A run is freed again only when a new forecast gives it two changeovers and a poll of slack.
    """
    if seen.deadline is None or seen.terms is CapacityAsk.SPOT:
        return None
    if seen.work_left_s <= 0:
        reason = "the work has outlived its forecast, so it stays on demand until it is done"
        return Decision(action=Action.RUN_ON_DEMAND, reason=reason, latched=seen.latched)
    if seen.latched and not _freed(seen):
        reason = "the deadline leaves no time for another change, so it stays on demand"
        return Decision(action=Action.RUN_ON_DEMAND, reason=reason, latched=True)
    if seen.held is None and at_risk(seen):
        reason = (
            f"{show_duration(max(0.0, seen.slack_s))} of slack are left, and the deadline needs "
            f"{show_duration(reserve_s(seen))}: on demand from here on"
        )
        return Decision(action=Action.RUN_ON_DEMAND, reason=reason, latched=True)
    return None


def reserve_s(seen: Observation) -> float:
    """Return the slack below which the net acts, seconds: one changeover, and another or a poll."""
    changeover_s = seen.changeover_s_max
    return changeover_s + max(changeover_s, seen.poll_s)


def at_risk(seen: Observation, *, lost_s: float = 0.0) -> bool:
    """Return whether a run that leaves its capacity now, or has none, could miss the deadline.

    Args:
        seen: What is known.
        lost_s: Seconds of training that leaving would lose.
    """
    return seen.slack_s - lost_s < reserve_s(seen) - EPSILON_S


def act_at(seen: Observation) -> datetime | None:
    """Return when the net would act if the run waited until then; None where it never does."""
    if seen.deadline is None or seen.terms is CapacityAsk.SPOT:
        return None
    return seen.now + timedelta(seconds=seen.slack_s - reserve_s(seen))


def _freed(seen: Observation) -> bool:
    return seen.slack_s > 2 * seen.changeover_s_max + seen.poll_s
