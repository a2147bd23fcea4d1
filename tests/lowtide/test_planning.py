from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import product

from hypothesis import given, strategies as st

from lowtide.planning import Offer, cheapest_schedule, cheapest_start
from tests.effort import at_most

NOW = datetime(2026, 11, 23, tzinfo=UTC)
HOUR_S = 3600.0


@dataclass(frozen=True)
class Hour:
    start: datetime
    end: datetime
    usd_per_h: Fraction


def offer(name: str, rates: list[int]) -> Offer:
    return Offer(
        name=name,
        rates=[
            Hour(NOW + timedelta(hours=n), NOW + timedelta(hours=n + 1), Fraction(rate, 10))
            for n, rate in enumerate(rates)
        ],
    )


def brute_force(tables: list[list[int]], *, work: int, restart: int) -> Fraction | None:
    """Every way to spend each hour: on one of the offers, or idle."""
    best: Fraction | None = None
    for choice in product([None, *range(len(tables))], repeat=len(tables[0])):
        cost, done, lost, held, ran = Fraction(0), 0, 0, None, False
        for hour, now_on in enumerate(choice):
            if now_on is not None:
                if now_on != held and ran:
                    lost = restart
                cost += Fraction(tables[now_on][hour], 10)
                done, lost = (done, lost - 1) if lost else (done + 1, 0)
                ran = True
            held = now_on
        if done == work and not lost and (best is None or cost < best):
            best = cost
    return best


rates = st.lists(st.integers(1, 30), min_size=6, max_size=6)


@at_most(25)
@given(
    tables=st.lists(rates, min_size=1, max_size=2),
    work=st.integers(1, 4),
    restart=st.integers(0, 1),
)
def test_a_schedule_costs_what_the_cheapest_of_all_ways_costs(
    tables: list[list[int]], work: int, restart: int
) -> None:
    found = cheapest_schedule(
        [offer(str(number), table) for number, table in enumerate(tables)],
        work_s=work * HOUR_S,
        now=NOW,
        deadline=NOW + timedelta(hours=6),
        restart_s=restart * HOUR_S,
        step_s=HOUR_S,
    )

    assert found is not None
    assert found.usd == brute_force(tables, work=work, restart=restart)


@given(table=rates, work=st.integers(1, 6))
def test_one_piece_starts_where_it_is_cheapest(table: list[int], work: int) -> None:
    found = cheapest_start(
        offer("t4", table), work_s=work * HOUR_S, now=NOW, deadline=NOW + timedelta(hours=6)
    )

    assert found is not None
    assert found.usd == min(
        Fraction(sum(table[first : first + work]), 10) for first in range(7 - work)
    )
    assert found.end <= NOW + timedelta(hours=6)


def test_work_that_does_not_fit_has_no_schedule() -> None:
    late = NOW + timedelta(hours=2)

    assert cheapest_schedule([offer("t4", [1, 1])], work_s=9000, now=NOW, deadline=late) is None
    assert cheapest_start(offer("t4", [1, 1]), work_s=9000, now=NOW, deadline=late) is None


def test_of_ways_that_cost_the_same_the_one_that_is_done_first_is_taken() -> None:
    # As floats the sums of the first three hours and of the last three differ in the last bit.
    found = cheapest_schedule(
        [offer("t4", [1, 2, 3, 9, 3, 2, 1])],
        work_s=3 * HOUR_S,
        now=NOW,
        deadline=NOW + timedelta(hours=7),
        restart_s=2 * HOUR_S,
    )

    assert found is not None
    assert (found.start, found.end) == (NOW, NOW + timedelta(hours=3))


def test_a_plan_may_begin_in_the_middle_of_its_prices() -> None:
    prices = offer("t4", [9, 1, 4, 1])
    half_past = NOW + timedelta(minutes=90)

    assert prices.usd(half_past, half_past + timedelta(hours=2)) == Fraction(1 + 8 + 1, 20)
