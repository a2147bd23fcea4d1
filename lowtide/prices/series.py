"""A market price series as CSV: two columns, `at` and `usd_per_h`, one row for each change.

A row holds until the next one. An empty price says that nobody knows it from there on. Everything
else that is no price (a marker, a negative number, a time without a zone or out of order) is refused
with its line, because a series that is read wrongly bills wrongly.
"""

import csv
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import NoReturn

from lowtide.errors import BadInputError
from lowtide.prices.records import PricePoint

_COLUMNS = ["at", "usd_per_h"]


def parse_series(text: str, *, source: str) -> tuple[PricePoint, ...]:
    r"""Read a market price series.

    Args:
        text: CSV with the header `at,usd_per_h`: times with their zone, oldest first, and US dollars
            per GPU-hour, >= 0 or empty.
        source: Name of the file, for messages.

    Returns:
        The points.

    Raises:
        BadInputError: the first fault, with its line.

    Examples:
        >>> parse_series("at,usd_per_h\n2026-01-01T00:00:00Z,0.31\n", source="spot.csv")
        (PricePoint(at=datetime.datetime(2026, 1, 1, ...), usd_per_h=Decimal('0.31')),)
        >>> parse_series("at,usd_per_h\n2026-01-01T00:00:00Z,-1\n", source="spot.csv")
        Traceback (most recent call last):
        lowtide.errors.BadInputError: spot.csv: line 2: not a price (expected US dollars per GPU-hour,
        >= 0, or nothing where unknown, got '-1'); correct the line
    """
    rows = csv.reader(text.splitlines())
    header = next(rows, list[str]())
    if header != _COLUMNS:
        msg = "not a price series"
        raise BadInputError(
            msg,
            where=f"{source}: line 1",
            expected="the header at,usd_per_h",
            got=repr(",".join(header)),
            remedy="name the columns so",
        )
    points: list[PricePoint] = []
    for row in filter(None, rows):  # a blank line says nothing
        where = f"{source}: line {rows.line_num}"
        point = _point(row, where=where)
        if points and point.at <= points[-1].at:
            _refuse("out of order", where, f"later than {points[-1].at.isoformat()}", row[0])
        points.append(point)
    if not points:
        msg = "the price series is empty"
        raise BadInputError(
            msg, where=source, expected="at least one row", remedy="add the prices"
        )
    return tuple(points)


def _point(row: list[str], *, where: str) -> PricePoint:
    if len(row) != len(_COLUMNS):
        _refuse("not a row of the series", where, "a time and a price", ",".join(row))
    return PricePoint(at=_at(row[0], where=where), usd_per_h=_usd_per_h(row[1], where=where))


def _at(text: str, *, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        _refuse("not a time", where, "a time with its zone, as 2026-12-01T08:00:00Z", text)
    return moment.astimezone(UTC)


def _usd_per_h(text: str, *, where: str) -> Decimal | None:
    if not text:
        return None
    try:
        usd_per_h = Decimal(text)
    except InvalidOperation:
        usd_per_h = Decimal("NaN")
    if not (usd_per_h.is_finite() and usd_per_h >= 0):
        expected = "US dollars per GPU-hour, >= 0, or nothing where unknown"
        _refuse("not a price", where, expected, text)
    return usd_per_h


def _refuse(message: str, where: str, expected: str, got: str) -> NoReturn:
    raise BadInputError(
        message, where=where, expected=expected, got=repr(got), remedy="correct the line"
    )
