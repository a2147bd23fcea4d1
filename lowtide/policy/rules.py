"""The policies that follow a rule: run-now, off-peak, greedy, uniform-progress.

Each is asked only where the safety net leaves a choice. A decision holds until something changes
(capacity comes or goes, a rate or the forecast changes), or until the moment it names.
"""

from datetime import datetime, timedelta

from lowtide.decision import Action, Decision
from lowtide.job import CapacityAsk
from lowtide.legs import Capacity
from lowtide.policy.guard import act_at, at_risk
from lowtide.policy.observation import EPSILON_S, Observation, Tariff
from lowtide.words import show_duration


def run_now(seen: Observation) -> Decision:
    """Run at once, on demand; on spot only where the job accepts nothing else."""
    if seen.terms is CapacityAsk.SPOT:
        return greedy(seen)
    return Decision(action=Action.RUN_ON_DEMAND, reason="the policy is to run at once")


def off_peak(seen: Observation) -> Decision:
    """Run on demand while the rate is at its lowest, and pause in between where that pays.

    Pausing pays when the work left and one more changeover at the lowest rate cost less than the
    work left at the rate of now. What is urgent is never deferred for its price.
    """
    if seen.urgent or seen.terms is CapacityAsk.SPOT:
        return run_now(seen)
    usd_per_h = seen.on_demand_usd_per_h
    lowest_usd_per_h = min(tariff.usd_per_h for tariff in _in_time(seen))
    next_low = _next_at(seen, lowest_usd_per_h)
    if usd_per_h <= lowest_usd_per_h:
        reason = f"the on-demand rate is at its lowest, {usd_per_h:.4g} USD per hour"
        return Decision(action=Action.RUN_ON_DEMAND, reason=reason, until=_next_change(seen))
    left_s = seen.work_left_s
    later_s = left_s + seen.unsaved_s + seen.changeover_s
    finishing = seen.held is not None and usd_per_h * left_s <= lowest_usd_per_h * later_s
    if finishing or (seen.held is not None and at_risk(seen, lost_s=seen.unsaved_s)):
        reason = f"{show_duration(left_s)} are left: a pause would not pay, or not be in time"
        return Decision(action=Action.RUN_ON_DEMAND, reason=reason)
    reason = (
        f"on demand costs {usd_per_h:.4g} USD per hour now and {lowest_usd_per_h:.4g} "
        f"from {next_low:%d %b %H:%M} on"
    )
    return Decision(action=Action.WAIT, reason=reason, until=next_low)


def greedy(seen: Observation) -> Decision:
    """Run on spot whenever it is there, and wait otherwise; at once where spot is not accepted."""
    if seen.terms is CapacityAsk.ON_DEMAND:
        return run_now(seen)
    if seen.held is Capacity.SPOT:
        return _stay_on_spot()
    if seen.held is Capacity.ON_DEMAND and at_risk(seen, lost_s=seen.unsaved_s):
        return Decision(action=Action.RUN_ON_DEMAND, reason="there is no time for a change")
    if seen.takes_spot:
        return Decision(action=Action.RUN_SPOT, reason="spot capacity is there")
    reason = "there is no spot capacity, and the deadline leaves time to wait for it"
    return Decision(action=Action.WAIT, reason=reason)


def uniform_progress(seen: Observation) -> Decision:
    """Keep to the straight line from nothing done at the start to all done at the deadline.

    Behind the line and without spot, run on demand; ahead of it, take spot whenever it is there. On
    demand, a run moves to spot only when it will still be ahead two changeovers later, and stays
    while spot is absent. Without a deadline there is no line, and the rule is greedy.

    Source:
        Wu et al. (NSDI 2024), sections 3.3 and 5.2, in the variant of the authors' code that stays on
        demand while spot is absent.
    """
    if seen.deadline is None or seen.terms is CapacityAsk.ON_DEMAND:
        return greedy(seen)
    if seen.held is Capacity.SPOT:
        return _stay_on_spot()
    if seen.held is Capacity.ON_DEMAND:
        return _on_demand_by_the_line(seen, deadline=seen.deadline)
    return _idle_by_the_line(seen, deadline=seen.deadline)


def _idle_by_the_line(seen: Observation, *, deadline: datetime) -> Decision:
    if seen.takes_spot:
        return Decision(action=Action.RUN_SPOT, reason="spot capacity is there")
    ahead_s, pace = _ahead_s(seen, deadline=deadline, later_s=0.0)
    if ahead_s < -EPSILON_S:
        reason = f"the run is {show_duration(-ahead_s)} of work behind, and spot is absent"
        return Decision(action=Action.RUN_ON_DEMAND, reason=reason)
    reason = f"the run is {show_duration(ahead_s)} of work ahead, so it can wait for spot"
    behind_at = seen.now + timedelta(seconds=ahead_s / pace)
    return Decision(action=Action.WAIT, reason=reason, until=behind_at)


def _on_demand_by_the_line(seen: Observation, *, deadline: datetime) -> Decision:
    later_s = 2 * seen.changeover_s
    ahead_s, pace = _ahead_s(seen, deadline=deadline, later_s=later_s)
    if not seen.takes_spot:
        return Decision(
            action=Action.RUN_ON_DEMAND, reason="spot is absent, so it stays on demand"
        )
    if at_risk(seen, lost_s=seen.unsaved_s):
        return Decision(action=Action.RUN_ON_DEMAND, reason="there is no time for a change")
    if ahead_s >= -EPSILON_S:
        reason = (
            f"the run is ahead for two changeovers ({show_duration(later_s)}), and spot is there"
        )
        return Decision(action=Action.RUN_SPOT, reason=reason)
    reason = f"the run must be {show_duration(-ahead_s)} of work further to move to spot"
    catches_up_s = (seen.changeover_left_s - ahead_s) / (1 - pace) if pace < 1 else float("inf")
    left_s = (deadline - seen.now).total_seconds()
    return Decision(
        action=Action.RUN_ON_DEMAND,
        reason=reason,
        until=seen.now + timedelta(seconds=min(catches_up_s, left_s)),
    )


def _ahead_s(seen: Observation, *, deadline: datetime, later_s: float) -> tuple[float, float]:
    """Return how far the work done is ahead of the line a little later, and the line's slope."""
    run_s = (deadline - seen.ready_at).total_seconds()
    pace = seen.work_s / run_s if run_s > 0 else float("inf")
    elapsed_s = (seen.now - seen.ready_at).total_seconds()
    done_s = seen.work_s - seen.work_left_s - seen.unsaved_s
    return done_s - (elapsed_s + later_s) * pace, pace


def _stay_on_spot() -> Decision:
    return Decision(action=Action.RUN_SPOT, reason="it runs on spot, and stays while that lasts")


def _in_time(seen: Observation) -> tuple[Tariff, ...]:
    """Return the rates ahead, the present one first, that a run could still wait for."""
    present, *later = seen.tariffs_ahead
    latest = act_at(seen)
    return (present, *(tariff for tariff in later if latest is None or tariff.start <= latest))


def _next_at(seen: Observation, usd_per_h: float) -> datetime:
    starts = (
        max(tariff.start, seen.now)
        for tariff in seen.tariffs_ahead
        if tariff.usd_per_h <= usd_per_h
    )
    return next(starts, seen.now)


def _next_change(seen: Observation) -> datetime | None:
    return seen.tariffs_ahead[0].end if len(seen.tariffs_ahead) > 1 else None
