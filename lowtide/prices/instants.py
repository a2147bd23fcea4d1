"""Moments as whole microseconds since 1970 in UTC, the grain of `datetime`: exact and fast to add.

Everything between two moments is counted here and not on wall clocks, so a day of 23 or 25 hours
is simply 23 or 25 hours long.
"""

from datetime import UTC, date, datetime, timedelta

from lowtide.errors import BadInputError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BEGINNING = datetime.min.replace(tzinfo=UTC)
"""Before any moment that is priced."""
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US


def to_us(moment: datetime) -> int:
    """Return a moment as microseconds since 1970.

    Args:
        moment: Aware, any zone.

    Raises:
        BadInputError: the moment has no zone.

    Examples:
        >>> from datetime import timezone
        >>> to_us(datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))))
        0
    """
    if moment.tzinfo is None:
        msg = "a moment without a time zone can't be priced"
        raise BadInputError(
            msg,
            expected="an aware time, as 2026-12-01T08:00:00+01:00",
            got=moment.isoformat(),
            remedy="give the time its zone",
        )
    return (moment - EPOCH) // MICROSECOND


def from_us(instant_us: int) -> datetime:
    """Return microseconds since 1970 as an aware UTC datetime.

    Examples:
        >>> from_us(1_500_000)
        datetime.datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=datetime.timezone.utc)
    """
    return EPOCH + timedelta(microseconds=instant_us)


def utc(moment: datetime) -> datetime:
    """Return a moment in UTC, where adding hours means hours.

    Raises:
        BadInputError: the moment has no zone.
    """
    return from_us(to_us(moment))


def year_of(instant_us: int) -> int:
    """Return the UTC year of a moment."""
    return from_us(instant_us).year


def year_bounds_us(year: int) -> tuple[int, int]:
    """Return where a UTC year begins and where the next one does.

    Examples:
        >>> [edge_us // DAY_US for edge_us in year_bounds_us(1971)]
        [365, 730]
    """
    first, last = date(year, 1, 1).toordinal(), date(year, 12, 31).toordinal()
    epoch = EPOCH.date().toordinal()
    return (first - epoch) * DAY_US, (last + 1 - epoch) * DAY_US
