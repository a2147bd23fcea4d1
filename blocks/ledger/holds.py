"""Holds: money set aside for a run on every budget from the root down, or on none."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, and_, bindparam, insert, select, update

from blocks.ledger.convert import to_us
from blocks.ledger.engine import LostRaceError, Store, Stored, reads, writes
from blocks.ledger.hold_rows import (
    check_open,
    end_hold,
    hold_by_key,
    hold_record,
    newest_hold,
    open_hold,
)
from blocks.ledger.posting import Author, Book, Line, levels_at, lines_of, lock_books, post
from blocks.ledger.prepared import Prepared
from blocks.ledger.runs import lock_run, no_such_run
from blocks.ledger.schema import BUDGET, HOLD, LEG, LIFT, RUN
from blocks.ledger.tree import no_such_budget
from lowtide.errors import BadInputError, ConflictError
from lowtide.ledger.records import Hold, LineKind
from lowtide.ledger.rules import Level, admit, whole_micro_usd
from lowtide.money import ZERO_USD, from_micro
from lowtide.verdict import Refused


class Holds(Store):
    """The part of the ledger that sets money aside."""

    @writes
    def hold(
        self,
        connection: Connection,
        *,
        key: str,
        run: str,
        budget: str,
        amount_usd: Decimal,
        expires_at: datetime,
        price_version: str,
        actor: str,
        reason: str,
        now: datetime,
    ) -> Hold | Refused:
        """Set money aside for a run on its budget and all above it, or on none of them.

        What is set aside counts against the limits at once, whichever period it will be spent in:
        a hold that is open when a period ends counts in the next one. A refusal changes nothing
        and is not remembered: the same question may get another answer later.

        Args:
            connection: The transaction; callers leave it out.
            key: The caller's key; the same key with other numbers is an error.
            run: The run, which must be in the ledger.
            budget: The budget that pays.
            amount_usd: How much, US dollars, >= 0.
            expires_at: When the sweeper may look at it, if nobody prolongs or ends it.
            price_version: Price-book version that the run is billed by.
            actor: Who asks.
            reason: Why.
            now: The time.

        Returns:
            The hold as it is now, or which budget lacks how much.

        Raises:
            BadInputError: no such run or budget, or an amount that is no amount.
            ConflictError: the key came with other numbers, or the run has an open hold.
        """
        amount = whole_micro_usd(amount_usd, where=f"hold of run {run!r}")
        ask = f"hold {from_micro(amount)} USD on {budget!r} for run {run!r}"
        author = Author(key=key, ask=ask, actor=actor, reason=reason, at=now)
        asked = _lock_ask(connection, run=run, budget=budget)
        if lines_of(connection, author):
            return hold_record(hold_by_key(connection, key))
        _refuse_second(asked)
        books = _books_of(connection, budget, path=asked.budget_path)
        levels = levels_at(connection, books, at=now)
        refused = _admit(connection, levels, run=run, amount=amount, now=now)
        if refused is not None:
            return refused
        row = {
            "key": key,
            "run": run,
            "budget": budget,
            "path": [book.name for book in books],
            "amount_micro_usd": amount,
            "charged_micro_usd": 0,
            "overdraft_micro_usd": 0,
            "released_micro_usd": 0,
            "expires_us": to_us(expires_at),
            "price_version": price_version,
            "opened_us": to_us(now),
        }
        taken = _TAKE.one(connection, row)
        line = Line(
            kind=LineKind.HOLD, amount=amount, held=amount, run=run, price_version=price_version
        )
        post(connection, levels, [line], author=author)
        return hold_record(taken)

    @writes
    def top_up(
        self,
        connection: Connection,
        *,
        key: str,
        run: str,
        amount_usd: Decimal,
        expires_at: datetime | None = None,
        actor: str,
        reason: str,
        now: datetime,
    ) -> Hold | Refused:
        """Set more money aside under a run's open hold, or none.

        Args:
            connection: The transaction; callers leave it out.
            key: The caller's key.
            run: The run.
            amount_usd: How much more, US dollars, >= 0.
            expires_at: The hold's new expiry; None keeps the old one.
            actor: Who asks.
            reason: Why.
            now: The time.

        Returns:
            The hold as it is now, or which budget lacks how much.

        Raises:
            BadInputError: no such run, or an amount that is no amount.
            ConflictError: the key came with other numbers, or the run has no open hold.
        """
        amount = whole_micro_usd(amount_usd, where=f"top-up of run {run!r}")
        ask = f"top up run {run!r} by {from_micro(amount)} USD"
        author = Author(key=key, ask=ask, actor=actor, reason=reason, at=now)
        lock_run(connection, run)
        hold = newest_hold(connection, run)
        if lines_of(connection, author):
            return hold_record(hold)
        check_open(hold)
        levels = levels_at(connection, lock_books(connection, hold.path), at=now)
        refused = _admit(connection, levels, run=run, amount=amount, now=now)
        if refused is not None:
            return refused
        total = hold.amount_micro_usd + amount
        changed = _change(connection, hold, total=total, expires_at=expires_at)
        line = Line(kind=LineKind.TOP_UP, amount=amount, held=amount, run=run)
        post(connection, levels, [line], author=author)
        return hold_record(changed)

    @writes
    def shrink(
        self,
        connection: Connection,
        *,
        key: str,
        run: str,
        to_usd: Decimal,
        expires_at: datetime | None = None,
        actor: str,
        reason: str,
        now: datetime,
    ) -> Hold:
        """Lower the total of a run's open hold, and give the difference back.

        Args:
            connection: The transaction; callers leave it out.
            key: The caller's key.
            run: The run.
            to_usd: The hold's new total, what was charged included, US dollars.
            expires_at: The hold's new expiry; None keeps the old one.
            actor: Who asks.
            reason: Why.
            now: The time.

        Returns:
            The hold as it is now.

        Raises:
            BadInputError: the new total is above the old one, or below what was charged.
            ConflictError: the key came with other numbers, or the run has no open hold.
        """
        total = whole_micro_usd(to_usd, where=f"shrink of run {run!r}")
        ask = f"shrink run {run!r} to {from_micro(total)} USD"
        author = Author(key=key, ask=ask, actor=actor, reason=reason, at=now)
        lock_run(connection, run)
        hold = newest_hold(connection, run)
        if lines_of(connection, author):
            return hold_record(hold)
        check_open(hold)
        _check_total(hold, total)
        back = hold.amount_micro_usd - total
        levels = levels_at(connection, lock_books(connection, hold.path), at=now)
        changed = _change(connection, hold, total=total, expires_at=expires_at)
        line = Line(kind=LineKind.SHRINK, amount=-back, held=-back, run=run)
        post(connection, levels, [line], author=author)
        return hold_record(changed)

    @writes
    def release(
        self,
        connection: Connection,
        *,
        key: str,
        run: str,
        now: datetime,
        actor: str,
        reason: str,
    ) -> Decimal:
        """End a run's hold and give back what was not charged.

        A hold ends at most once: where there is no open one, nothing is given back.

        Args:
            connection: The transaction; callers leave it out.
            key: The caller's key.
            run: The run.
            now: The time.
            actor: Who asks.
            reason: Why.

        Returns:
            What this release gave back, US dollars; a repeat returns the same.

        Raises:
            BadInputError: no such run.
            ConflictError: a leg of the run is not settled yet, so nobody knows what it cost.
        """
        ask = f"release run {run!r}"
        author = Author(key=key, ask=ask, actor=actor, reason=reason, at=now)
        lock_run(connection, run)
        written = lines_of(connection, author)
        if written:
            return from_micro(-written[0].amount_micro_usd)
        hold = open_hold(connection, run)
        if hold is None:
            return ZERO_USD
        _check_settled(connection, hold)
        return from_micro(end_hold(connection, hold, ending="released", author=author))

    @reads
    def hold_of(self, connection: Connection, run: str) -> Hold | None:
        """Return a run's open hold, if it has one."""
        row = open_hold(connection, run)
        return None if row is None else hold_record(row)

    @reads
    def holds(self, connection: Connection, run: str) -> tuple[Hold, ...]:
        """Return all holds that a run ever had, the oldest first."""
        statement = select(HOLD).where(HOLD.c.run == run).order_by(HOLD.c.opened_us, HOLD.c.key)
        return tuple(hold_record(row) for row in connection.execute(statement))

    @reads
    def taken_usd(self, connection: Connection, runs: Sequence[str]) -> Mapping[str, Decimal]:
        """Return what runs have taken out of their budgets: charged under a hold, or still held.

        Args:
            connection: The transaction; callers leave it out.
            runs: The runs, a few hundred at most.

        Returns:
            US dollars by run; a run without a hold has taken nothing, and is left out.
        """
        taken: dict[str, Decimal] = {}
        for row in connection.execute(select(HOLD).where(HOLD.c.run.in_(runs))):
            hold = hold_record(row)
            taken[hold.run] = taken.get(hold.run, ZERO_USD) + hold.charged_usd + hold.left_usd
        return taken


