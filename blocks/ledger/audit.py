"""The journal for readers: its lines, what they add up to, and whether the balances agree."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    func,
    select,
    true,
)

from blocks.ledger.convert import from_us, from_us_if, to_us
from blocks.ledger.engine import Store, Stored, reads
from blocks.ledger.schema import BALANCE, BUDGET, HOLD, JOURNAL, LEG, POSTING
from lowtide.ledger.records import JournalLine, LineKind
from lowtide.ledger.states import Discrepancy
from lowtide.money import from_micro

_Query: TypeAlias = Select[*tuple[Any, ...]]
_Sums: TypeAlias = Mapping[tuple[Any, ...], int]
_SPENT = (LineKind.CHARGE, LineKind.OVERDRAFT, LineKind.CORRECTION)
_SET_ASIDE = (LineKind.HOLD, LineKind.TOP_UP, LineKind.SHRINK)


class Audit(Store):
    """The part of the ledger that shows and checks the journal."""

    @reads
    def journal(
        self,
        connection: Connection,
        *,
        budget: str | None = None,
        run: str | None = None,
        limit: int = 1000,
    ) -> tuple[JournalLine, ...]:
        """Return the newest lines of the journal, the oldest of them first.

        Args:
            connection: The transaction; callers leave it out.
            budget: Only lines that moved this budget, those of budgets below it included.
            run: Only lines of this run.
            limit: At most so many.

        Returns:
            The lines.
        """
        wanted = [
            true() if budget is None else JOURNAL.c.budget.in_(below(budget)),
            true() if run is None else JOURNAL.c.run == run,
        ]
        statement = select(JOURNAL).where(*wanted).order_by(JOURNAL.c.id.desc()).limit(limit)
        return tuple(line_of(row) for row in reversed(connection.execute(statement).all()))

    @reads
    def spent(
        self, connection: Connection, *, start: datetime, end: datetime
    ) -> dict[str, Decimal]:
        """Return what was charged for time used in a stretch, by the budget that paid.

        A line counts where its used time begins; lines are cut at the ends of budget periods.

        Args:
            connection: The transaction; callers leave it out.
            start: Start of the stretch.
            end: End of it.

        Returns:
            US dollars by name of budget, without what the budgets below it paid.
        """
        statement = (
            select(JOURNAL.c.budget, func.sum(JOURNAL.c.amount_micro_usd))
            .where(JOURNAL.c.used_from_us >= to_us(start), JOURNAL.c.used_from_us < to_us(end))
            .group_by(JOURNAL.c.budget)
        )
        return {name: from_micro(int(total)) for name, total in connection.execute(statement)}

    @reads
    def check(self, connection: Connection) -> tuple[Discrepancy, ...]:
        """Rebuild every balance from the journal and compare it with the stored one.

        Returns:
            What does not agree; empty when the books are sound.
        """
        return tuple(
            Discrepancy(
                where=label.format(*key),
                stored_usd=from_micro(stored.get(key, 0)),
                journal_usd=from_micro(summed.get(key, 0)),
            )
            for label, stored, summed in _comparisons(connection)
            for key in sorted(stored.keys() | summed.keys())
            if stored.get(key, 0) != summed.get(key, 0)
        )


def _comparisons(connection: Connection) -> Iterator[tuple[str, _Sums, _Sums]]:
    for name in ("charged", "adjusted"):
        column = f"{name}_micro_usd"
        cell = (POSTING.c.budget, POSTING.c.period_start_us)
        yield (
            f"budget {{!r}}, {name} in the period from {{}} µs",
            _sums(
                connection, select(BALANCE.c.budget, BALANCE.c.period_start_us, BALANCE.c[column])
            ),
            _sums(connection, select(*cell, func.sum(POSTING.c[column])).group_by(*cell)),
        )
    yield (
        "budget {!r}, held",
        _sums(connection, select(BUDGET.c.name, BUDGET.c.held_micro_usd)),
        _sums(
            connection,
            select(POSTING.c.budget, func.sum(POSTING.c.held_micro_usd)).group_by(
                POSTING.c.budget
            ),
        ),
    )
    left = HOLD.c.amount_micro_usd - HOLD.c.charged_micro_usd - HOLD.c.released_micro_usd
    yield (
        "run {!r}, held",
        _sums(connection, _by_run(left)),
        _sums(connection, _postings_by_run(POSTING.c.held_micro_usd)),
    )
    yield (
        "run {!r}, set aside in all",
        _sums(connection, _by_run(HOLD.c.amount_micro_usd)),
        _sums(connection, _lines_by_run(_SET_ASIDE)),
    )
    yield (
        "run {!r}, charged by its holds",
        _sums(connection, _by_run(HOLD.c.charged_micro_usd + HOLD.c.overdraft_micro_usd)),
        _sums(connection, _lines_by_run(_SPENT)),
    )
    yield (
        "run {!r}, charged to its budget",
        _sums(connection, _lines_by_run(_SPENT)),
        _sums(connection, _postings_by_run(POSTING.c.charged_micro_usd)),
    )
    yield (
        "leg {1} of run {0!r}, charged",
        _sums(connection, select(LEG.c.run, LEG.c.leg, LEG.c.charged_micro_usd)),
        _sums(
            connection,
            select(JOURNAL.c.run, JOURNAL.c.leg, func.sum(JOURNAL.c.amount_micro_usd))
            .where(JOURNAL.c.leg.is_not(None))
            .group_by(JOURNAL.c.run, JOURNAL.c.leg),
        ),
    )


def _sums(connection: Connection, statement: _Query) -> _Sums:
    # Postgres adds up whole numbers to decimals.
    return {tuple(key): int(total) for *key, total in connection.execute(statement)}


def _by_run(column: ColumnElement[int]) -> _Query:
    return select(HOLD.c.run, func.sum(column)).group_by(HOLD.c.run)


def _lines_by_run(kinds: tuple[LineKind, ...]) -> _Query:
    return (
        select(JOURNAL.c.run, func.sum(JOURNAL.c.amount_micro_usd))
        .where(JOURNAL.c.kind.in_([kind.value for kind in kinds]))
        .group_by(JOURNAL.c.run)
    )


def _postings_by_run(column: ColumnElement[int]) -> _Query:
    """Add up what a run's lines moved on the budget that pays."""
    return (
        select(JOURNAL.c.run, func.sum(column))
        .join(POSTING, and_(POSTING.c.line == JOURNAL.c.id, POSTING.c.budget == JOURNAL.c.budget))
        .where(JOURNAL.c.run.is_not(None))
        .group_by(JOURNAL.c.run)
    )


def below(budget: str) -> _Query:
    """Select the names of a budget and of those below it, by their present parents."""
    tree = select(BUDGET.c.name).where(BUDGET.c.name == budget).cte(recursive=True)
    children = select(BUDGET.c.name).join(tree, BUDGET.c.parent == tree.c.name)
    return select(tree.union_all(children).c.name)


def line_of(row: Stored) -> JournalLine:
    """Return a line as it was stored."""
    return JournalLine(
        id=row.id,
        at=from_us(row.at_us),
        kind=LineKind(row.kind),
        budget=row.budget,
        run=row.run,
        leg=row.leg,
        amount_usd=from_micro(row.amount_micro_usd),
        price_version=row.price_version,
        window=row.tariff_window,
        used_from=from_us_if(row.used_from_us),
        used_to=from_us_if(row.used_to_us),
        actor=row.actor,
        reason=row.reason,
        key=row.key if row.part == 0 else f"{row.key}#{row.part}",
        measured=row.measured,
    )
