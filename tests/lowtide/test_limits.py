from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import example, given, strategies as st

from lowtide.errors import BadInputError
from lowtide.legs import Capacity
from lowtide.limits import (
    RUN_TIME_MAX,
    hold_price,
    run_time_limit,
    started_run_time_limit,
)
from lowtide.prices import (
    PriceBook,
    PricePoint,
    PriceUnknownError,
    Rates,
    Series,
    Window,
    price,
)
from tests.lowtide.prices.oracle import (
    MICROSECOND,
    ONE_T4,
    SECOND,
    T4,
    ZONES,
    book_of,
    clock_changes,
    sheet_of,
)

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class TinyWorld:
    """Rates that change every few microseconds, so that every start can be tried.

    `rates[n]` is dollars per hour in microsecond n after START; the last one goes on for ever.
    """

    rates: tuple[int, ...]

    @property
    def book(self) -> PriceBook:
        edges = [n for n, rate in enumerate(self.rates) if n == 0 or self.rates[n - 1] != rate]
        return book_of(
            *(
                sheet_of(
                    Window(name="all-day"),
                    version=f"v{n}",
                    effective_from=START + n * MICROSECOND if n else START - HOUR,
                    flavor=replace(T4, on_demand=Rates(gpu_usd_per_h=Decimal(self.rates[n]))),
                )
                for n in edges
            )
        )

    def spent(self, length: int) -> list[int]:
        """Dollars per hour times microseconds, up to each microsecond."""
        forever = [*self.rates, *[self.rates[-1]] * max(0, length - len(self.rates))]
        return list(accumulate(forever[:length], initial=0))


def world_of(*steps: tuple[int, int]) -> TinyWorld:
    """A world from pairs of a rate and its microseconds."""
    return TinyWorld(tuple(rate for rate, length in steps for _ in range(length)))


STEPS = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 12)), min_size=1, max_size=8)
# What goes on for ever costs something, so that money ends.
WORLDS = STEPS.filter(lambda steps: steps[-1][0] > 0).map(lambda steps: world_of(*steps))


@given(
    world=WORLDS,
    last=st.integers(0, 25),
    reserve=st.integers(0, 6),
    money=st.integers(0, 150),
)
# The shortest-lived start lies between edges, where the money runs out at one; and next to it.
@example(
    world=world_of((6, 2), (9, 1), (2, 1), (8, 8), (9, 5), (3, 1)), last=18, reserve=2, money=92
)
@example(world=world_of((5, 8), (8, 9), (0, 3), (4, 11), (8, 1)), last=11, reserve=1, money=100)
@example(world=world_of((6, 9), (3, 12), (8, 7), (1, 12), (4, 1)), last=19, reserve=0, money=64)
def test_the_limit_is_the_longest_that_every_single_start_can_pay(
    world: TinyWorld, last: int, reserve: int, money: int
) -> None:
    limit = run_time_limit(
        world.book,
        ONE_T4,
        hold_left_usd=Fraction(money, HOUR_US),
        now=START,
        start_by=START + last * MICROSECOND,
        grace_s=reserve / 1_000_000,
        startup_allowance_s=0,
        skew_s=0,
    )

    # The last start plus all that the money can buy at 1 dollar an hour is never reached.
    spent = world.spent(last + len(world.rates) + money + reserve + 2)
    longest = -reserve
    while all(
        spent[start + longest + reserve + 1] - spent[start] <= money for start in range(last + 1)
    ):
        longest += 1
    assert limit == max(longest, 0) * MICROSECOND


