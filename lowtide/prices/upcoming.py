"""When it gets cheaper or dearer: the windows ahead, as plans and schedules need them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from lowtide.prices.errors import PriceUnknownError
from lowtide.prices.instants import from_us, to_us, utc
from lowtide.prices.pricing import PricedSegment, segments
from lowtide.prices.records import Demand, PriceBook
from lowtide.prices.stretches import in_force
from lowtide.prices.windows import spans_between

# Tariffs repeat weekly; the eighth day lets a window be found whole.
_LOOK_AHEAD = timedelta(days=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class TariffWindow:
    """A tariff window on the time line.

    Attributes:
        start: Aware UTC.
        end: Aware UTC, later.
        name: As the price book names it.
        multiplier: Factor on the on-demand rates.
        version: Version of the price sheet.
    """

    start: datetime
    end: datetime
    name: str
    multiplier: Decimal
    version: str


def next_window(
    book: PriceBook,
    demand: Demand,
    *,
    now: datetime,
    cheaper: bool = True,
    look_ahead: timedelta = _LOOK_AHEAD,
) -> PricedSegment | None:
    """Return the next stretch that costs less than now, or more: when to start, or to be done by.

    Rates are compared, not windows' names, so the answer is right for a market series and across a
    new version of the prices too.

    Args:
        book: The prices.
        demand: What is to run.
        now: Aware.
        cheaper: Whether a lower rate is looked for, or a higher one.
        look_ahead: How far to look for its start; its end is found up to as much later.

    Returns:
        The stretch; None when no such one begins in time, or prices become unknown before.

    Raises:
        PriceUnknownError: today's price is not known.
        BadInputError: the book does not have the flavor, or `now` has no zone.
    """
    now = utc(now)
    current, *ahead = _known_segments(book, demand, start=now, end=now + 2 * look_ahead)
    sign = 1 if cheaper else -1
    found = (segment for segment in ahead if sign * (current.usd_per_h - segment.usd_per_h) > 0)
    first = next(found, None)
    return first if first is not None and first.start < now + look_ahead else None


def windows_between(
    book: PriceBook, *, start: datetime, end: datetime
) -> tuple[TariffWindow, ...]:
    """Return the tariff windows of a stretch of time, clipped to it.

    Args:
        book: The prices.
        start: Aware.
        end: Aware, not before `start`.

    Returns:
        Windows in order; they cover the time exactly.

    Raises:
        PriceUnknownError: no version is in force in a part of it.
        BadInputError: a time has no zone.
    """
    cursor_us, end_us = to_us(start), to_us(end)
    found: list[TariffWindow] = []
    for sheet, from_us_, until_us in in_force(book):
        stop_us = min(until_us, end_us)
        if from_us_ <= cursor_us < stop_us:
            found += (
                TariffWindow(
                    start=from_us(span.start_us),
                    end=from_us(span.end_us),
                    name=span.window.name,
                    multiplier=span.window.multiplier,
                    version=sheet.version,
                )
                for span in spans_between(
                    sheet.zone, sheet.windows, start_us=cursor_us, end_us=stop_us
                )
            )
            cursor_us = stop_us
    if cursor_us < end_us:
        book.sheet_at(from_us(cursor_us))  # says that none is in force
    return tuple(found)


def _known_segments(
    book: PriceBook, demand: Demand, *, start: datetime, end: datetime
) -> tuple[PricedSegment, ...]:
    try:
        return segments(book, demand, start=start, end=end)
    except PriceUnknownError as error:
        if error.at <= start:
            raise
        return segments(book, demand, start=start, end=error.at)
