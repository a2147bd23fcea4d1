"""Plans: never above running now, never worse for more freedom, and honest where nothing fits."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from lowtide.forecast import Range
from lowtide.job import CapacityAsk
from lowtide.legs import Capacity
from lowtide.plan import Kind, Plan, PlanAsk, Spot, make_plan
from lowtide.planning import Offer, cheapest_schedule
from lowtide.verdict import RefusalReason
from tests.effort import at_most

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR_S = 3600.0
HOURS = 36


@dataclass(frozen=True)
class Hour:
    start: datetime
    end: datetime
    usd_per_h: Fraction


def offer(cents: list[int], name: str = "t4") -> Offer:
    """A flavor with a price for each hour; the last one goes on."""
    prices = [*cents, *[cents[-1]] * (15 * 24)]
    return Offer(
        name=name,
        rates=[
            Hour(NOON + timedelta(hours=n), NOON + timedelta(hours=n + 1), Fraction(cent, 100))
            for n, cent in enumerate(prices)
        ],
    )


def asked(**changes: object) -> PlanAsk:
    """Four hours of work at noon, half the price from ten in the evening on."""
    plain = PlanAsk(
        time=Range(p10=3 * HOUR_S, p50=4 * HOUR_S, p90=5 * HOUR_S),
        now=NOON,
        offers=[offer([25] * 10 + [12] * 8 + [25])],
        deadline=NOON + timedelta(hours=HOURS),
        changeover_s=300.0,
    )
    return replace(plain, **changes)


def by_kind(plan: Plan) -> dict[Kind, Decimal]:
    return {option.kind: option.cost_usd.p50 for option in plan.options}


def test_the_cheap_night_is_first_and_now_is_what_it_saves_against() -> None:
    plan = make_plan(asked())

    assert by_kind(plan) == {Kind.OFF_PEAK: Decimal("0.48"), Kind.NOW: Decimal("1.00")}
    assert plan.best.start == NOON + timedelta(hours=10)
    assert plan.best.saves_usd == Decimal("0.52")
    assert plan.best.meets_deadline is True
    assert plan.verdict is None


def test_a_long_job_is_cut_where_a_changeover_costs_less_than_the_day() -> None:
    day_and_night = ([25] * 10 + [12] * 8 + [25] * 6) * 3
    plan = make_plan(
        asked(
            time=Range(p10=11 * HOUR_S, p50=12 * HOUR_S, p90=13 * HOUR_S),
            offers=[offer(day_and_night)],
            deadline=NOON + timedelta(hours=60),
        )
    )

    pieces = next(option for option in plan.options if option.kind is Kind.PIECES)
    assert len(pieces.stretches) == 2
    assert plan.best is pieces


def test_spot_is_drawn_as_a_range_and_the_same_job_has_the_same_plan() -> None:
    ask = asked(spot=Spot(usd_per_h=Fraction(7, 100)))

    first, again = make_plan(ask, paths=20), make_plan(ask, paths=20)

    kinds = set(by_kind(first))
    assert {Kind.SPOT, Kind.MIXED} <= kinds
    assert first.document() == again.document()
    spot = next(option for option in first.options if option.kind is Kind.SPOT)
    assert spot.capacity is Capacity.SPOT
    assert spot.cost_usd.p10 < spot.cost_usd.p90
    assert "20 drawn futures" in spot.risk


def test_what_must_not_wait_and_what_takes_spot_alone_have_no_other_options() -> None:
    spot = Spot(usd_per_h=Fraction(7, 100))

    assert set(by_kind(make_plan(asked(urgent=True)))) == {Kind.NOW}
    only_spot = make_plan(asked(spot=spot, terms=CapacityAsk.SPOT, deadline=None), paths=10)
    assert set(by_kind(only_spot)) == {Kind.SPOT}
    never_spot = make_plan(asked(spot=spot, terms=CapacityAsk.ON_DEMAND))
    assert set(by_kind(never_spot)) == {Kind.OFF_PEAK, Kind.NOW}


@pytest.mark.parametrize(
    ("deadline_h", "late", "what"),
    [(4, "1 h", "is too tight"), (-2, "7 h", "has passed")],
    ids=["too tight", "in the past"],
)
def test_a_deadline_that_nothing_meets_says_by_how_much_and_what_would_fit(
    deadline_h: int, late: str, what: str
) -> None:
    plan = make_plan(asked(deadline=NOON + timedelta(hours=deadline_h)))

    refused = plan.verdict
    assert refused is not None
    assert refused.reason is RefusalReason.DEADLINE
    assert late in refused.message
    assert what in refused.message
    assert "2026-11-23T17:01:00+00:00" in refused.remedy
    assert plan.document()["feasible"] is False


def test_a_budget_that_nothing_fits_says_what_is_short() -> None:
    plan = make_plan(asked(budget_usd=Decimal("0.50")))

    refused = plan.verdict
    assert refused is not None
    assert refused.reason is RefusalReason.BUDGET
    # Five hours of the night at 0.12: the upper forecast is what must be held.
    assert refused.gap_usd == Decimal("0.10")


prices = st.lists(st.integers(1, 60), min_size=HOURS, max_size=HOURS)
work_h = st.integers(1, 12)


@at_most(20)
@given(cents=prices, work=work_h)
def test_the_best_option_never_costs_more_than_running_now(cents: list[int], work: int) -> None:
    plan = make_plan(
        asked(
            offers=[offer(cents)],
            time=Range(p10=work * HOUR_S, p50=work * HOUR_S, p90=work * HOUR_S),
        )
    )

    now = by_kind(plan)[Kind.NOW]
    assert plan.best.cost_usd.p50 <= now
    assert plan.best.finish.p90 <= NOON + timedelta(hours=HOURS)


def least(offers: list[Offer], *, work: int, hours: int) -> Fraction:
    found = cheapest_schedule(
        offers,
        work_s=work * HOUR_S,
        now=NOON,
        deadline=NOON + timedelta(hours=hours),
        restart_s=600.0,
    )
    assert found is not None
    return found.usd


@at_most(20)
@given(
    cents=prices,
    other=prices,
    work=work_h,
    later=st.integers(0, HOURS - 12),
    fall=st.integers(0, HOURS - 1),
)
def test_more_freedom_never_costs_more(
    cents: list[int], other: list[int], work: int, later: int, fall: int
) -> None:
    cost = least([offer(cents)], work=work, hours=12)
    fallen = [cent - (cent > 1 and n == fall) for n, cent in enumerate(cents)]

    assert least([offer(cents)], work=work, hours=12 + later) <= cost
    assert least([offer(fallen)], work=work, hours=12) <= cost
    assert least([offer(cents), offer(other, "a100")], work=work, hours=12) <= cost
