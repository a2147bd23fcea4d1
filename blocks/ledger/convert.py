"""Times and money on their way into the database and back.

Both are whole numbers there: micro-seconds since 1970 and micro-dollars. Whole numbers compare,
sort and add up the same way on every database.
"""

from datetime import datetime, timedelta
from typing import overload

from lowtide.errors import BadInputError
from lowtide.ledger.periods import EPOCH

_TICK = timedelta(microseconds=1)


@overload
def to_us(at: datetime) -> int: ...
@overload
def to_us(at: None) -> None: ...
@overload
def to_us(at: datetime | None) -> int | None: ...
def to_us(at: datetime | None) -> int | None:
    """Return a moment as micro-seconds since 1970; None stays None.

    Raises:
        BadInputError: the time has no zone, so nobody knows which moment it means.

    Examples:
        >>> from datetime import UTC
        >>> to_us(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
        1000000
    """
    if at is None:
        return None
    if at.tzinfo is None:
        msg = "a time without a zone names no moment"
        remedy = "pass an aware datetime"
        raise BadInputError(msg, expected="an aware time", got=at.isoformat(), remedy=remedy)
    return (at - EPOCH) // _TICK


def from_us(at_us: int) -> datetime:
    """Return micro-seconds since 1970 as an aware UTC time.

    Examples:
        >>> from_us(1_000_000).isoformat()
        '1970-01-01T00:00:01+00:00'
    """
    return EPOCH + timedelta(microseconds=at_us)


def from_us_if(at_us: int | None) -> datetime | None:
    """Return micro-seconds since 1970 as an aware UTC time; None stays None."""
    return None if at_us is None else from_us(at_us)
