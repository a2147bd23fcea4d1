"""What a stretch of time costs, in parts and in all, and how long a sum of money lasts. Exact.

Nothing here rounds: a price is a `Fraction` of a dollar, so it is additive over any split, and the
only rounding is `lowtide.money.to_micro` at the journal line.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from lowtide.errors import BadInputError
from lowtide.money import to_micro
from lowtide.prices.instants import HOUR_US, MICROSECOND, from_us, to_us, year_of
from lowtide.prices.records import Demand, PriceBook
from lowtide.prices.stretches import Stretch
from lowtide.prices.timeline import Timeline, timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedSegment:
    """The longest stretch at one rate, in one window, by one version.

    Attributes:
        start: Aware UTC.
        end: Aware UTC, later.
        window: Name of the tariff window; "spot" or "market" where windows do not matter.
        version: Version of the price sheet.
        usd_per_h: US dollars per hour of the whole demand, exact.
        usd: Price of the stretch, US dollars, exact.
    """

    start: datetime
    end: datetime
    window: str
    version: str
    usd_per_h: Fraction
    usd: Fraction


def price(book: PriceBook, demand: Demand, *, start: datetime, end: datetime) -> Fraction:
    """Return what a demand costs from one moment to another.

    Args:
        book: The prices.
        demand: What is used.
        start: Aware.
        end: Aware, not before `start`.

    Returns:
        US dollars, exact.

    Raises:
        PriceUnknownError: a part of the time has no price.
        BadInputError: the book does not have the flavor, or the times are not usable.

    Source:
        Design §6.

    Examples:
        >>> from lowtide.prices.records import Flavor, Rates, Sheet, Window
        >>> windows = (
        ...     Window(name="peak", start_min=6 * 60, end_min=22 * 60),
        ...     Window(
        ...         name="off-peak", start_min=22 * 60, end_min=6 * 60, multiplier=Decimal("0.5")
        ...     ),
        ... )
        >>> t4 = Flavor(name="t4", on_demand=Rates(gpu_usd_per_h=Decimal("0.25")))
        >>> beginning = datetime.fromisoformat("2026-01-01T00:00:00Z")
        >>> sheet = Sheet(version="1", effective_from=beginning, windows=windows, flavors=(t4,))
        >>> evening = datetime.fromisoformat("2026-11-23T21:00:00Z")
        >>> price(
        ...     PriceBook(sheets=(sheet,)),
        ...     Demand(flavor="t4"),
        ...     start=evening,
        ...     end=evening + timedelta(hours=2),
        ... )
        Fraction(3, 8)
    """
    usd = Fraction(0)
    for line, start_us, end_us in _years(book, demand, start=start, end=end):
        usd += line.usd(start_us, end_us)
    return usd


def price_micro(book: PriceBook, demand: Demand, *, start_us: int, end_us: int) -> int:
    """Return `price` in whole micro-dollars, for those who ask for thousands of stretches.

    Args:
        book: The prices.
        demand: What is used.
        start_us: Microseconds since 1970.
        end_us: Likewise, not before `start_us`.

    Raises:
        PriceUnknownError: a part of the time has no price.
        BadInputError: the book does not have the flavor, or the times are not usable.
    """
    line = timeline(book, demand, year_of(start_us))
    if start_us <= end_us <= line.end_us:
        return line.micro_usd(start_us, end_us)
    return to_micro(price(book, demand, start=from_us(start_us), end=from_us(end_us)))


def segments(
    book: PriceBook, demand: Demand, *, start: datetime, end: datetime
) -> tuple[PricedSegment, ...]:
    """Return the same price in its parts, one for each stretch of one rate.

    Args:
        book: The prices.
        demand: What is used.
        start: Aware.
        end: Aware, not before `start`.

    Returns:
        Stretches that cover the time exactly, in order; their `usd` add up to `price`.

    Raises:
        PriceUnknownError: a part of the time has no price.
        BadInputError: the book does not have the flavor, or the times are not usable.
    """
    merged: list[Stretch] = []
    for line, start_us, end_us in _years(book, demand, start=start, end=end):
        line.refuse_unknown(start_us, end_us)
        for stretch in line.between(start_us, end_us):
            if merged and merged[-1][2:] == stretch[2:]:  # the same at both sides of New Year
                merged[-1] = merged[-1]._replace(end_us=stretch.end_us)
            else:
                merged.append(stretch)
    return tuple(map(_segment, merged))


def lasts(
    book: PriceBook,
    demand: Demand,
    *,
    start: datetime,
    usd: Decimal | Fraction | int,
    horizon: timedelta,
) -> timedelta:
    """Return how long a sum of money pays for a demand: the exact inverse of `price`.

    Args:
        book: The prices.
        demand: What is used.
        start: When it begins, aware.
        usd: The money, US dollars, finite.
        horizon: The answer is never longer; >= 0.

    Returns:
        The longest whole number of microseconds T with price(start, start + T) <= usd; 0 also where
        the money is less than nothing.

    Raises:
        PriceUnknownError: the money is not used up when the price becomes unknown.
        BadInputError: the book does not have the flavor, or the start has no zone.
    """
    left_usd = Fraction(usd)
    start_us, horizon_us = to_us(start), horizon // MICROSECOND
    cursor_us, until_us = start_us, start_us + (horizon_us if left_usd >= 0 else 0)
    while cursor_us < until_us:
        line = timeline(book, demand, year_of(cursor_us))
        year_end_us = min(until_us, line.end_us)
        reached_us = line.reach(cursor_us, usd=left_usd, until_us=year_end_us)
        if reached_us < year_end_us:
            return timedelta(microseconds=reached_us - start_us)
        left_usd -= line.usd(cursor_us, reached_us)
        cursor_us = reached_us
    return timedelta(microseconds=cursor_us - start_us)


def _years(
    book: PriceBook, demand: Demand, *, start: datetime, end: datetime
) -> Iterator[tuple[Timeline, int, int]]:
    """Yield the years that a stretch of time touches, each with the part of it that is meant."""
    cursor_us, end_us = to_us(start), to_us(end)
    if end_us < cursor_us:
        msg = "a stretch of time ends before it starts"
        raise BadInputError(
            msg, expected=f"an end at or after {start.isoformat()}", got=end.isoformat()
        )
    while cursor_us < end_us:
        line = timeline(book, demand, year_of(cursor_us))
        until_us = min(end_us, line.end_us)
        yield line, cursor_us, until_us
        cursor_us = until_us


def _segment(stretch: Stretch) -> PricedSegment:
    usd_per_h = stretch.usd_per_h
    assert usd_per_h is not None, stretch  # noqa: S101 - a bug here, not bad input
    return PricedSegment(
        start=from_us(stretch.start_us),
        end=from_us(stretch.end_us),
        window=stretch.window,
        version=stretch.version,
        usd_per_h=usd_per_h,
        usd=usd_per_h * Fraction(stretch.end_us - stretch.start_us, HOUR_US),
    )
