"""Properties of pricing: against clocks that are asked each moment, and against itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from lowtide.money import micro_of, to_micro
from lowtide.prices import (
    PriceBook,
    Rates,
    Window,
    lasts,
    price,
    price_micro,
    segments,
)
from lowtide.prices.instants import to_us
from lowtide.prices.records import DAYS
from tests.lowtide.prices.oracle import (
    MICROSECOND,
    MINUTE,
    ONE_T4,
    SECOND,
    T4,
    YEAR_2000,
    ZONES,
    book_of,
    clock_changes,
    sheet_of,
    walked_usd,
)

DAY = timedelta(days=1)
T4_USD = Decimal("0.25")
SOME_CHANGE = st.sampled_from([(zone, at) for zone in ZONES for at in clock_changes(zone)])
AROUND = st.timedeltas(-2 * DAY, 2 * DAY)
ANY_MOMENT = st.datetimes(datetime(2026, 1, 1), datetime(2030, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@st.composite
def tariffs(draw: st.DrawFn) -> tuple[Window, ...]:
    """Windows that cover the week: workdays and weekends cut by themselves, or nights over midnight."""
    multiplier = st.decimals(0, 3, places=2)
    groups = draw(st.sampled_from([[DAYS[:5], DAYS[5:]], [DAYS]]))
    over_midnight = len(groups) == 1 and draw(st.booleans())
    windows: list[Window] = []
    for days in groups:
        inner = draw(st.lists(st.integers(1, 1439), unique=True, min_size=2, max_size=5))
        cuts = sorted(inner)
        edges = [*cuts, cuts[0]] if over_midnight else [0, *cuts, 1440]
        windows += (
            Window(
                name=f"w{start}",
                days=days,
                start_min=start,
                end_min=end,
                multiplier=draw(multiplier),
            )
            for start, end in pairwise(edges)
        )
    return tuple(windows)


@st.composite
def books(draw: st.DrawFn) -> PriceBook:
    """Books of one to three versions, each with its own zone and windows."""
    starts = sorted(draw(st.sets(ANY_MOMENT, max_size=2)))
    return book_of(
        *(
            sheet_of(
                *draw(tariffs()),
                zone=draw(st.sampled_from(ZONES)),
                version=f"v{number}",
                effective_from=start,
                flavor=replace(
                    T4, on_demand=Rates(gpu_usd_per_h=draw(st.decimals("0.01", 90, places=4)))
                ),
            )
            for number, start in enumerate([YEAR_2000, *starts])
        )
    )


@pytest.mark.parametrize("zone", ZONES)
def test_around_every_clock_change_the_price_is_the_sum_of_its_minutes(zone: str) -> None:
    sheet = sheet_of(zone=zone)
    for change in clock_changes(zone):
        start, end = change - 26 * 60 * MINUTE, change + 26 * 60 * MINUTE

        walked = walked_usd(sheet, start=start, end=end, step=MINUTE, gpu_usd_per_h=T4_USD)

        assert price(book_of(sheet), ONE_T4, start=start, end=end) == walked


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
def test_five_years_are_the_sum_of_their_quarters_of_an_hour(zone: str) -> None:
    sheet = sheet_of(zone=zone)
    for year in range(2026, 2031):
        start, end = at(f"{year}-01-01T00:00"), at(f"{year + 1}-01-01T00:00")

        walked = walked_usd(sheet, start=start, end=end, step=15 * MINUTE, gpu_usd_per_h=T4_USD)

        assert price(book_of(sheet), ONE_T4, start=start, end=end) == walked


def test_the_zones_changed_their_clocks_often_enough_to_show_something() -> None:
    changes = {zone: len(clock_changes(zone)) for zone in ZONES}

    assert len([zone for zone, count in changes.items() if count >= 10]) >= 10
    assert changes["UTC"] == 0


@pytest.mark.slow
@given(tariff=tariffs(), change=SOME_CHANGE, offset=AROUND, seconds=st.integers(0, 7200))
def test_any_tariff_near_a_clock_change_is_the_sum_of_its_seconds(
    tariff: tuple[Window, ...],
    change: tuple[str, datetime],
    offset: timedelta,
    seconds: int,
) -> None:
    zone, moment = change
    sheet = sheet_of(*tariff, zone=zone)
    start = (moment + offset).replace(microsecond=0)
    end = start + seconds * SECOND

    walked = walked_usd(sheet, start=start, end=end, step=SECOND, gpu_usd_per_h=T4_USD)

    assert price(book_of(sheet), ONE_T4, start=start, end=end) == walked


@given(book=books(), start=ANY_MOMENT, lengths=st.lists(st.timedeltas(timedelta(), 40 * DAY)))
def test_a_price_is_additive_over_any_split(
    book: PriceBook, start: datetime, lengths: list[timedelta]
) -> None:
    cuts = [start]
    for length in lengths:
        cuts.append(cuts[-1] + length)

    parts = [price(book, ONE_T4, start=left, end=right) for left, right in pairwise(cuts)]

    assert sum(parts, Fraction(0)) == price(book, ONE_T4, start=start, end=cuts[-1])


@given(
    book=books(),
    start=ANY_MOMENT,
    length=st.timedeltas(timedelta(), 40 * DAY),
    more=st.timedeltas(timedelta(), DAY),
)
def test_more_time_never_costs_less(
    book: PriceBook, start: datetime, length: timedelta, more: timedelta
) -> None:
    shorter = price(book, ONE_T4, start=start, end=start + length)
    longer = price(book, ONE_T4, start=start, end=start + length + more)

    assert 0 <= shorter <= longer


@given(book=books(), start=ANY_MOMENT, length=st.timedeltas(MICROSECOND, 400 * DAY))
def test_segments_cover_the_time_and_are_as_long_as_can_be(
    book: PriceBook, start: datetime, length: timedelta
) -> None:
    parts = segments(book, ONE_T4, start=start, end=start + length)

    assert (parts[0].start, parts[-1].end) == (start, start + length)
    for left, right in pairwise(parts):
        assert left.end == right.start
        assert (left.usd_per_h, left.window, left.version) != (
            right.usd_per_h,
            right.window,
            right.version,
        )
    for part in parts:
        assert part.start < part.end
        hours = Fraction((part.end - part.start) // MICROSECOND, 3_600_000_000)
        assert part.usd == part.usd_per_h * hours
    assert sum(part.usd for part in parts) == price(book, ONE_T4, start=start, end=start + length)


@given(
    book=books(),
    start=ANY_MOMENT,
    usd=st.fractions(0, 2000, max_denominator=10**9),
    horizon=st.timedeltas(timedelta(), 500 * DAY),
)
def test_money_lasts_to_the_microsecond(
    book: PriceBook, start: datetime, usd: Fraction, horizon: timedelta
) -> None:
    lasting = lasts(book, ONE_T4, start=start, usd=usd, horizon=horizon)

    assert timedelta() <= lasting <= horizon
    assert price(book, ONE_T4, start=start, end=start + lasting) <= usd
    if lasting < horizon:
        assert price(book, ONE_T4, start=start, end=start + lasting + MICROSECOND) > usd


@given(book=books(), start=ANY_MOMENT, length=st.timedeltas(timedelta(), 400 * DAY))
def test_what_a_time_costs_lasts_for_it(
    book: PriceBook, start: datetime, length: timedelta
) -> None:
    usd = price(book, ONE_T4, start=start, end=start + length)

    lasting = lasts(book, ONE_T4, start=start, usd=usd, horizon=500 * DAY)

    assert lasting >= length
    assert price(book, ONE_T4, start=start, end=start + lasting) == usd or lasting == length


@pytest.mark.slow
@given(book=books(), start=ANY_MOMENT, length=st.timedeltas(timedelta(), 400 * DAY))
def test_a_pinned_book_bills_every_moment_by_its_one_version(
    book: PriceBook, start: datetime, length: timedelta
) -> None:
    for sheet in book.sheets:
        alone = book_of(replace(sheet, effective_from=at("1990-01-01T00:00")))

        pinned = price(book.pinned(sheet.version), ONE_T4, start=start, end=start + length)

        assert pinned == price(alone, ONE_T4, start=start, end=start + length)


@given(windows=tariffs(), start=ANY_MOMENT, length=st.timedeltas(timedelta(0), 400 * DAY))
def test_the_quick_price_is_the_exact_one_rounded_once_also_across_new_year(
    windows: tuple[Window, ...], start: datetime, length: timedelta
) -> None:
    book = book_of(sheet_of(*windows))
    end = start + length

    quick = price_micro(book, ONE_T4, start_us=to_us(start), end_us=to_us(end))

    assert quick == to_micro(price(book, ONE_T4, start=start, end=end))


@given(st.integers(-(10**20), 10**20), st.integers(1, 10**15))
def test_units_round_to_micro_dollars_as_fractions_do(units: int, unit_per_usd: int) -> None:
    assert micro_of(units, unit_per_usd) == to_micro(Fraction(units, unit_per_usd))
