import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, strategies as st

from lowtide.legs import Capacity
from lowtide.prices import Demand, Rates, Window, price
from lowtide.slots import Slot, at_dearest, cheapest_slots, dearest_rate, price_of
from tests.lowtide.books import book

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ON_DEMAND = Demand(flavor="t4")
HOUR_S = 3600


def spans(slots: tuple[Slot, ...] | None) -> list[tuple[int, int]]:
    """Return the slots in hours after noon."""
    return [
        (int((slot.start - NOON).total_seconds()), int((slot.end - NOON).total_seconds()))
        for slot in slots or ()
    ]


def test_the_dearest_rate_is_the_peaks() -> None:
    assert dearest_rate(book(), ON_DEMAND, now=NOON) == Fraction(1, 4)
    assert at_dearest(book(), ON_DEMAND, now=NOON, duration_s=93_600) == Fraction(13, 2)


def test_a_short_job_waits_for_the_night_and_runs_in_one_stretch() -> None:
    slots = cheapest_slots(book(), ON_DEMAND, now=NOON, duration_s=3 * HOUR_S)

    assert spans(slots) == [(10 * HOUR_S, 13 * HOUR_S)]
    assert price_of(book(), ON_DEMAND, slots or ()) == Fraction(3, 8)


def test_a_long_job_pauses_by_day() -> None:
    slots = cheapest_slots(book(), ON_DEMAND, now=NOON, duration_s=20 * HOUR_S)

    assert [end - start for start, end in spans(slots)] == [8 * HOUR_S, 8 * HOUR_S, 4 * HOUR_S]
    assert price_of(book(), ON_DEMAND, slots or ()) == Fraction(5, 2)


def test_each_restart_is_paid_for() -> None:
    slots = cheapest_slots(book(), ON_DEMAND, now=NOON, duration_s=20 * HOUR_S, restart_s=600)

    assert sum(slot.duration_s for slot in slots or ()) == 20 * HOUR_S + 2 * 600


def test_a_job_at_night_begins_at_once() -> None:
    midnight = NOON + timedelta(hours=12)

    slots = cheapest_slots(book(), ON_DEMAND, now=midnight, duration_s=60)

    assert slots == (Slot(start=midnight, end=midnight + timedelta(minutes=1)),)


def test_at_one_rate_any_time_is_the_cheapest() -> None:
    spot = Demand(flavor="t4", capacity=Capacity.SPOT)

    assert spans(cheapest_slots(book(), spot, now=NOON, duration_s=30 * 24 * HOUR_S)) == [
        (0, 30 * 24 * HOUR_S)
    ]


def test_more_than_a_year_of_nights_is_not_laid_out() -> None:
    assert cheapest_slots(book(), ON_DEMAND, now=NOON, duration_s=400 * 8 * HOUR_S) is None


@given(
    duration_s=st.integers(1, 60 * HOUR_S),
    offset_min=st.integers(0, 48 * 60),
    restart_s=st.integers(0, 3000),
)
def test_slots_hold_the_work_in_order_and_cost_the_lowest_rate(
    duration_s: int, offset_min: int, restart_s: int
) -> None:
    now = NOON + timedelta(minutes=offset_min)

    slots = cheapest_slots(book(), ON_DEMAND, now=now, duration_s=duration_s, restart_s=restart_s)

    assert slots is not None
    assert slots[0].start >= now
    assert all(a.end < b.start for a, b in itertools.pairwise(slots))
    billed_s = sum(slot.duration_s for slot in slots)
    assert billed_s == duration_s + restart_s * (len(slots) - 1)
    # By hand: half of a quarter dollar an hour, whatever the hours.
    assert price_of(book(), ON_DEMAND, slots) == Fraction(billed_s) / HOUR_S / 8
    assert price_of(book(), ON_DEMAND, slots) <= price(
        book(), ON_DEMAND, start=now, end=now + timedelta(seconds=billed_s)
    )


def test_a_weekend_rate_is_found_from_a_monday_on() -> None:
    weekend = Window(name="weekend", days=("sat", "sun"), multiplier=Decimal("0.2"))
    week = Window(name="week", days=("mon", "tue", "wed", "thu", "fri"))
    prices = book(windows=(week, weekend), on_demand=Rates(gpu_usd_per_h=Decimal(1)))

    slots = cheapest_slots(prices, ON_DEMAND, now=NOON, duration_s=HOUR_S)

    assert slots is not None
    assert slots[0].start == datetime(2026, 11, 28, tzinfo=UTC)
