"""How a line gets into the journal, and what it moves: the one place where balances change.

The budgets of a path are read under lock, in one transaction with everything that follows from
them, so a policy can never be older than the balance it is applied to.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    insert,
    select,
    update,
)

from blocks.ledger.convert import from_us, to_us
from blocks.ledger.engine import Stored, insert_into
from blocks.ledger.prepared import Prepared
from blocks.ledger.schema import BALANCE, BUDGET, CROSSING, JOURNAL, POSTING
from lowtide.errors import ConflictError
from lowtide.ledger.budgets import Mode
from lowtide.ledger.periods import Period, PeriodKind, period_of
from lowtide.ledger.records import LineKind
from lowtide.ledger.rules import Level, crossed
from lowtide.ledger.states import ThresholdOf

Book: TypeAlias = Stored
"""A row of `BUDGET`, locked until the transaction ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who writes lines, and why.

    Attributes:
        key: The caller's idempotency key.
        ask: What was asked under it; a repeat must ask the same.
        actor: Who.
        reason: Why.
        at: When.
    """

    key: str
    ask: str
    actor: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line to be written, and what it moves on every budget of its path; micro-dollars."""

    kind: LineKind
    amount: int
    held: int = 0
    charged: int = 0
    adjusted: int = 0
    run: str | None = None
    leg: int | None = None
    price_version: str | None = None
    window: str | None = None
    used_from: datetime | None = None
    used_to: datetime | None = None
    measured: bool = True


def lines_of(connection: Connection, author: Author) -> Sequence[Stored]:
    """Return the lines that a key already has: the answer to a repeated question.

    Raises:
        ConflictError: something else was asked under the same key.
    """
    rows = _LINES.rows(connection, {"asked_key": author.key})
    if rows and rows[0].ask != author.ask:
        msg = "the same key came with another request"
        raise ConflictError(
            msg,
            where=f"key {author.key!r}",
            expected=rows[0].ask,
            got=author.ask,
            remedy="use a new key for a new request; the first one stands",
        )
    return rows


def lock_books(connection: Connection, path: Sequence[str]) -> Sequence[Book]:
    """Lock the budgets of a path from the root down, and return them.

    Everybody locks in this order, so two writers can wait for each other only where a tree is
    being rearranged; the database then ends one of them, which starts again.
    """
    return _books(len(path)).rows(connection, _names(path))


def period_at(book: Book, at: datetime) -> Period:
    """Return the period of a budget that a moment lies in."""
    return period_of(PeriodKind(book.period), zone=book.zone, at=at)


def levels_at(connection: Connection, books: Sequence[Book], *, at: datetime) -> tuple[Level, ...]:
    """Return how budgets stand in the period that a moment lies in, in their order."""
    if not books:
        return ()
    asked = {**_names([book.name for book in books]), "at_us": to_us(at)}
    stored = {row.budget: row for row in _balances(len(books)).rows(connection, asked)}
    return tuple(_level(book, stored.get(book.name), at=at) for book in books)


def open_levels(
    connection: Connection, books: Sequence[Book], *, at: datetime, now: datetime
) -> tuple[Level, ...]:
    """Return the levels on which a charge for used time lands.

    A charge belongs to the period in which the time was used. Where that period was closed, it
    belongs to the current one: closed books never change.

    Args:
        connection: The transaction, in which the books are locked.
        books: The budgets, the root first.
        at: When the time was used.
        now: The time.

    Returns:
        One level for each budget.
    """
    levels = levels_at(connection, books, at=at)
    if not any(level.closed for level in levels):
        return levels
    current = levels_at(connection, books, at=now)
    return tuple(
        later if level.closed else level for level, later in zip(levels, current, strict=True)
    )


def post(
    connection: Connection,
    levels: Sequence[Level],
    lines: Iterable[Line],
    *,
    author: Author,
    first_part: int = 0,
) -> None:
    """Write lines, move the balances of every budget of the path, and note crossed thresholds.

    Args:
        connection: The transaction, in which the books are locked.
        levels: How the budgets stand, from the root to the one that pays.
        lines: What to write, in order.
        author: Who writes it.
        first_part: Number of the first line among those of the same key.
    """
    before: Line | None = None
    for part, line in enumerate(lines, start=first_part):
        if before is not None:
            levels = [_moved(level, before) for level in levels]
        _post(connection, levels, line, author=author, part=part)
        before = line


def _post(
    connection: Connection, levels: Sequence[Level], line: Line, *, author: Author, part: int
) -> None:
    cells = [_cell(level, line) for level in levels]
    if line.held:
        names = _names([level.name for level in levels])
        _move_held(len(levels)).run(connection, {**names, "more_held": line.held})
    if line.charged or line.adjusted or any(level.fresh for level in levels):
        ends = [{"period_end_us": to_us(level.period.end)} for level in levels]
        rows = [{**cell, **end} for cell, end in zip(cells, ends, strict=True)]
        _move_balances(connection.dialect.name).run_each(connection, rows)
    written = _written(levels[-1].name, line, author=author, part=part)
    number = _WRITE.one(connection, written).id
    if line.held or line.charged or line.adjusted:
        postings = [{**cell, "line": number, "held_micro_usd": line.held} for cell in cells]
        _POST.run_each(connection, postings)
    for level in levels:
        _note_crossings(connection, level, line, at=author.at)


