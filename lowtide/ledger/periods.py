"""Budget periods: stretches of the calendar in the budget's own time zone.

A period is named by its UTC start. It begins at a local midnight, so a day that loses or gains an
hour is a period of 23 or 25 hours, and two budgets of one tree may disagree on which day it is.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
_MONTHS = {"month": 1, "quarter": 3}


class PeriodKind(StrEnum):
    """How long a limit lasts before it starts afresh. The values are stored: never rename one."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    TOTAL = "total"
    """One period for all time: the limit never starts afresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """One period of a budget.

    Attributes:
        start: First moment, aware UTC; `EPOCH` for a total.
        end: First moment after it, aware UTC; `FOREVER` for a total.
    """

    start: datetime
    end: datetime


def period_of(kind: PeriodKind, *, zone: str, at: datetime) -> Period:
    """Return the period that a moment lies in.

    Args:
        kind: Length of the period.
        zone: IANA time zone in whose calendar it begins and ends.
        at: The moment, aware.

    Returns:
        The period, with `start <= at < end`.

    Examples:
        The last Sunday of October has 25 hours in Berlin:

        >>> day = period_of(
        ...     PeriodKind.DAY,
        ...     zone="Europe/Berlin",
        ...     at=datetime(2026, 10, 25, 12, tzinfo=UTC),
        ... )
        >>> day.start.isoformat(), day.end - day.start
        ('2026-10-24T22:00:00+00:00', datetime.timedelta(days=1, seconds=3600))
    """
    if kind is PeriodKind.TOTAL:
        return Period(start=EPOCH, end=FOREVER)
    calendar = ZoneInfo(zone)
    today = at.astimezone(calendar).date()
    if kind is PeriodKind.DAY:
        first, after = today, today + timedelta(days=1)
    elif kind is PeriodKind.WEEK:
        first = today - timedelta(days=today.weekday())
        after = first + timedelta(weeks=1)
    else:
        months = _MONTHS[kind]
        first = date(today.year, (today.month - 1) // months * months + 1, 1)
        after = _later(first, months=months)
    return Period(start=_midnight(first, calendar), end=_midnight(after, calendar))


def _later(first: date, *, months: int) -> date:
    month = first.month - 1 + months
    return date(first.year + month // 12, month % 12 + 1, 1)


def _midnight(day: date, calendar: ZoneInfo) -> datetime:
    # Where the clock skips midnight, the offset before the jump names the very moment of it.
    return datetime.combine(day, time(), tzinfo=calendar).astimezone(UTC)
