"""Tariff windows on the time line: which window each moment of a year falls into.

The one rule: a moment belongs to the window that covers the wall time which a clock in the zone
shows at that moment. So an hour that clocks repeat in autumn is priced twice and one that they
skip in spring never, windows are as long as they really are, and every moment has one price.

Between two clock changes local time is UTC plus a constant, so a year falls into a few stretches in
which edges are found by integer arithmetic; only the clock changes themselves are searched for.
"""

import difflib
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from lowtide.errors import BadInputError
from lowtide.prices.instants import DAY_US, EPOCH, SECOND_US, year_bounds_us, year_of
from lowtide.prices.records import DAY_MIN, DAYS, Window

_WEEK_MIN = 7 * DAY_MIN
_WEEK_US = 7 * DAY_US
_MINUTE_US = 60 * SECOND_US
_EPOCH_IN_WEEK_US = 3 * DAY_US  # 1970-01-01 was a Thursday; weeks begin on Monday


class WeekSpan(NamedTuple):
    """A stretch of the local week in one window; minutes after Monday 00:00."""

    start_min: int
    end_min: int
    window: Window


class WindowSpan(NamedTuple):
    """A stretch of time in one window; microseconds since 1970."""

    start_us: int
    end_us: int
    window: Window


def zone_named(name: str) -> ZoneInfo:
    """Return the time zone of that IANA name.

    Raises:
        BadInputError: no such zone, or one that each machine understands differently.

    Examples:
        >>> zone_named("Europe/Berlyn")
        Traceback (most recent call last):
        lowtide.errors.BadInputError: unknown time zone (expected an IANA name, as Europe/Berlin,
        got 'Europe/Berlyn'); did you mean Europe/Berlin?
    """
    known = _zone_names()
    if name in known:
        return ZoneInfo(name)
    near = difflib.get_close_matches(name, known, n=1)
    msg = "unknown time zone"
    raise BadInputError(
        msg,
        expected="an IANA name, as Europe/Berlin",
        got=repr(name),
        remedy=f"did you mean {near[0]}?" if near else "take a name from the IANA list",
    )


@lru_cache(maxsize=256)
def local_week(windows: tuple[Window, ...]) -> tuple[WeekSpan, ...]:
    """Lay windows out on the local week.

    Args:
        windows: In any order.

    Returns:
        Spans that cover Monday 00:00 to the next Monday 00:00, in order.

    Raises:
        BadInputError: two windows cover the same minute, or none covers one.

    Examples:
        >>> night = Window(name="night", start_min=22 * 60, end_min=6 * 60)
        >>> local_week((night,))
        Traceback (most recent call last):
        lowtide.errors.BadInputError: no window covers mon 06:00 to mon 22:00 (expected windows that
        cover every minute of the week once); let a window begin at 06:00 or another one end later
    """
    spans = sorted(
        (span for window in windows for span in _spans(window)), key=lambda span: span.start_min
    )
    last = WeekSpan(0, 0, Window(name=""))
    for span in (*spans, WeekSpan(_WEEK_MIN, _WEEK_MIN, Window(name=""))):
        if span.start_min > last.end_min:
            raise _gap(last.end_min, span.start_min)
        if span.start_min < last.end_min:
            raise _overlap(last, span)
        last = span
    return tuple(spans)


def spans_between(
    zone: str, windows: tuple[Window, ...], *, start_us: int, end_us: int
) -> Iterator[WindowSpan]:
    """Lay windows out on the time line.

    Args:
        zone: IANA name of the zone whose wall clock the windows follow.
        windows: As `local_week` accepts them.
        start_us: Microseconds since 1970.
        end_us: Likewise, later.

    Yields:
        Spans that cover the time exactly, in order, neighbours in different windows.
    """
    last: WindowSpan | None = None
    for year in range(year_of(start_us), year_of(end_us - 1) + 1):
        spans = _year(zone, windows, year)
        first = bisect_right(spans, start_us, key=lambda span: span.start_us) - 1
        for span in spans[max(first, 0) :]:
            if span.start_us >= end_us:
                break
            here = WindowSpan(max(span.start_us, start_us), min(span.end_us, end_us), span.window)
            if last is not None and last.window is here.window:  # goes on over New Year
                here = here._replace(start_us=last.start_us)
            elif last is not None:
                yield last
            last = here
    if last is not None:
        yield last


def clock_text(minute: int) -> str:
    """Write minutes after midnight as wall time.

    Examples:
        >>> clock_text(22 * 60), clock_text(1440)
        ('22:00', '24:00')
    """
    return f"{minute // 60:02}:{minute % 60:02}"


