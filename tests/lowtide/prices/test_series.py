from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from lowtide.errors import BadInputError
from lowtide.legs import Capacity
from lowtide.prices import (
    PriceBook,
    PricePoint,
    PriceUnknownError,
    Rates,
    Series,
    price,
    segments,
)
from lowtide.prices.series import parse_series
from tests.lowtide.prices.oracle import NIGHT, ONE_T4, SECOND, T4, book_of, sheet_of

SPOT = replace(ONE_T4, capacity=Capacity.SPOT)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def points(*changes: tuple[float, str | None]) -> tuple[PricePoint, ...]:
    return tuple(
        PricePoint(at=NOON + hours * HOUR, usd_per_h=None if usd is None else Decimal(usd))
        for hours, usd in changes
    )


def spot_book(
    *changes: tuple[float, str | None], max_usd: str = "0.25", stale_after_h: str = "24"
) -> PriceBook:
    series = Series(
        points=points(*changes),
        max_usd_per_h=Decimal(max_usd),
        stale_after_h=Decimal(stale_after_h),
    )
    flavor = replace(T4, spot=Rates(gpu_usd_per_h=series, follows_windows=False))
    return book_of(sheet_of(flavor=flavor))


def test_a_price_holds_until_the_next_one() -> None:
    book = spot_book((0, "0.1"), (2, "0.2"))

    assert price(book, SPOT, start=NOON, end=NOON + 3 * HOUR) == Fraction("0.4")


def test_above_the_maximum_nothing_is_billed_beyond_it() -> None:
    book = spot_book((0, "0.1"), (1, "26"), (2, "0.1"), max_usd="0.25")

    assert price(book, SPOT, start=NOON, end=NOON + 3 * HOUR) == Fraction("0.45")


def test_a_held_book_prices_the_series_at_its_maximum_known_or_not() -> None:
    book = spot_book((0, "0.1"), max_usd="0.25").held()

    assert price(book, SPOT, start=NOON - 90 * 24 * HOUR, end=NOON) == 90 * 24 * Fraction("0.25")


def test_before_its_first_point_a_series_is_unknown() -> None:
    with pytest.raises(PriceUnknownError, match="its price series begins later"):
        price(spot_book((0, "0.1")), SPOT, start=NOON - SECOND, end=NOON + HOUR)


def test_the_last_point_holds_until_it_is_stale_and_not_a_microsecond_longer() -> None:
    book, end = spot_book((0, "0.1"), stale_after_h="1.5"), NOON + 1.5 * HOUR

    assert price(book, SPOT, start=NOON, end=end) == Fraction("0.15")
    with pytest.raises(PriceUnknownError, match=r"older than 1\.5 h") as caught:
        price(book, SPOT, start=NOON, end=end + timedelta(microseconds=1))
    assert caught.value.at == end


def test_a_gap_longer_than_stale_is_unknown_until_the_next_point() -> None:
    book = spot_book((0, "0.1"), (5, "0.2"), stale_after_h="2")

    assert price(book, SPOT, start=NOON + 5 * HOUR, end=NOON + 6 * HOUR) == Fraction("0.2")
    with pytest.raises(PriceUnknownError):
        segments(book, SPOT, start=NOON, end=NOON + 6 * HOUR)


def test_an_empty_price_is_a_gap_from_there_on() -> None:
    book = spot_book((0, "0.1"), (1, None), (2, "0.2"))

    assert price(book, SPOT, start=NOON, end=NOON + HOUR) == Fraction("0.1")
    with pytest.raises(PriceUnknownError, match="has a gap"):
        price(book, SPOT, start=NOON + HOUR, end=NOON + 2 * HOUR)


def test_rows_that_change_nothing_make_no_segment() -> None:
    book = spot_book((0, "0.1"), (1, "0.1"), (2, "0.10"))

    parts = segments(book, SPOT, start=NOON, end=NOON + 3 * HOUR)

    assert [(part.start, part.window) for part in parts] == [(NOON, "spot")]


def test_windows_do_not_touch_an_on_demand_series() -> None:
    series = Series(
        points=points((0, "1"), (12, "2")), max_usd_per_h=Decimal(9), stale_after_h=Decimal(99)
    )
    flavor = replace(T4, on_demand=Rates(gpu_usd_per_h=series, follows_windows=False))
    book = book_of(sheet_of(*NIGHT, flavor=flavor))

    assert price(book, ONE_T4, start=NOON, end=NOON + 24 * HOUR) == 36
    assert {part.window for part in segments(book, ONE_T4, start=NOON, end=NOON + 24 * HOUR)} == {
        "market"
    }


@given(
    changes=st.dictionaries(
        st.integers(0, 3000), st.decimals(0, 1, places=3), min_size=1, max_size=20
    ),
    start_s=st.integers(0, 3000),
    length_s=st.integers(0, 3000),
)
def test_a_series_is_the_sum_of_its_seconds(
    changes: dict[int, Decimal], start_s: int, length_s: int
) -> None:
    ordered = sorted({**changes, 0: Decimal("0.7")}.items())
    series = tuple(PricePoint(at=NOON + at * SECOND, usd_per_h=usd) for at, usd in ordered)
    rates = Rates(
        gpu_usd_per_h=Series(
            points=series, max_usd_per_h=Decimal("0.8"), stale_after_h=Decimal(24)
        ),
        follows_windows=False,
    )
    book = book_of(sheet_of(flavor=replace(T4, spot=rates)))

    walked = sum(
        (
            Fraction(min(Decimal("0.8"), max((at, usd) for at, usd in ordered if at <= second)[1]))
            for second in range(start_s, start_s + length_s)
        ),
        Fraction(0),
    )

    start = NOON + start_s * SECOND
    assert price(book, SPOT, start=start, end=start + length_s * SECOND) == walked / 3600


def test_a_series_is_read_from_csv_with_its_gaps() -> None:
    text = "at,usd_per_h\n2026-11-23T12:00:00Z,0.1\n\n2026-11-23T14:00:00+01:00,\n"

    assert parse_series(text, source="spot.csv") == points((0, "0.1"), (1, None))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: not a price series"),
        ("time,price\n2026-01-01T00:00:00Z,1\n", "the header at,usd_per_h, got 'time,price'"),
        ("at,usd_per_h\n", "the price series is empty"),
        ("at,usd_per_h\n2026-01-01T00:00:00Z\n", "line 2: not a row of the series"),
        ("at,usd_per_h\n2026-01-01T00:00:00,1\n", "line 2: not a time"),
        ("at,usd_per_h\nyesterday,1\n", "line 2: not a time"),
        ("at,usd_per_h\n2026-01-01T00:00:00Z,-0.1\n", "line 2: not a price"),
        ("at,usd_per_h\n2026-01-01T00:00:00Z,SN\n", "line 2: not a price .*got 'SN'"),
        ("at,usd_per_h\n2026-01-01T00:00:00Z,NaN\n", "line 2: not a price"),
        (
            "at,usd_per_h\n2026-01-01T01:00:00+01:00,1\n2026-01-01T00:00:00Z,2\n",
            "line 3: out of order",
        ),
    ],
)
def test_a_series_that_would_bill_wrongly_is_refused_with_its_line(
    text: str, message: str
) -> None:
    with pytest.raises(BadInputError, match=message):
        parse_series(text, source="spot.csv")
