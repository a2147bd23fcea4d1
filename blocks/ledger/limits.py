"""Limits that move: adjustments, overrides, closed periods, and the thresholds that were crossed."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, bindparam, func, select, true, update

from blocks.ledger.convert import to_us
from blocks.ledger.engine import Store, Stored, insert_into, reads, writes
from blocks.ledger.posting import (
    Author,
    Book,
    Line,
    levels_at,
    lines_of,
    lock_books,
    open_levels,
    post,
)
from blocks.ledger.runs import lock_run
from blocks.ledger.schema import BALANCE, CROSSING, JOURNAL, LIFT
from blocks.ledger.tree import crossing_of, limit_key, no_such_budget, states_at
from lowtide.errors import BadInputError
from lowtide.ledger.records import LineKind
from lowtide.ledger.rules import Level, whole_micro_usd
from lowtide.ledger.states import BudgetState, Crossing, Override
from lowtide.money import from_micro, show_usd, to_micro
from lowtide.verdict import RefusalReason, Refused


class Limits(Store):
    """The part of the ledger that moves limits, always with an actor and a reason."""

    @writes
    def adjust(
        self,
        connection: Connection,
        *,
        key: str,
        budget: str,
        amount_usd: Decimal,
        actor: str,
        reason: str,
        now: datetime,
    ) -> BudgetState:
        """Raise or lower a budget's limit for its current period alone.

        Args:
            connection: The transaction; callers leave it out.
            key: The caller's key.
            budget: The budget.
            amount_usd: By how much, US dollars; negative lowers.
            actor: Who asks.
            reason: Why.
            now: The time.

        Returns:
            How the budget stands.

        Raises:
            BadInputError: no such budget, or the limit would fall below what is already charged.
            ConflictError: the key came with other numbers.
        """
        amount = to_micro(amount_usd)
        ask = f"adjust {budget!r} by {from_micro(amount)} USD"
        author = Author(key=key, ask=ask, actor=actor, reason=reason, at=now)
        book = _book(connection, budget)
        if not lines_of(connection, author):
            (level,) = levels_at(connection, [book], at=now)
            _check_limit(level, level.limit_micro_usd + amount)
            line = Line(kind=LineKind.ADJUST, amount=amount, adjusted=amount)
            post(connection, [level], [line], author=author)
        return states_at(connection, [book], at=now)[0]

    @writes
    def override(
        self,
        connection: Connection,
        *,
        key: str,
        run: str,
        budget: str,
        amount_usd: Decimal,
        expires_at: datetime,
        actor: str,
        reason: str,
        now: datetime,
    ) -> Override | Refused:
        """Let one run hold more than a budget's limit leaves, for a while.

        It holds nothing by itself: the run asks for its money again, and the gate lets it go this
        far beyond the limit. A later override of the same run and budget replaces it.

        Args:
            connection: The transaction; callers leave it out.
            key: The caller's key.
            run: The run.
            budget: The budget whose limit is lifted, that one alone.
            amount_usd: By how much, US dollars, >= 0.
            expires_at: Until when the run may make use of it.
            actor: Who approved it.
            reason: Why.
            now: The time.

        Returns:
            The override, or a refusal where it goes beyond the budget's `approvals.max_usd`.

        Raises:
            BadInputError: no such run or budget, or an amount that is no amount.
            ConflictError: the key came with other numbers.
        """
        amount = whole_micro_usd(amount_usd, where=f"override for run {run!r}")
        ask = f"override {budget!r} for run {run!r} by {from_micro(amount)} USD"
        author = Author(key=key, ask=ask, actor=actor, reason=reason, at=now)
        lock_run(connection, run)
        book = _book(connection, budget)
        written = lines_of(connection, author)
        if not written:
            if amount > book.approval_micro_usd_max:
                return _beyond_approval(book, amount)
            lift = {"amount_micro_usd": amount, "expires_us": to_us(expires_at)}
            statement = insert_into(connection.dialect.name, LIFT)
            statement = statement.values(run=run, budget=budget, **lift)
            statement = statement.on_conflict_do_update(
                index_elements=[LIFT.c.run, LIFT.c.budget], set_=lift
            )
            connection.execute(statement)
            line = Line(kind=LineKind.OVERRIDE, amount=amount, run=run)
            post(connection, levels_at(connection, [book], at=now), [line], author=author)
        return Override(
            run=run, budget=budget, amount_usd=from_micro(amount), expires_at=expires_at
        )

    @writes
    def close_period(
        self,
        connection: Connection,
        *,
        budget: str,
        at: datetime,
        actor: str,
        reason: str,
        now: datetime,
    ) -> BudgetState:
        """Close a budget's past period: nothing is written in it any more.

        A charge that comes later for time in it goes to the period in which it comes. Closing a
        closed period changes nothing.

        What the period left unused, up to the budget's `roll_over.max_usd`, raises the limit of
        the next one, in the same transaction. It is final, since a closed period never changes;
        money that was used in it and is charged later is paid from there.

        Args:
            connection: The transaction; callers leave it out.
            budget: The budget.
            at: A moment in the period to close.
            actor: Who asks.
            reason: Why.
            now: The time.

        Returns:
            How the budget stood in that period; what it holds is what it holds now.

        Raises:
            BadInputError: no such budget, or the period has not ended yet.
        """
        book = _book(connection, budget)
        (level,) = levels_at(connection, [book], at=at)
        if not level.closed:
            _check_ended(level, now)
            start = level.period.start
            author = Author(
                key=f"close/{budget}/{start.isoformat()}",
                ask=f"close the period of {budget!r} that began {start.isoformat()}",
                actor=actor,
                reason=reason,
                at=now,
            )
            line = Line(kind=LineKind.CLOSE, amount=level.charged_micro_usd)
            post(connection, [level], [line], author=author)
            closed = {"budget_": budget, "start_us": to_us(start), "closed_us": to_us(now)}
            connection.execute(_CLOSE, closed)
            _roll_over(connection, book, level, author=author)
        return states_at(connection, [book], at=at)[0]

    @reads
    def crossings(
        self, connection: Connection, *, untold: bool = False, limit: int = 1000
    ) -> tuple[Crossing, ...]:
        """Return the thresholds that were crossed, the oldest first.

        Args:
            connection: The transaction; callers leave it out.
            untold: Only those that nobody was told of yet.
            limit: At most so many.

        Returns:
            The crossings.
        """
        wanted = CROSSING.c.told_us.is_(None) if untold else true()
        statement = select(CROSSING).where(wanted).order_by(CROSSING.c.at_us, *_CROSSING_KEY)
        return tuple(crossing_of(row) for row in connection.execute(statement.limit(limit)))

    @writes
    def mark_told(self, connection: Connection, crossing: Crossing, *, now: datetime) -> bool:
        """Write down that somebody is told of a crossing; True for the first caller alone."""
        asked = {
            "budget_": crossing.budget,
            "start_us": to_us(crossing.period_start),
            "percent_": crossing.percent,
            "figure_": crossing.of.value,
            "told_us": to_us(now),
        }
        return connection.execute(_TELL, asked).rowcount == 1


_CROSSING_KEY = (
    CROSSING.c.budget,
    CROSSING.c.period_start_us,
    CROSSING.c.percent,
    CROSSING.c.figure,
)
_CLOSE = update(BALANCE).where(
    BALANCE.c.budget == bindparam("budget_"), BALANCE.c.period_start_us == bindparam("start_us")
)
_TELL = update(CROSSING).where(
    CROSSING.c.budget == bindparam("budget_"),
    CROSSING.c.period_start_us == bindparam("start_us"),
    CROSSING.c.percent == bindparam("percent_"),
    CROSSING.c.figure == bindparam("figure_"),
    CROSSING.c.told_us.is_(None),
)


def _book(connection: Connection, budget: str) -> Book:
    books = lock_books(connection, [budget])
    if not books or books[0].retired:
        raise no_such_budget(connection, budget)
    return books[0]


def _check_limit(level: Level, limit: int) -> None:
    if limit < max(level.charged_micro_usd, 0):
        msg = "the limit would fall below what is already charged in this period"
        charged = from_micro(max(level.charged_micro_usd, 0))
        raise BadInputError(
            msg,
            where=f"budget {level.name!r}",
            expected=f"a limit of {charged} USD or more",
            got=f"{from_micro(limit)} USD",
            remedy="adjust by less",
        )


def _check_ended(level: Level, now: datetime) -> None:
    if now < level.period.end:
        msg = "the period has not ended yet"
        raise BadInputError(
            msg,
            where=f"budget {level.name!r}",
            expected=f"a period that ended before {now.isoformat()}",
            got=f"one that ends {level.period.end.isoformat()}",
            remedy="close it when it has ended",
        )


def _roll_over(connection: Connection, book: Book, level: Level, *, author: Author) -> None:
    adjusted = level.limit_micro_usd - book.limit_micro_usd
    unused = _limit_at(connection, book, level.period.end) + adjusted - level.charged_micro_usd
    amount = min(max(unused, 0), book.rollover_micro_usd_max)
    if amount:
        levels = open_levels(connection, [book], at=level.period.end, now=author.at)
        line = Line(kind=LineKind.ADJUST, amount=amount, adjusted=amount)
        post(connection, levels, [line], author=author, first_part=1)


def _limit_at(connection: Connection, book: Book, at: datetime) -> int:
    """Return a budget's limit at a moment, from the lines that set it."""
    keys = [limit_key(book.name, revision) for revision in range(1, book.revision + 1)]
    lines = select(func.sum(JOURNAL.c.amount_micro_usd)).where(
        JOURNAL.c.key.in_(keys), JOURNAL.c.at_us < to_us(at)
    )
    return int(connection.execute(lines).scalar_one() or 0)


def _beyond_approval(book: Stored, amount: int) -> Refused:
    most_usd, asked_usd = from_micro(book.approval_micro_usd_max), from_micro(amount)
    return Refused(
        reason=RefusalReason.BUDGET,
        gap_usd=asked_usd - most_usd,
        budget=book.name,
        message=(
            f"an approval may lift budget {book.name!r} by {show_usd(most_usd)} at most, "
            f"{show_usd(asked_usd)} was asked for"
        ),
        remedy=f"raise `approvals.max_usd` of {book.name!r}, or adjust its limit",
    )
