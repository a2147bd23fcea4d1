"""Policies as promises: no deadline is missed, more time never costs more, stored decisions repeat."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from lowtide.backtest import Ask, Market, simulate
from lowtide.decision import Action
from lowtide.job import CapacityAsk, PolicyName
from lowtide.legs import Capacity
from lowtide.policy import Observation, Sightings, Tariff, decide, read_observation
from tests.effort import at_most

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR_S = 3600.0
TICKS = 60
PROMISING = [
    PolicyName.RUN_NOW,
    PolicyName.OFF_PEAK,
    PolicyName.GREEDY,
    PolicyName.UNIFORM_PROGRESS,
    PolicyName.ADAPTIVE,
]


def seen_at(hours: float = 0.0, **changes: object) -> Observation:
    """Six hours of work to be done in ten, nothing held, spot seen at noon at a third of the price."""
    there = bool(changes.pop("there", True))
    plain = Observation(
        policy=PolicyName.UNIFORM_PROGRESS,
        now=NOON + timedelta(hours=hours),
        ready_at=NOON,
        deadline=NOON + timedelta(hours=10),
        work_s=6 * HOUR_S,
        work_left_s=6 * HOUR_S,
        work_left_s_p90=6 * HOUR_S,
        held=None,
        changeover_s=300.0,
        changeover_s_max=300.0,
        poll_s=60.0,
        on_demand=(Tariff(start=NOON, end=NOON + timedelta(hours=10), usd_per_h=1.0),),
        spot=Sightings().seen(NOON, available=there, usd_per_h=0.3),
    )
    return replace(plain, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("policy", PROMISING)
@settings(at_most(40), suppress_health_check=[HealthCheck.too_slow])
@given(
    available=st.lists(st.booleans(), min_size=TICKS, max_size=TICKS),
    spot_cents=st.lists(st.integers(5, 150), min_size=TICKS, max_size=TICKS),
    work_ticks=st.integers(1, 30),
    changeover_ticks=st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.7]),
    spare_ticks=st.integers(0, 20),
)
def test_a_feasible_job_is_never_late_whatever_spot_does(
    policy: PolicyName,
    available: list[bool],
    spot_cents: list[int],
    work_ticks: int,
    changeover_ticks: float,
    spare_ticks: int,
) -> None:
    gap_s = 600.0
    market = Market(
        gap_s=gap_s,
        available=np.array(available),
        spot_usd_per_h=np.array(spot_cents) / 100,
        on_demand_usd_per_h=np.ones(TICKS),
    )
    needed = work_ticks + changeover_ticks + max(changeover_ticks, 1.0)
    ask = Ask(
        work_s=work_ticks * gap_s,
        deadline_s=(needed + spare_ticks) * gap_s,
        changeover_s=changeover_ticks * gap_s,
    )

    result = simulate(market, ask, policy=policy)

    assert not result.missed(ask.deadline_s)


@pytest.mark.parametrize("policy", [PolicyName.GREEDY, PolicyName.UNIFORM_PROGRESS])
@given(
    hours=st.floats(0, 9),
    done_h=st.floats(0, 5.9),
    there=st.booleans(),
    held=st.sampled_from([None, Capacity.ON_DEMAND, Capacity.SPOT]),
    later_h=st.floats(0, 20),
)
def test_more_time_never_turns_waiting_into_on_demand(
    policy: PolicyName,
    hours: float,
    done_h: float,
    there: bool,
    held: Capacity | None,
    later_h: float,
) -> None:
    left_s = (6 - done_h) * HOUR_S
    seen = seen_at(
        hours, policy=policy, there=there, held=held, work_left_s=left_s, work_left_s_p90=left_s
    )
    assert seen.deadline is not None

    decision = decide(seen)
    later = decide(replace(seen, deadline=seen.deadline + timedelta(hours=later_h)))

    if decision.action is Action.WAIT:
        assert later.action is not Action.RUN_ON_DEMAND


@pytest.mark.parametrize("policy", list(PolicyName))
def test_a_stored_observation_is_decided_again_as_it_was(policy: PolicyName) -> None:
    seen = seen_at(3.0, policy=policy, there=False)

    assert decide(read_observation(seen.document())) == decide(seen)


@pytest.mark.parametrize("policy", list(PolicyName))
def test_every_decision_says_why_in_a_sentence(policy: PolicyName) -> None:
    for there in (True, False):
        assert len(decide(seen_at(1.0, policy=policy, there=there)).reason.split()) > 3


def test_the_net_lets_go_only_on_a_new_forecast_that_leaves_two_changeovers_and_a_poll() -> None:
    tight = seen_at(3.9, there=False, changeover_s_max=600.0)
    assert decide(tight).latched

    def freed(slack_s: float) -> bool:
        left_s = 6.1 * HOUR_S - slack_s
        return not decide(
            replace(
                tight,
                latched=True,
                held=Capacity.ON_DEMAND,
                work_left_s=left_s,
                work_left_s_p90=left_s,
            )
        ).latched

    assert not freed(2 * 600.0 + 60.0)
    assert freed(2 * 600.0 + 61.0)


def test_uniform_progress_stays_on_demand_while_spot_is_absent_even_when_ahead() -> None:
    ahead = seen_at(
        1.0,
        there=False,
        held=Capacity.ON_DEMAND,
        work_left_s=4 * HOUR_S,
        work_left_s_p90=4 * HOUR_S,
    )

    assert decide(ahead).action is Action.RUN_ON_DEMAND
    spot = Sightings().seen(NOON, available=True, usd_per_h=0.3)
    assert decide(replace(ahead, spot=spot)).action is Action.RUN_SPOT


def test_off_peak_does_not_wait_for_a_night_that_comes_too_late() -> None:
    def in_the_evening(hours: float) -> tuple[Tariff, ...]:
        evening, end = NOON + timedelta(hours=hours), NOON + timedelta(hours=24)
        return (
            Tariff(start=NOON, end=evening, usd_per_h=1.0),
            Tariff(start=evening, end=end, usd_per_h=0.5),
        )

    soon = decide(seen_at(policy=PolicyName.OFF_PEAK, on_demand=in_the_evening(3)))
    late = decide(seen_at(policy=PolicyName.OFF_PEAK, on_demand=in_the_evening(5)))

    assert (soon.action, soon.until) == (Action.WAIT, NOON + timedelta(hours=3))
    assert late.action is Action.RUN_ON_DEMAND


def test_where_spot_is_not_accepted_nobody_waits_for_it() -> None:
    for policy in (PolicyName.GREEDY, PolicyName.UNIFORM_PROGRESS):
        seen = seen_at(policy=policy, terms=CapacityAsk.ON_DEMAND, there=False)
        assert decide(seen).action is Action.RUN_ON_DEMAND


def test_without_money_the_run_stops() -> None:
    assert decide(seen_at(money_left_usd=Decimal(0))).action is Action.STOP
