"""How long a leg may run on the money held for it, and how much must be held for a leg.

A leg that waits in a queue starts some time between now and its `start_by`, and what it costs
depends on when. Both questions here are answered for the dearest start still allowed, so a leg is
paid for whenever it starts; both use `PriceBook.held`, a market series at its maximum.

Let F(t) be what the demand has cost until t. Rates are constant between edges and never negative, so
F is continuous, piecewise linear and never falls. A start s with money H lasts until E(s), where F
has grown by H. While neither s nor E(s) passes an edge, E(s) - s is linear in s, so its least value
lies where one of them is at an edge, or at an end of the allowed starts. The same holds for the
price of a fixed duration, F(s + D) - F(s). So a handful of starts decide, and no search is needed.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil

from lowtide.errors import BadInputError
from lowtide.prices import Demand, PriceBook, lasts, price, segments
from lowtide.prices.instants import HOUR_US, MICROSECOND, utc

RUN_TIME_MAX = timedelta(days=366)
"""No leg is given more, however little it costs."""
RUN_TIME_MIN = timedelta(seconds=30)
"""A leg's limit is never planned nearer: a program has to start, and whoever moves it may be late."""
_HORIZON = 2 * RUN_TIME_MAX
STARTUP_ALLOWANCE_S = 120.0
"""Unbilled seconds between a Kubernetes Job's start and its container's, until some were measured."""
SKEW_S = 5.0
"""Seconds kept for clocks that differ and for a signal's way."""


def run_time_limit(
    book: PriceBook,
    demand: Demand,
    *,
    hold_left_usd: Decimal | Fraction,
    now: datetime,
    start_by: datetime,
    grace_s: float,
    startup_allowance_s: float = STARTUP_ALLOWANCE_S,
    skew_s: float = SKEW_S,
) -> timedelta:
    """Return after how long a leg that has not started yet must end by itself.

    It is the longest T such that, for each start s in [now, start_by], the price of
    s to s + T + grace + skew is at most what is left of the hold; plus the start-up allowance. The
    longest T is the shortest time that the money lasts from any of these starts.

    A whole microsecond is the grain of starts and answers. The least of a linear function over whole
    microseconds lies next to its least over all moments, so each deciding start brings both
    neighbours; the answer is exact.

    Args:
        book: The prices, pinned to the version of the leg's hold.
        demand: What the leg asks for.
        hold_left_usd: What is held and not yet charged, US dollars.
        now: Aware.
        start_by: A leg that has not started by then withdraws itself; not before `now`.
        grace_s: Seconds between SIGTERM and SIGKILL; billed.
        startup_allowance_s: Unbilled seconds before the program starts; 0 where the runner counts
            from the program's own start, as the local one does.
        skew_s: Seconds kept for differing clocks; billed.

    Returns:
        The limit, `RUN_TIME_MAX` and the allowance at most; 0 where the money pays for no run time
        at all, and the leg must not start.

    Raises:
        PriceUnknownError: a part of the time that the money reaches has no price.
        BadInputError: the book does not have the flavor, or the times are not usable.

    Source:
        Design §6, "The run-time limit".
    """
    book, usd = book.held(), Fraction(hold_left_usd)
    first, last = _allowed(now, start_by)
    paid = min(
        lasts(book, demand, start=start, usd=usd, horizon=_HORIZON)
        for start in _deciding_starts(first, last, book=book, demand=demand, usd=usd)
    )
    limit = min(paid - timedelta(seconds=grace_s + skew_s), RUN_TIME_MAX)
    return limit + timedelta(seconds=startup_allowance_s) if limit > timedelta() else timedelta()


def started_run_time_limit(
    book: PriceBook,
    demand: Demand,
    *,
    hold_left_usd: Decimal | Fraction,
    started_at: datetime,
    grace_s: float,
    charged_until: datetime | None = None,
    skew_s: float = SKEW_S,
) -> timedelta:
    """Return how long after its real start a leg must end by itself.

    Args:
        book: The prices, pinned to the version of the leg's hold.
        demand: What the leg asks for.
        hold_left_usd: What is held and not yet charged, US dollars.
        started_at: When the program started, aware.
        grace_s: Seconds between SIGTERM and SIGKILL; billed.
        charged_until: Up to when the leg is charged already; None: not at all.
        skew_s: Seconds kept for differing clocks; billed.

    Returns:
        The limit, counted from `started_at`, `RUN_TIME_MAX` at most; it may have passed already.

    Raises:
        PriceUnknownError: a part of the time that the money reaches has no price.
        BadInputError: the book does not have the flavor, or the times are not usable.
    """
    since = utc(charged_until or started_at)
    paid = lasts(book.held(), demand, start=since, usd=hold_left_usd, horizon=_HORIZON)
    limit = since - utc(started_at) + paid - timedelta(seconds=grace_s + skew_s)
    return min(max(limit, timedelta()), RUN_TIME_MAX)


