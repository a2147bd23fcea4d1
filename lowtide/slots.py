"""When a job of known length costs most and least, before anybody chose its schedule.

Two bounds, both exact. The dearest: it runs at the highest rate of the week, which no start and no
pause can exceed. The cheapest: it runs only while the rate is the week's lowest, pausing at a
checkpoint in between. What it costs now lies between them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from functools import lru_cache

from lowtide.prices import Demand, PriceBook, PricedSegment, price, segments

# Tariffs repeat weekly; the eighth day lets a window be found whole.
_LOOK_AHEAD = timedelta(days=8)
_LOOK_AHEADS_MAX = 46
_HOUR_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One unbroken stretch of running.

    Attributes:
        start: Aware UTC.
        end: Aware UTC, not before `start`.
    """

    start: datetime
    end: datetime

    @property
    def duration_s(self) -> float:
        """Its length, seconds."""
        return (self.end - self.start).total_seconds()


# Cached: a comparison asks for the same few demands a thousand times.
@lru_cache(maxsize=64)
def dearest_rate(book: PriceBook, demand: Demand, *, now: datetime) -> Fraction:
    """Return the highest rate of the next eight days.

    Args:
        book: The prices.
        demand: What is used.
        now: Aware.

    Returns:
        US dollars per hour, exact.

    Raises:
        PriceUnknownError: a part of the time has no price.
    """
    ahead = segments(book, demand, start=now, end=now + _LOOK_AHEAD)
    return max(segment.usd_per_h for segment in ahead)


def at_dearest(book: PriceBook, demand: Demand, *, now: datetime, duration_s: float) -> Fraction:
    """Return the most that a duration can cost, whenever it runs in the next eight days.

    Args:
        book: The prices.
        demand: What is used.
        now: Aware.
        duration_s: Seconds, >= 0.

    Returns:
        US dollars, exact.

    Raises:
        PriceUnknownError: a part of the time has no price.
    """
    return dearest_rate(book, demand, now=now) * Fraction(duration_s) / _HOUR_S


def cheapest_slots(
    book: PriceBook, demand: Demand, *, now: datetime, duration_s: float, restart_s: float = 0.0
) -> tuple[Slot, ...] | None:
    """Return the earliest slots at the lowest rate of the next eight days that hold a duration.

    Args:
        book: The prices.
        demand: What is used.
        now: Aware; no slot starts before.
        duration_s: Seconds of work, >= 0.
        restart_s: Seconds lost at the start of each slot but the first.

    Returns:
        The slots in order, or None where a year has too few.

    Raises:
        PriceUnknownError: a part of the time has no price.

    Examples:
        >>> from decimal import Decimal
        >>> from lowtide.prices import Flavor, Rates, Sheet, Window
        >>> night = Window(name="night", start_min=1320, end_min=360, multiplier=Decimal("0.5"))
        >>> day = Window(name="day", start_min=360, end_min=1320)
        >>> t4 = Flavor(name="t4", on_demand=Rates(gpu_usd_per_h=Decimal(1)))
        >>> beginning = datetime.fromisoformat("2026-01-01T00:00:00Z")
        >>> sheet = Sheet(
        ...     version="1", effective_from=beginning, windows=(day, night), flavors=(t4,)
        ... )
        >>> slots = cheapest_slots(
        ...     PriceBook(sheets=(sheet,)),
        ...     Demand(flavor="t4"),
        ...     now=datetime.fromisoformat("2026-11-23T12:00:00Z"),
        ...     duration_s=10 * 3600,
        ... )
        >>> [f"{slot.start:%d. %H:%M} to {slot.end:%d. %H:%M}" for slot in slots]
        ['23. 22:00 to 24. 06:00', '24. 22:00 to 25. 00:00']
    """
    slots: list[Slot] = []
    left, start = timedelta(seconds=duration_s), now
    lowest_usd_per_h: Fraction | None = None
    for _ in range(_LOOK_AHEADS_MAX):
        ahead = segments(book, demand, start=start, end=start + _LOOK_AHEAD)
        if lowest_usd_per_h is None:
            lowest_usd_per_h = min(segment.usd_per_h for segment in ahead)
        left = _fill(slots, ahead, left, at_most=lowest_usd_per_h, restart_s=restart_s)
        if left <= timedelta(0):
            return tuple(slots)
        start += _LOOK_AHEAD
    return None


def price_of(book: PriceBook, demand: Demand, slots: tuple[Slot, ...]) -> Fraction:
    """Return what a demand costs in all of the slots, US dollars, exact.

    Raises:
        PriceUnknownError: a part of the time has no price.
    """
    return sum(
        (price(book, demand, start=slot.start, end=slot.end) for slot in slots), Fraction(0)
    )


def _fill(
    slots: list[Slot],
    ahead: tuple[PricedSegment, ...],
    left: timedelta,
    *,
    at_most: Fraction,
    restart_s: float,
) -> timedelta:
    """Add slots until the work is done or the segments end; return the work left."""
    for segment in ahead:
        if left <= timedelta(0):
            break
        if segment.usd_per_h > at_most:
            continue
        # A stretch that goes on from the last slot is no new start.
        goes_on = bool(slots) and slots[-1].end == segment.start
        if slots and not goes_on:
            left += timedelta(seconds=restart_s)
        end = min(segment.end, segment.start + left)
        start = slots.pop().start if goes_on else segment.start
        slots.append(Slot(start=start, end=end))
        left -= end - segment.start
    return left