_TAKE = Prepared(
    insert(HOLD).returning(*HOLD.c),
    columns=[each.name for each in HOLD.c if each.name not in {"ended_us", "ending"}],
)
# The run is locked; what is joined to it may be older than the lock. That is found out later: a
# moved budget when the books are locked, a second hold when it is inserted.
_ASK = Prepared(
    select(RUN.c.run, BUDGET.c.path.label("budget_path"), HOLD.c.key, HOLD.c.amount_micro_usd)
    .select_from(RUN)
    .outerjoin(
        BUDGET, and_(BUDGET.c.name == bindparam("asked_budget"), BUDGET.c.retired.is_(False))
    )
    .outerjoin(HOLD, and_(HOLD.c.run == RUN.c.run, HOLD.c.ended_us.is_(None)))
    .where(RUN.c.run == bindparam("asked_run"))
    .with_for_update(of=RUN)
)
_CHANGE = Prepared(
    update(HOLD).where(HOLD.c.key == bindparam("asked_hold")).returning(*HOLD.c),
    columns=["amount_micro_usd", "expires_us"],
)
_LIFTS = select(LIFT.c.budget, LIFT.c.amount_micro_usd).where(
    LIFT.c.run == bindparam("asked_run"), LIFT.c.expires_us > bindparam("now_us")
)
_UNSETTLED = select(LEG.c.leg).where(
    LEG.c.hold == bindparam("asked_hold"), LEG.c.settled_us.is_(None)
)


