"""FOCUS rows as files: CSV for every reader, Parquet for those who want types and millions of rows."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

from lowtide.report.focus import COLUMNS, Kind, kind_of

_ROWS_PER_GROUP = 50_000  # so memory does not grow with the journal


def csv_parts(rows: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """Yield the text of a CSV file, line by line.

    Args:
        rows: As `focus_row` makes them.

    Example:
        >>> next(csv_parts([]))[:24]
        'BilledCost,EffectiveCost'
    """
    line = StringIO()
    writer = csv.DictWriter(line, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        yield _taken(line)
        writer.writerow(row)
    yield _taken(line)


def write_parquet(rows: Iterable[Mapping[str, str]], path: Path) -> None:
    """Write rows as one Parquet file: money as decimals, moments in UTC, nothing unknown as 0.

    Args:
        rows: As `focus_row` makes them.
        path: The file; what is there is replaced.

    Raises:
        OSError: the file cannot be written.
    """
    pyarrow: Any = import_module("pyarrow")  # untyped; takes a moment, so only where it is wanted
    parquet: Any = import_module("pyarrow.parquet")
    types = {
        Kind.TEXT: pyarrow.string(),
        Kind.DECIMAL: pyarrow.decimal128(38, 6),
        Kind.MOMENT: pyarrow.timestamp("ms", tz="UTC"),
        Kind.INTEGER: pyarrow.int64(),
        Kind.FLAG: pyarrow.bool_(),
    }
    schema = pyarrow.schema([(column, types[kind_of(column)]) for column in COLUMNS])
    left = iter(rows)
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(left, _ROWS_PER_GROUP)):
            columns = {column: [_value(row, column) for row in group] for column in COLUMNS}
            writer.write_table(pyarrow.table(columns, schema=schema))


def _value(row: Mapping[str, str], column: str) -> object:
    text = row[column]
    return _READ[kind_of(column)](text) if text else None


def _text(text: str) -> str:
    return text


def _flag(text: str) -> bool:
    return text == "true"


_READ: Mapping[Kind, Callable[[str], object]] = {
    Kind.TEXT: _text,
    Kind.DECIMAL: Decimal,
    Kind.MOMENT: datetime.fromisoformat,
    Kind.INTEGER: int,
    Kind.FLAG: _flag,
}


def _taken(text: StringIO) -> str:
    found = text.getvalue()
    text.seek(0)
    text.truncate()
    return found
