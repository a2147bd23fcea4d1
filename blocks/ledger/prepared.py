"""Statements that are compiled once and then given to the driver as they are.

SQLAlchemy writes the SQL and knows how values are stored. But looking a statement up, filling it in
and wrapping its result costs several times what the database needs to answer. That is lost among
other work; it is not where eight processes wait for the same budget, and everything between a
transaction's begin and its commit is time that the next one waits. So the statements that move
money are compiled when they are first used, and only run afterwards. Who listens to an engine's
`before_cursor_execute` and `after_cursor_execute` hears of them as of any other.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from sqlalchemy import Connection, Dialect, Insert, Select, Update
from sqlalchemy.engine.interfaces import DBAPICursor, DBAPIModule
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from blocks.ledger.engine import Stored

Values: TypeAlias = Mapping[str, Any]
_Convert: TypeAlias = Callable[[Any], Any]


class Prepared:
    """A statement, compiled once for each database.

    Args:
        statement: The statement; each `bindparam` without a value in it is one to be given. Lists
            of unknown length have no place in it.
        columns: Columns that an INSERT fills or an UPDATE sets: values to be given as well.

    Examples:
        >>> from sqlalchemy import Integer, bindparam, create_engine, select
        >>> double = Prepared(select((2 * bindparam("x", type_=Integer())).label("y")))
        >>> engine = create_engine("sqlite://")
        >>> with engine.connect() as connection:
        ...     [row.y for row in double.rows(connection, {"x": 21})]
        [42]
        >>> engine.dispose()
    """

    def __init__(
        self, statement: Select[*tuple[Any, ...]] | Insert | Update, *, columns: Sequence[str] = ()
    ) -> None:
        self._statement = statement
        self._columns = list(columns) or None
        self._forms: dict[str, _Form] = {}

    def rows(self, connection: Connection, values: Values) -> list[Stored]:
        """Run the statement and return the rows that it found or returned."""
        form = self._form(connection.dialect)
        return form.rows(_run(connection, form.sql, form.filled(values), many=False))

    def first(self, connection: Connection, values: Values) -> Stored | None:
        """Run the statement and return its first row, if there is one."""
        rows = self.rows(connection, values)
        return rows[0] if rows else None

    def one(self, connection: Connection, values: Values) -> Stored:
        """Run a statement that certainly has one row, and return it."""
        (row,) = self.rows(connection, values)
        return row

    def run(self, connection: Connection, values: Values) -> None:
        """Run the statement."""
        form = self._form(connection.dialect)
        _run(connection, form.sql, form.filled(values), many=False).close()

    def run_each(self, connection: Connection, values: Sequence[Values]) -> None:
        """Run the statement for each of several sets of values."""
        form = self._form(connection.dialect)
        rows = [form.filled(each) for each in values]
        _run(connection, form.sql, rows, many=True).close()

    def _form(self, dialect: Dialect) -> "_Form":
        form = self._forms.get(dialect.name)
        if form is None:
            form = self._forms[dialect.name] = self._compiled(dialect)
        return form

    def _compiled(self, dialect: Dialect) -> "_Form":
        compiled = self._statement.compile(dialect=dialect, column_keys=self._columns)
        columns = self._statement.exported_columns
        return _Form(
            sql=compiled.string,
            order=compiled.positiontup,
            constants={
                name: value.effective_value
                for name, value in compiled.binds.items()
                if not value.required
            },
            inward={
                name: convert
                for name, value in compiled.binds.items()
                if (convert := _inward(value.type, dialect)) is not None
            },
            outward=[
                (at, convert)
                for at, column in enumerate(columns)
                if (convert := _outward(column.type, dialect)) is not None
            ],
            row=_named([str(column.key) for column in columns]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """A statement in the words of one database, and how its values are converted.

    Attributes:
        sql: What the driver gets.
        order: The values' names in the order of their marks; None where they are marked by name.
        constants: Values that are part of the statement.
        inward: Conversions of values, by name.
        outward: Conversions of results, by position.
        row: Makes a row with named fields.
    """

    sql: str
    order: Sequence[str] | None
    constants: Values
    inward: Mapping[str, _Convert]
    outward: Sequence[tuple[int, _Convert]]
    row: Callable[[Sequence[Any]], Stored]

    def filled(self, values: Values) -> Values | tuple[Any, ...]:
        if self.constants:
            values = {**self.constants, **values}
        if self.inward:
            converted = {name: convert(values[name]) for name, convert in self.inward.items()}
            values = {**values, **converted}
        return values if self.order is None else tuple([values[name] for name in self.order])

    def rows(self, cursor: DBAPICursor) -> list[Stored]:
        found: Sequence[Sequence[Any]] = cursor.fetchall()
        cursor.close()
        if not self.outward:
            return [self.row(each) for each in found]
        rows: list[Stored] = []
        for each in found:
            values = list(each)
            for at, convert in self.outward:
                values[at] = convert(values[at])
            rows.append(self.row(values))
        return rows


def _run(connection: Connection, sql: str, values: Any, *, many: bool) -> DBAPICursor:  # noqa: ANN401 - as the driver has it
    cursor = connection.connection.cursor()
    told: Any = connection.engine.dispatch  # SQLAlchemy declares no types for its events
    # Asked first, because to go through none of them takes longer than to see that there are none.
    if told.before_cursor_execute:
        for listener in told.before_cursor_execute:
            sql, values = listener(connection, cursor, sql, values, None, many)
    try:
        (cursor.executemany if many else cursor.execute)(sql, values)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _wrapped(connection, cursor, error, sql=sql, values=values) from error
    if told.after_cursor_execute:
        for listener in told.after_cursor_execute:
            listener(connection, cursor, sql, values, None, many)
    return cursor


def _wrapped(
    connection: Connection,
    cursor: DBAPICursor,
    error: DBAPIModule.Error,
    *,
    sql: str,
    values: Any,  # noqa: ANN401 - as the driver has it
) -> BaseException:
    """Return the driver's error as SQLAlchemy would raise it."""
    dialect = connection.dialect
    gone = dialect.is_disconnect(error, connection.connection, cursor)
    if gone:
        connection.invalidate(error)
    driver = dialect.loaded_dbapi.Error
    return DBAPIError.instance(
        sql, values, error, driver, connection_invalidated=gone, dialect=dialect
    )


def _named(columns: Sequence[str]) -> Callable[[Sequence[Any]], Stored]:
    # Its names are looked up several times faster than those of SQLAlchemy's own rows. They are known
    # only now, and neither linter nor type checker can follow that.
    Row = namedtuple("Row", columns)  # pyright: ignore[reportUntypedNamedTuple] # noqa: PYI024 - see above
    return cast("Callable[[Sequence[Any]], Stored]", Row._make)


def _inward(kind: TypeEngine[Any], dialect: Dialect) -> _Convert | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _outward(kind: TypeEngine[Any], dialect: Dialect) -> _Convert | None:
    return kind.dialect_impl(dialect).result_processor(dialect, None)