@lru_cache(maxsize=256)
def _year(zone: str, windows: tuple[Window, ...], year: int) -> tuple[WindowSpan, ...]:
    """Lay windows out on a UTC year; neighbours are in different windows."""
    week = local_week(windows)
    merged: list[WindowSpan] = []
    for start_us, end_us, offset_us in _offsets(zone, year):
        for span in _walk(week, start_us + offset_us, end_us + offset_us):
            here = WindowSpan(span.start_us - offset_us, span.end_us - offset_us, span.window)
            if merged and merged[-1].window is here.window:
                merged[-1] = merged[-1]._replace(end_us=here.end_us)
            else:
                merged.append(here)
    return tuple(merged)


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    # "localtime" is whatever the machine is set to: prices would depend on where they are read.
    return frozenset(available_timezones()) - {"localtime", "Factory"}


def _spans(window: Window) -> Iterator[WeekSpan]:
    for day in window.days:
        start_min = DAYS.index(day) * DAY_MIN + window.start_min
        length_min = (window.end_min - window.start_min - 1) % DAY_MIN + 1
        end_min = start_min + length_min
        yield WeekSpan(start_min, min(end_min, _WEEK_MIN), window)
        if end_min > _WEEK_MIN:  # Sunday night goes on into Monday
            yield WeekSpan(0, end_min - _WEEK_MIN, window)


def _walk(week: tuple[WeekSpan, ...], start_us: int, end_us: int) -> Iterator[WindowSpan]:
    """Yield the spans of a local stretch, in local microseconds."""
    first = (start_us + _EPOCH_IN_WEEK_US) // _WEEK_US
    last = (end_us + _EPOCH_IN_WEEK_US) // _WEEK_US
    for number in range(first, last + 1):
        monday_us = number * _WEEK_US - _EPOCH_IN_WEEK_US
        for span in week:
            span_start_us = max(start_us, monday_us + span.start_min * _MINUTE_US)
            span_end_us = min(end_us, monday_us + span.end_min * _MINUTE_US)
            if span_start_us < span_end_us:
                yield WindowSpan(span_start_us, span_end_us, span.window)


@lru_cache(maxsize=256)
def _offsets(zone: str, year: int) -> tuple[tuple[int, int, int], ...]:
    """Return the year's stretches of one UTC offset: start, end, offset, all in microseconds.

    Clocks are probed once a day and a change is then found to the second. Two changes within a day
    would be missed; in the IANA database no zone ever had two within 6.9 days.
    """
    tz = zone_named(zone)
    year_start_us, year_end_us = year_bounds_us(year)
    edges_us = [year_start_us]
    for before_us, after_us in pairwise(range(year_start_us, year_end_us + DAY_US, DAY_US)):
        if _offset_us(tz, before_us) != _offset_us(tz, min(after_us, year_end_us - SECOND_US)):
            edges_us.append(_change_us(tz, before_us, after_us))
    edges_us.append(year_end_us)
    return tuple(
        (start_us, end_us, _offset_us(tz, start_us)) for start_us, end_us in pairwise(edges_us)
    )


def _change_us(tz: ZoneInfo, before_us: int, after_us: int) -> int:
    offset_us = _offset_us(tz, before_us)
    while after_us - before_us > SECOND_US:
        middle_us = (before_us + after_us) // (2 * SECOND_US) * SECOND_US
        if _offset_us(tz, middle_us) == offset_us:
            before_us = middle_us
        else:
            after_us = middle_us
    return after_us


def _offset_us(tz: ZoneInfo, instant_us: int) -> int:
    moment: datetime = EPOCH + timedelta(microseconds=instant_us)
    offset = moment.replace(tzinfo=UTC).astimezone(tz).utcoffset() or timedelta()
    return offset // timedelta(microseconds=1)


def _named(minute: int) -> str:
    return f"{DAYS[minute // DAY_MIN % 7]} {clock_text(minute % DAY_MIN)}"


def _gap(start_min: int, end_min: int) -> BadInputError:
    return BadInputError(
        f"no window covers {_named(start_min)} to {_named(end_min)}",
        expected="windows that cover every minute of the week once",
        remedy=f"let a window begin at {clock_text(start_min % DAY_MIN)} or another one end later",
    )


def _overlap(first: WeekSpan, second: WeekSpan) -> BadInputError:
    return BadInputError(
        f"windows {first.window.name!r} and {second.window.name!r} both cover "
        f"{_named(second.start_min)}",
        expected="windows that cover every minute of the week once",
        remedy=f"let {first.window.name!r} end where {second.window.name!r} begins",
    )