def _moved(level: Level, line: Line) -> Level:
    return replace(
        level,
        limit_micro_usd=level.limit_micro_usd + line.adjusted,
        held_micro_usd=level.held_micro_usd + line.held,
        charged_micro_usd=level.charged_micro_usd + line.charged,
        fresh=False,
    )


_LINES = Prepared(
    select(JOURNAL).where(JOURNAL.c.key == bindparam("asked_key")).order_by(JOURNAL.c.part)
)
_WRITE = Prepared(
    insert(JOURNAL).returning(JOURNAL.c.id),
    columns=[column.name for column in JOURNAL.c if column is not JOURNAL.c.id],
)
_POST = Prepared(insert(POSTING), columns=POSTING.c.keys())


# A list of names has a value for each, and a statement for each length.
def _names(names: Sequence[str]) -> dict[str, str]:
    return {f"name_{at}": name for at, name in enumerate(names)}


def _among(column: ColumnElement[str], length: int) -> ColumnElement[bool]:
    return column.in_([bindparam(f"name_{at}") for at in range(length)])


@cache
def _books(length: int) -> Prepared:
    among = select(BUDGET).where(_among(BUDGET.c.name, length))
    return Prepared(among.order_by(BUDGET.c.depth, BUDGET.c.name).with_for_update())


@cache
def _balances(length: int) -> Prepared:
    # A budget whose period was changed may have two rows for one moment; the later start is meant.
    at = select(BALANCE).where(
        _among(BALANCE.c.budget, length),
        BALANCE.c.period_start_us <= bindparam("at_us"),
        BALANCE.c.period_end_us > bindparam("at_us"),
    )
    return Prepared(at.order_by(BALANCE.c.period_start_us))


@cache
def _move_held(length: int) -> Prepared:
    more = BUDGET.c.held_micro_usd + bindparam("more_held")
    among = update(BUDGET).where(_among(BUDGET.c.name, length))
    return Prepared(among.values(held_micro_usd=more))


@cache
def _move_balances(dialect: str) -> Prepared:
    columns = ["budget", "period_start_us", "period_end_us", *_MOVED]
    statement = insert_into(dialect, BALANCE)
    moved = {name: BALANCE.c[name] + statement.excluded[name] for name in _MOVED}
    key = [BALANCE.c.budget, BALANCE.c.period_start_us]
    upsert = statement.on_conflict_do_update(index_elements=key, set_=moved)
    return Prepared(upsert, columns=columns)


_MOVED = ("charged_micro_usd", "adjusted_micro_usd")


def _cell(level: Level, line: Line) -> dict[str, Any]:
    return {
        "budget": level.name,
        "period_start_us": to_us(level.period.start),
        "charged_micro_usd": line.charged,
        "adjusted_micro_usd": line.adjusted,
    }


def _written(budget: str, line: Line, *, author: Author, part: int) -> dict[str, Any]:
    return {
        "at_us": to_us(author.at),
        "kind": line.kind.value,
        "budget": budget,
        "run": line.run,
        "leg": line.leg,
        "amount_micro_usd": line.amount,
        "price_version": line.price_version,
        "tariff_window": line.window,
        "used_from_us": to_us(line.used_from),
        "used_to_us": to_us(line.used_to),
        "actor": author.actor,
        "reason": author.reason,
        "key": author.key,
        "part": part,
        "ask": author.ask if part == 0 else None,
        "measured": line.measured,
    }


def _note_crossings(connection: Connection, level: Level, line: Line, *, at: datetime) -> None:
    """Write down each threshold that a figure of the level reached; the first time counts.

    In a period's first line, and where the limit itself moved, every threshold below the figure
    counts as just reached; those that were noted before are left alone.
    """
    anew = level.fresh or bool(line.adjusted) or line.kind is LineKind.LIMIT
    charged = level.charged_micro_usd + line.charged
    figures = {ThresholdOf.CHARGED: (level.charged_micro_usd, charged)}
    if level.period.start <= at < level.period.end:
        before = level.charged_micro_usd + level.held_micro_usd
        figures[ThresholdOf.FORECAST] = (before, before + line.charged + line.held)
    limit = level.limit_micro_usd + line.adjusted
    rows = [
        {
            "budget": level.name,
            "period_start_us": to_us(level.period.start),
            "percent": percent,
            "figure": figure.value,
            "at_us": to_us(at),
            "amount_micro_usd": after,
            "limit_micro_usd": limit,
        }
        for figure, (before, after) in figures.items()
        for percent in crossed(
            level.thresholds,
            limit_micro_usd=limit,
            before_micro_usd=0 if anew else before,
            after_micro_usd=after,
        )
    ]
    if rows and level.mode is not Mode.OBSERVE:
        statement = insert_into(connection.dialect.name, CROSSING).on_conflict_do_nothing()
        connection.execute(statement, rows)


def _level(book: Book, balance: Stored | None, *, at: datetime) -> Level:
    if balance is None:
        period, charged, adjusted = period_at(book, at), 0, 0
    else:
        start, end = from_us(balance.period_start_us), from_us(balance.period_end_us)
        period = Period(start=start, end=end)
        charged, adjusted = balance.charged_micro_usd, balance.adjusted_micro_usd
    return Level(
        name=book.name,
        mode=Mode(book.mode),
        period=period,
        limit_micro_usd=book.limit_micro_usd + adjusted,
        held_micro_usd=book.held_micro_usd,
        charged_micro_usd=charged,
        thresholds=tuple(book.thresholds),
        fresh=balance is None,
        closed=balance is not None and balance.closed_us is not None,
    )