@given(world=WORLDS, last=st.integers(0, 25), billed=st.integers(0, 40))
def test_the_hold_pays_for_the_dearest_of_all_starts(
    world: TinyWorld, last: int, billed: int
) -> None:
    usd, start = hold_price(
        world.book,
        ONE_T4,
        duration=billed * MICROSECOND,
        now=START,
        start_by=START + last * MICROSECOND,
        grace_s=0,
        skew_s=0,
    )

    spent = world.spent(last + billed + 1)
    prices = [spent[n + billed] - spent[n] for n in range(last + 1)]
    assert usd == Fraction(max(prices), HOUR_US)
    assert prices[(start - START) // MICROSECOND] == max(prices)


@given(
    change=st.sampled_from([(zone, at) for zone in ZONES for at in clock_changes(zone)]),
    offset=st.timedeltas(-36 * HOUR, 12 * HOUR),
    wait=st.timedeltas(timedelta(), 30 * HOUR),
    usd=st.decimals("0.01", 9, places=3),
)
def test_near_clock_changes_no_start_overspends_and_one_microsecond_more_would(
    change: tuple[str, datetime], offset: timedelta, wait: timedelta, usd: Decimal
) -> None:
    zone, moment = change
    book, now = book_of(sheet_of(zone=zone)), moment + offset

    limit = run_time_limit(
        book,
        ONE_T4,
        hold_left_usd=usd,
        now=now,
        start_by=now + wait,
        grace_s=30,
        startup_allowance_s=0,
    )

    if limit == timedelta():
        return
    billed = limit + 35 * SECOND
    starts = [now + n * wait / 200 for n in range(201)]
    assert max(price(book, ONE_T4, start=s, end=s + billed) for s in starts) <= usd
    more_usd, _ = hold_price(
        book,
        ONE_T4,
        duration=limit + MICROSECOND,
        now=now,
        start_by=now + wait,
        grace_s=30,
    )
    assert more_usd > usd


def test_a_leg_that_may_start_by_day_is_limited_by_the_days_price() -> None:
    evening = START.replace(hour=21, minute=30)

    limit = run_time_limit(
        book_of(),
        ONE_T4,
        hold_left_usd=Decimal(1),
        now=evening,
        start_by=evening + HOUR,
        grace_s=30,
    )

    # At once is dearest: half an hour of day leaves 0.875 dollars, seven hours of night.
    assert limit == 7.5 * HOUR - 35 * SECOND + 120 * SECOND


def test_the_money_is_counted_from_the_start_that_runs_into_the_day() -> None:
    night = START.replace(hour=22)

    limit = run_time_limit(
        book_of(),
        ONE_T4,
        hold_left_usd=Decimal(1),
        now=night,
        start_by=night + 4 * HOUR,
        grace_s=0,
        startup_allowance_s=0,
        skew_s=0,
    )

    # The last start, 02:00: four hours of night for half a dollar, then two hours of day.
    assert limit == 6 * HOUR


def test_money_that_does_not_even_pay_the_grace_allows_no_start() -> None:
    limit = run_time_limit(
        book_of(),
        ONE_T4,
        hold_left_usd=Decimal("0.0024"),
        now=START,
        start_by=START,
        grace_s=30,
    )

    assert limit == timedelta()


def test_what_costs_nothing_has_a_limit_all_the_same() -> None:
    free = replace(ONE_T4, gpus=0)

    limit = run_time_limit(
        book_of(),
        free,
        hold_left_usd=Decimal(0),
        now=START,
        start_by=START + HOUR,
        grace_s=30,
        startup_allowance_s=0,
    )

    assert limit == RUN_TIME_MAX
    assert (
        started_run_time_limit(
            book_of(), free, hold_left_usd=Decimal(0), started_at=START, grace_s=30
        )
        == RUN_TIME_MAX
    )


def market_book() -> PriceBook:
    series = Series(
        points=(PricePoint(at=START - HOUR, usd_per_h=Decimal("0.1")),),
        max_usd_per_h=Decimal("0.2"),
        stale_after_h=Decimal(2),
    )
    rates = Rates(gpu_usd_per_h=series, follows_windows=False)
    return book_of(sheet_of(flavor=replace(T4, spot=rates)))


def test_a_market_price_is_held_and_limited_at_its_maximum() -> None:
    spot = replace(ONE_T4, capacity=Capacity.SPOT)

    usd, _ = hold_price(
        market_book(),
        spot,
        duration=10 * HOUR,
        now=START,
        start_by=START + HOUR,
        grace_s=0,
        skew_s=0,
    )
    limit = run_time_limit(
        market_book(),
        spot,
        hold_left_usd=usd,
        now=START,
        start_by=START + HOUR,
        grace_s=0,
        startup_allowance_s=0,
        skew_s=0,
    )

    assert (usd, limit) == (2, 10 * HOUR)


@given(
    charged=st.timedeltas(timedelta(), 20 * HOUR),
    usd=st.decimals("0.01", 9, places=3),
)
def test_what_is_charged_on_the_way_leaves_the_limit_of_a_started_leg_where_it_was(
    charged: timedelta, usd: Decimal
) -> None:
    book = book_of(sheet_of(zone="Europe/Berlin"))
    whole = started_run_time_limit(book, ONE_T4, hold_left_usd=usd, started_at=START, grace_s=30)
    charged = min(charged, whole)

    left = started_run_time_limit(
        book,
        ONE_T4,
        hold_left_usd=Fraction(usd) - price(book, ONE_T4, start=START, end=START + charged),
        started_at=START,
        charged_until=START + charged,
        grace_s=30,
    )

    assert left == whole


def test_the_real_start_allows_what_it_pays_for() -> None:
    limit = started_run_time_limit(
        book_of(),
        ONE_T4,
        hold_left_usd=Decimal(1),
        started_at=START.replace(hour=23),
        grace_s=30,
    )

    # Seven hours of night, then half an hour of day.
    assert limit == 7.5 * HOUR - 35 * SECOND


@pytest.mark.parametrize("spent", ["-0.5", "0"])
def test_a_leg_whose_money_is_gone_ends_at_once(spent: str) -> None:
    limit = started_run_time_limit(
        book_of(),
        ONE_T4,
        hold_left_usd=Decimal(spent),
        started_at=START,
        charged_until=START + 3 * SECOND,
        grace_s=30,
    )

    assert limit == timedelta()


def test_an_unknown_price_refuses_and_never_counts_as_nothing() -> None:
    book = book_of(sheet_of(effective_until=START + HOUR))

    with pytest.raises(PriceUnknownError):
        run_time_limit(
            book,
            ONE_T4,
            hold_left_usd=Decimal(99),
            now=START,
            start_by=START,
            grace_s=30,
        )
    with pytest.raises(PriceUnknownError):
        hold_price(book, ONE_T4, duration=HOUR, now=START, start_by=START + HOUR, grace_s=30)


def test_a_last_start_that_has_passed_is_refused() -> None:
    with pytest.raises(BadInputError, match="start_by: the last start allowed has passed"):
        hold_price(
            book_of(), ONE_T4, duration=HOUR, now=START, start_by=START - SECOND, grace_s=30
        )
