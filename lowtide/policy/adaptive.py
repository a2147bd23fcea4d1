"""The adaptive policy: what is cheapest in expectation, for what is known of spot so far.

It asks the tables of `lowtide.policy.tables` what each choice costs in the end. Unlike the rules it
waits when spot is likely to come soon and starts on demand when it is not, whether the run is ahead
or behind; it leaves on demand to wait for spot; and it lets a short-lived offer pass when a changeover
would eat it up. Two things keep it honest where the zone is not what it seems. The safety net acts
first, as for every policy. And neither waiting nor going back to spot may use up more than a share of
the slack that uniform progress would still have: what is kept is worth most when the model is wrong.
The tables are solved within that rule; a plan that counts on slack it may not use is a bad plan.
"""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import groupby

from lowtide.decision import Action, Decision
from lowtide.job import CapacityAsk
from lowtide.legs import Capacity
from lowtide.policy.guard import at_risk, reserve_s
from lowtide.policy.observation import Observation, Tariff
from lowtide.policy.rules import greedy, uniform_progress
from lowtide.policy.tables import Holding, Question, Tables, solve, state_of
from lowtide.policy.zone import NO_SPOT
from lowtide.words import show_duration

KEPT_SHARE = 0.6
"""Share of uniform progress's slack that neither waiting nor leaving on demand may touch."""

_SLOTS_MAX = 480
_SLACK_SLOTS_MAX = 144
_CHANGEOVER_SLOTS_MAX = 8
_PRICE_STEP = 0.25
_CHOICES = tuple(Holding)
_HELD = {
    None: Holding.NOTHING,
    Capacity.SPOT: Holding.SPOT,
    Capacity.ON_DEMAND: Holding.ON_DEMAND,
}
_ACTION = {
    Holding.NOTHING: Action.WAIT,
    Holding.SPOT: Action.RUN_SPOT,
    Holding.ON_DEMAND: Action.RUN_ON_DEMAND,
}
_DOING = {
    Holding.NOTHING: "waiting",
    Holding.SPOT: "spot",
    Holding.ON_DEMAND: "on demand",
}


def adaptive(seen: Observation) -> Decision:
    """Choose what costs least in expectation, with the deadline and a share of the slack kept.

    Without a deadline waiting costs nothing, so the rule is greedy; without a spot price nothing can
    be compared, so it is uniform progress.
    """
    if seen.deadline is None or seen.terms is CapacityAsk.SPOT:
        return greedy(seen)
    on_demand_only = seen.terms is CapacityAsk.ON_DEMAND
    spot_usd_per_h = seen.on_demand_usd_per_h if on_demand_only else seen.spot.usd_per_h
    if not spot_usd_per_h:
        return uniform_progress(seen)
    held = _HELD[seen.held]
    tables = _tables(seen, deadline=seen.deadline, spot_usd_per_h=spot_usd_per_h)
    slot_s = tables.question.slot_s
    unsaved = seen.unsaved_s / slot_s * seen.on_demand_usd_per_h / spot_usd_per_h
    regrets = _regrets(seen, tables, held=held, deadline=seen.deadline, unsaved=unsaved)
    # Among equals the run stays as it is.
    ranked = sorted(
        zip(regrets, [choice is not held for choice in _CHOICES], _CHOICES, strict=True)
    )
    (least, _, best), (more, _, second), _ = ranked
    usd = (more - least) * slot_s / 3600 * spot_usd_per_h
    # The longer spot lasts the longer it will: only a change can speak against staying.
    until = None if best is Holding.SPOT else seen.now + timedelta(seconds=slot_s)
    return Decision(
        action=_ACTION[best], reason=_reason(seen, best=best, second=second, usd=usd), until=until
    )


def _regrets(
    seen: Observation, tables: Tables, *, held: Holding, deadline: datetime, unsaved: float
) -> tuple[float, float, float]:
    """Return the regret of each of `_CHOICES`, in slots of spot; infinite where not allowed."""
    slot_s = tables.question.slot_s
    left_s = (deadline - seen.now).total_seconds()
    work = seen.work_left_s / slot_s
    may_spot = held is Holding.SPOT or seen.takes_spot
    # What a young leg has still to lose is as good as lost.
    slack = (left_s - seen.changeover_left_s) / slot_s - work
    nothing, spot, on_demand = tables.regrets(
        slots_left=min(left_s / slot_s, work + tables.question.slack_slots),
        slack=slack,
        holding=held,
        state=state_of(
            available=may_spot,
            age_s=seen.spot.age_s(seen.now),
            rhythm=seen.spot.rhythm,
        ),
    )
    if not may_spot:
        spot = math.inf
    kept_s = _kept_share(seen, run_s=(deadline - seen.ready_at).total_seconds()) * left_s
    if seen.slack_s < kept_s:
        nothing = math.inf
    if held is Holding.ON_DEMAND and seen.slack_s - seen.changeover_s < kept_s:
        spot = math.inf
    if held is Holding.NOTHING:
        return nothing, spot, on_demand
    leaving = math.inf if at_risk(seen, lost_s=seen.unsaved_s) else unsaved
    if held is Holding.SPOT:
        return nothing + leaving, spot, on_demand + leaving
    return nothing + leaving, spot + leaving, on_demand


