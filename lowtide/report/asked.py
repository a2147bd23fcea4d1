"""What a report is asked for: which days, in whose calendar, by what, of which budget.

Days are whole days of one time zone, and the last one is included: that is what a person means by
"from the 1st to the 30th". Inside, a stretch of time is half-open, so two reports side by side
neither miss a micro-dollar nor count one twice.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from lowtide.errors import BadInputError
from lowtide.prices.windows import zone_named

DAYS_BY_DEFAULT = 30
DAYS_MAX = 3660
MONTHS_SHOWN = 6
_FIRST_YEAR, _LAST_YEAR = 1971, 9000


class By(StrEnum):
    """What a report is grouped by."""

    TEAM = "team"
    PROJECT = "project"
    BUDGET = "budget"
    PRIORITY = "priority"
    FLAVOR = "flavor"
    WINDOW = "window"
    DAY = "day"
    JOB = "job"

    @property
    def of_time(self) -> bool:
        """Whether it divides used time, and not runs: one run may lie in several groups."""
        return self in {By.WINDOW, By.DAY}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAsk:
    """Which money a report is about.

    Attributes:
        first_day: First day, in the zone's calendar.
        last_day: Last day, included, not before the first.
        zone: IANA name of the time zone in whose calendar days and months begin.
        by: What it is grouped by.
        budget: Only this budget and those below it; None: all.
    """

    first_day: date
    last_day: date
    zone: str = "UTC"
    by: By = By.TEAM
    budget: str | None = None

    @property
    def start(self) -> datetime:
        """First moment, aware UTC."""
        return midnight(self.first_day, self.zone)

    @property
    def end(self) -> datetime:
        """First moment after it, aware UTC."""
        return midnight(self.last_day + timedelta(days=1), self.zone)

    @property
    def days(self) -> tuple[date, ...]:
        """Its days, oldest first."""
        count = (self.last_day - self.first_day).days + 1
        return tuple(self.first_day + timedelta(days=at) for at in range(count))

    @property
    def before(self) -> tuple[datetime, datetime]:
        """Start and end of as many days right before it."""
        first = self.first_day - timedelta(days=len(self.days))
        return midnight(first, self.zone), self.start

    @property
    def months(self) -> tuple[date, ...]:
        """First days of the months that trends show: the last ones, up to the last day's."""
        last = self.last_day.year * 12 + self.last_day.month - 1
        numbers = range(last - MONTHS_SHOWN + 1, last + 1)
        return tuple(date(number // 12, number % 12 + 1, 1) for number in numbers)


def parse_ask(
    first: str | None,
    last: str | None,
    *,
    now: datetime,
    zone: str = "UTC",
    by: str = By.TEAM,
    budget: str | None = None,
) -> ReportAsk:
    """Read what somebody asked for.

    Args:
        first: First day as 2026-11-01; None: thirty days before the last, or the first of them.
        last: Last day, included; None: today.
        now: Aware; today is its day in the zone.
        zone: IANA name of a time zone.
        by: What to group by.
        budget: A budget's name, checked by whoever has the books; None: all.

    Returns:
        What is asked for.

    Raises:
        BadInputError: half a date, dates reversed, no such zone, nothing to group by.

    Examples:
        >>> now = datetime.fromisoformat("2026-11-27T12:00:00Z")
        >>> ask = parse_ask("2026-11-01", None, now=now)
        >>> ask.start.isoformat(), ask.end.isoformat()
        ('2026-11-01T00:00:00+00:00', '2026-11-28T00:00:00+00:00')
        >>> parse_ask("2026-11", None, now=now)
        Traceback (most recent call last):
        lowtide.errors.BadInputError: --from: not a day (expected a whole date, as 2026-11-01, got
        '2026-11'); give year, month and day
    """
    calendar = _zone(zone)
    grouped = _by(by)
    last_day = now.astimezone(calendar).date() if last is None else _day(last, where="--to")
    first_day = (
        last_day - timedelta(days=DAYS_BY_DEFAULT - 1)
        if first is None
        else _day(first, where="--from")
    )
    if first_day > last_day:
        msg = "the first day comes after the last"
        raise BadInputError(
            msg,
            where="--from, --to",
            expected=f"a last day on or after {first_day}",
            got=str(last_day),
            remedy="swap them, or leave --to out for today" if last else "name an earlier --from",
        )
    if (last_day - first_day).days >= DAYS_MAX:
        msg = "more days than a report covers"
        raise BadInputError(
            msg,
            where="--from, --to",
            expected=f"at most {DAYS_MAX} days",
            got=f"{(last_day - first_day).days + 1} days",
            remedy="ask for shorter stretches",
        )
    return ReportAsk(first_day=first_day, last_day=last_day, zone=zone, by=grouped, budget=budget)


def midnight(day: date, zone: str) -> datetime:
    """Return the moment at which a day begins in a zone, aware UTC.

    Examples:
        The last Sunday of October has 25 hours in Berlin:

        >>> begins = midnight(date(2026, 10, 25), "Europe/Berlin")
        >>> midnight(date(2026, 10, 26), "Europe/Berlin") - begins
        datetime.timedelta(days=1, seconds=3600)
    """
    # Where the clock skips midnight, the offset before the jump names the very moment of it.
    return datetime.combine(day, time(), tzinfo=ZoneInfo(zone)).astimezone(UTC)


def _day(text: str, *, where: str) -> date:
    try:
        day = datetime.strptime(text.strip(), "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        day = None
    if day is None or not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        msg = "not a day"
        raise BadInputError(
            msg,
            where=where,
            expected="a whole date, as 2026-11-01",
            got=repr(text),
            remedy="give year, month and day",
        )
    return day


def _zone(name: str) -> ZoneInfo:
    try:
        return zone_named(name)
    except BadInputError as error:
        raise BadInputError(
            error.message,
            where="--zone",
            expected=error.expected,
            got=error.got,
            remedy=error.remedy,
        ) from None


def _by(text: str) -> By:
    try:
        return By(text)
    except ValueError:
        msg = "nothing to group a report by"
        raise BadInputError(
            msg,
            where="--by",
            expected=f"one of {', '.join(by.value for by in By)}",
            got=repr(text),
            remedy="name one of them",
        ) from None