def longest_run_time(
    book: PriceBook,
    demand: Demand,
    *,
    usd: Decimal | Fraction,
    opened_at: datetime,
    start_by: datetime,
) -> timedelta:
    """Return a time that no leg can run for longer, however often its limit is raised.

    Money lasts until E(s) for a start s, and E never falls: so no start allowed lasts longer than
    from the first one's moment to the last one's end.

    Args:
        book: The prices, pinned to the version of the leg's hold.
        demand: What the leg asks for.
        usd: The most that the run may cost, US dollars.
        opened_at: The first start possible, aware.
        start_by: The last start allowed.

    Returns:
        The bound, `RUN_TIME_MAX` at most; the same for whoever asks.

    Raises:
        PriceUnknownError: a part of the time that the money reaches has no price.
    """
    first, last = _allowed(opened_at, start_by)
    end = last + lasts(book.held(), demand, start=last, usd=usd, horizon=_HORIZON)
    return min(end - first, RUN_TIME_MAX)


def hold_price(
    book: PriceBook,
    demand: Demand,
    *,
    duration: timedelta,
    now: datetime,
    start_by: datetime,
    grace_s: float,
    skew_s: float = SKEW_S,
) -> tuple[Fraction, datetime]:
    """Return what must be held for a leg of a given length: its price at the dearest start.

    Args:
        book: The prices, pinned to the version of the leg's hold.
        demand: What the leg asks for.
        duration: Planned run time, >= 0.
        now: Aware.
        start_by: The last start allowed; not before `now`.
        grace_s: Seconds between SIGTERM and SIGKILL; billed.
        skew_s: Seconds kept for differing clocks; billed.

    Returns:
        US dollars, exact, and the earliest start that costs as much.

    Raises:
        PriceUnknownError: a part of the time has no price.
        BadInputError: the book does not have the flavor, or the times are not usable.

    Source:
        Design §6, "Hold".
    """
    book = book.held()
    billed = duration + timedelta(seconds=grace_s + skew_s)
    first, last = _allowed(now, start_by)
    starts = {
        first,
        last,
        *_edges(book, demand, start=first, end=last),
        *(e - billed for e in _edges(book, demand, start=first + billed, end=last + billed)),
    }
    prices = [
        (price(book, demand, start=start, end=start + billed), start) for start in sorted(starts)
    ]
    return max(prices, key=lambda priced: priced[0])


def _allowed(now: datetime, start_by: datetime) -> tuple[datetime, datetime]:
    first, last = utc(now), utc(start_by)
    if last < first:
        msg = "the last start allowed has passed"
        raise BadInputError(
            msg,
            where="start_by",
            expected=f"{first.isoformat()} or later",
            got=last.isoformat(),
            remedy="plan the leg again",
        )
    return first, last


def _edges(book: PriceBook, demand: Demand, *, start: datetime, end: datetime) -> list[datetime]:
    """Return where the rate changes within a stretch of time, its ends left out."""
    return [segment.start for segment in segments(book, demand, start=start, end=end)[1:]]


def _deciding_starts(
    first: datetime, last: datetime, *, book: PriceBook, demand: Demand, usd: Fraction
) -> Iterator[datetime]:
    """Yield starts from `first` to `last`, one of which is where the money lasts the shortest."""

    def end(start: datetime) -> datetime:
        return start + lasts(book, demand, start=start, usd=usd, horizon=_HORIZON)

    yield from (first, last)
    for piece in segments(book, demand, start=first, end=last):
        near = {piece.start, piece.end}
        if piece.usd_per_h:
            for edge in _edges(book, demand, start=end(piece.start), end=end(piece.end)):
                # The start whose money runs out at the edge: later by what is missing before it.
                missing_usd = price(book, demand, start=piece.start, end=edge) - usd
                later_us = ceil(missing_usd / piece.usd_per_h * HOUR_US)
                near.add(piece.start + later_us * MICROSECOND)
        for start in near:
            yield from (
                s for s in (start - MICROSECOND, start, start + MICROSECOND) if first <= s <= last
            )