def _kept_share(seen: Observation, *, run_s: float) -> float:
    """Return the slack that is kept, as a share of the time to the deadline."""
    return KEPT_SHARE * max(0.0, run_s - seen.work_s) / run_s


def _tables(seen: Observation, *, deadline: datetime, spot_usd_per_h: float) -> Tables:
    """Return the tables for a run; those of the last question are at hand, as most repeat it."""
    asked = (
        seen.zone,
        seen.on_demand,
        deadline,
        seen.ready_at,
        seen.work_s,
        seen.poll_s,
        seen.changeover_s,
        seen.changeover_s_max,
        seen.terms,
        spot_usd_per_h,
    )
    # To compare is much faster than to hash: what is the very same is not looked into.
    last_asked, tables = _LAST[0]
    if tables is None or last_asked != asked:
        question = _question(seen, deadline=deadline, spot_usd_per_h=spot_usd_per_h)
        tables = solve(question)
        _LAST[0] = (asked, tables)
    return tables


_LAST: list[tuple[tuple[object, ...], Tables | None]] = [((), None)]


def _question(seen: Observation, *, deadline: datetime, spot_usd_per_h: float) -> Question:
    run_s = (deadline - seen.ready_at).total_seconds()
    slot_s = max(seen.poll_s, run_s / _SLOTS_MAX, seen.changeover_s / _CHANGEOVER_SLOTS_MAX)
    slots = math.ceil(run_s / slot_s)
    slack_slots = math.ceil(max(run_s - seen.work_s, reserve_s(seen)) / slot_s)
    # In steps, so that a forecast that moves a little asks nothing new.
    slack_slots = min(_SLACK_SLOTS_MAX, 8 * math.ceil((slack_slots + 1) / 8))
    # Prices move often and little; the tables need not follow each step.
    usd_per_h = math.exp(_PRICE_STEP * round(math.log(spot_usd_per_h) / _PRICE_STEP))
    return Question(
        zone=NO_SPOT if seen.terms is CapacityAsk.ON_DEMAND else seen.zone,
        slot_s=slot_s,
        slots=slots,
        slack_slots=slack_slots,
        changeover_slots=seen.changeover_s / slot_s,
        reserve_slots=reserve_s(seen) / slot_s,
        # In steps too.
        kept_share=round(_kept_share(seen, run_s=run_s), 2),
        on_demand=_on_demand(
            seen.on_demand,
            deadline=deadline,
            slot_s=slot_s,
            slots=slots,
            spot_usd_per_h=usd_per_h,
        ),
    )


@lru_cache(maxsize=64)
def _on_demand(
    tariffs: tuple[Tariff, ...],
    *,
    deadline: datetime,
    slot_s: float,
    slots: int,
    spot_usd_per_h: float,
) -> tuple[tuple[int, float], ...]:
    """Return what slots on demand cost, in slots of spot, from the deadline backwards."""
    if len(tariffs) == 1:
        return ((slots, round(tariffs[0].usd_per_h / spot_usd_per_h, 4)),)

    def costs() -> Iterator[float]:
        current = len(tariffs) - 1
        for slot in range(slots):
            start = deadline - timedelta(seconds=slot_s * (slot + 0.5))
            while current > 0 and tariffs[current].start > start:
                current -= 1
            yield round(tariffs[current].usd_per_h / spot_usd_per_h, 4)

    return tuple((len(list(group)), cost) for cost, group in groupby(costs()))


def _reason(seen: Observation, *, best: Holding, second: Holding, usd: float) -> str:
    there = {True: "there", False: "absent", None: "unknown"}[seen.spot.available]
    age = show_duration(seen.spot.age_s(seen.now))
    if math.isinf(usd):
        why = "the slack that is kept in reserve leaves no other choice"
    else:
        why = f"expected to cost {usd:.3g} USD less in the end than {_DOING[second]}"
    slack = show_duration(max(0.0, seen.slack_s))
    return f"{_DOING[best]}: {why}; spot has been {there} for {age}, {slack} of slack are left"