def _lock_ask(connection: Connection, *, run: str, budget: str) -> Stored:
    asked = {"asked_run": run, "asked_budget": budget}
    row = _ASK.first(connection, asked)
    if row is None:
        raise no_such_run(run)
    return row


def _refuse_second(asked: Stored) -> None:
    if asked.key is not None:
        msg = f"it already holds {from_micro(asked.amount_micro_usd)} USD under key {asked.key!r}"
        remedy = "top up, shrink or release that hold"
        raise ConflictError(msg, where=f"run {asked.run!r}", remedy=remedy)


def _books_of(
    connection: Connection, budget: str, *, path: Sequence[str] | None
) -> Sequence[Book]:
    if path is None:
        raise no_such_budget(connection, budget)
    books = lock_books(connection, path)
    if books[-1].path != path or books[-1].retired:
        raise LostRaceError  # the tree was rearranged between the two statements
    return books


def _admit(
    connection: Connection,
    levels: Sequence[Level],
    *,
    run: str,
    amount: int,
    now: datetime,
) -> Refused | None:
    refused = admit(levels, run=run, amount_micro_usd=amount)
    if refused is None:
        return None
    asked = {"asked_run": run, "now_us": to_us(now)}
    lifts = {row.budget: row.amount_micro_usd for row in connection.execute(_LIFTS, asked)}
    if not lifts:
        return refused
    lifted = [replace(level, lifted_micro_usd=lifts.get(level.name, 0)) for level in levels]
    return admit(lifted, run=run, amount_micro_usd=amount)


def _change(
    connection: Connection, hold: Stored, *, total: int, expires_at: datetime | None
) -> Stored:
    expires_us = hold.expires_us if expires_at is None else to_us(expires_at)
    changed = {"amount_micro_usd": total, "expires_us": expires_us}
    return _CHANGE.one(connection, {"asked_hold": hold.key, **changed})


def _check_total(hold: Stored, total: int) -> None:
    if not hold.charged_micro_usd <= total <= hold.amount_micro_usd:
        msg = "a hold shrinks to a total between what was charged and what is held"
        raise BadInputError(
            msg,
            where=f"run {hold.run!r}",
            expected=f"{from_micro(hold.charged_micro_usd)} to "
            f"{from_micro(hold.amount_micro_usd)} USD",
            got=f"{from_micro(total)} USD",
            remedy="top up to hold more",
        )


def _check_settled(connection: Connection, hold: Stored) -> None:
    legs = connection.execute(_UNSETTLED, {"asked_hold": hold.key}).scalars().all()
    if legs:
        msg = f"leg {legs[0]} is not settled, so its money cannot be given back"
        remedy = "settle the leg first, at the longest stretch that the evidence allows"
        raise ConflictError(msg, where=f"run {hold.run!r}", remedy=remedy)
