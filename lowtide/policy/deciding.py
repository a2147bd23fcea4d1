"""The one question: what now."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from lowtide.decision import Action, Decision
from lowtide.job import PolicyName
from lowtide.policy.adaptive import adaptive
from lowtide.policy.guard import act_at, safety_net
from lowtide.policy.lateness import lateness
from lowtide.policy.observation import Observation
from lowtide.policy.rules import greedy, off_peak, run_now, uniform_progress

POLICIES: Mapping[PolicyName, Callable[[Observation], Decision]] = MappingProxyType(
    {
        PolicyName.RUN_NOW: run_now,
        PolicyName.OFF_PEAK: off_peak,
        PolicyName.GREEDY: greedy,
        PolicyName.UNIFORM_PROGRESS: uniform_progress,
        PolicyName.ADAPTIVE: adaptive,
    }
)


def decide(seen: Observation) -> Decision:
    """Decide what a run should do now.

    The same observation has the same answer, in a back-test, in a real run, and when a stored
    decision is looked at again.

    Args:
        seen: All that is known.

    Returns:
        One of the closed set, with its reason and the moment to look again.

    Examples:
        >>> from datetime import datetime
        >>> from lowtide.policy.observation import Tariff
        >>> from lowtide.policy.sightings import Sightings
        >>> noon = datetime.fromisoformat("2026-11-23T12:00:00Z")
        >>> evening = datetime.fromisoformat("2026-11-23T22:00:00Z")
        >>> seen = Observation(
        ...     policy=PolicyName.UNIFORM_PROGRESS,
        ...     now=noon,
        ...     ready_at=noon,
        ...     deadline=evening,
        ...     work_s=6 * 3600,
        ...     work_left_s=6 * 3600,
        ...     work_left_s_p90=6 * 3600,
        ...     held=None,
        ...     changeover_s=300,
        ...     changeover_s_max=600,
        ...     poll_s=60,
        ...     on_demand=(Tariff(start=noon, end=evening, usd_per_h=1.0),),
        ...     spot=Sightings().seen(noon, available=True, usd_per_h=0.3),
        ... )
        >>> decide(seen)
        Decision(action=<Action.RUN_SPOT: 'run-spot'>, reason='spot capacity is there', ...)
    """
    if seen.money_left_usd is not None and seen.money_left_usd <= 0:
        return Decision(action=Action.STOP, reason="there is no money left for this run")
    decision = safety_net(seen) or POLICIES[seen.policy](seen)
    late = lateness(seen)
    if late is not None:
        decision = replace(decision, reason=f"{decision.reason}; {late.sentence}")
    net_acts_at = act_at(seen) if decision.action is Action.WAIT else None
    if net_acts_at is not None:
        # Whatever the policy waits for, the net must be asked in time.
        until = net_acts_at if decision.until is None else min(decision.until, net_acts_at)
        return replace(decision, until=until)
    return decision
