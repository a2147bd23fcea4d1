"""Legs: opened before anything is started, so that whoever comes later knows what to look for."""

from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from blocks.ledger.convert import from_us, from_us_if, to_us
from blocks.ledger.engine import Store, Stored, reads, writes
from blocks.ledger.runs import check_lease, lock_run
from blocks.ledger.schema import HOLD, LEG
from lowtide.errors import BadInputError, ConflictError
from lowtide.ledger.records import Lease, LegRow
from lowtide.legs import Capacity, LegEnd
from lowtide.money import from_micro


class Legs(Store):
    """The part of the ledger that keeps legs."""

    @writes
    def open_leg(
        self,
        connection: Connection,
        lease: Lease,
        *,
        leg: int,
        where: str,
        flavor: str,
        capacity: str,
        price_version: str,
        limit_s: float,
        start_by: datetime,
        now: datetime,
    ) -> LegRow:
        """Write down a leg before its Job or process is made, or return the one that is there.

        The row is what makes a crash harmless: a leg that may exist has a row, and a row without
        an open hold cannot be made.

        Args:
            connection: The transaction; callers leave it out.
            lease: The caller's lease on the run.
            leg: Number of the leg within the run, from 1.
            where: What runs it.
            flavor: Kind of capacity.
            capacity: On which terms.
            price_version: Price-book version that it is billed by.
            limit_s: Seconds after the program's start at which the runner ends it.
            start_by: Latest start.
            now: The time.

        Returns:
            The row.

        Raises:
            StaleOwnerError: the lease was lost.
            ConflictError: the run holds no money, or the leg was opened on other terms.
        """
        check_lease(connection, lease)
        terms = {
            "place": where,
            "flavor": flavor,
            "capacity": Capacity(capacity).value,
            "price_version": price_version,
        }
        there = _leg_row(connection, lease.run, leg)
        if there is not None:
            _check_terms(there, terms)
            return leg_of(there)
        hold = _open_hold(connection, lease.run)
        connection.execute(
            insert(LEG).values(
                run=lease.run,
                leg=leg,
                hold=hold,
                fencing=lease.fencing,
                limit_s=limit_s,
                start_by_us=to_us(start_by),
                opened_us=to_us(now),
                reason="",
                measured=True,
                charged_micro_usd=0,
                **terms,
            )
        )
        return leg_of(lock_leg(connection, lease.run, leg))

    @reads
    def legs(self, connection: Connection, run: str) -> tuple[LegRow, ...]:
        """Return a run's legs, the first one first."""
        statement = select(LEG).where(LEG.c.run == run).order_by(LEG.c.leg)
        return tuple(leg_of(row) for row in connection.execute(statement))

    @writes
    def update_leg(
        self,
        connection: Connection,
        run: str,
        leg: int,
        *,
        handle: str | None = None,
        limit_s: float | None = None,
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
        exit_code: int | None = None,
        end: LegEnd | None = None,
        reason: str | None = None,
        measured: bool | None = None,
        settled_at: datetime | None = None,
    ) -> LegRow:
        """Write down what became known about a leg; what is None stays as it was.

        Returns:
            The leg as it is now.

        Raises:
            BadInputError: there is no such leg.
        """
        known = {
            "handle": handle,
            "limit_s": limit_s,
            "started_us": to_us(started_at),
            "ended_us": to_us(ended_at),
            "exit_code": exit_code,
            "ending": None if end is None else end.value,
            "reason": reason,
            "measured": measured,
            "settled_us": to_us(settled_at),
        }
        changed = {column: value for column, value in known.items() if value is not None}
        lock_leg(connection, run, leg)
        if changed:
            connection.execute(
                update(LEG).where(LEG.c.run == run, LEG.c.leg == leg).values(changed)
            )
        return leg_of(lock_leg(connection, run, leg))


def lock_leg(connection: Connection, run: str, leg: int) -> Stored:
    """Return a leg's row, its run locked until the transaction ends.

    Raises:
        BadInputError: there is no such leg.
    """
    lock_run(connection, run)
    row = _leg_row(connection, run, leg)
    if row is None:
        msg = "no such leg in the ledger"
        remedy = "open the leg before it is started"
        raise BadInputError(msg, where=f"leg {leg} of run {run!r}", remedy=remedy)
    return row


def leg_of(row: Stored) -> LegRow:
    """Return a stored leg as a record."""
    return LegRow(
        run=row.run,
        leg=row.leg,
        fencing=row.fencing,
        where=row.place,
        flavor=row.flavor,
        capacity=Capacity(row.capacity),
        price_version=row.price_version,
        limit_s=row.limit_s,
        start_by=from_us(row.start_by_us),
        opened_at=from_us(row.opened_us),
        handle=row.handle,
        started_at=from_us_if(row.started_us),
        ended_at=from_us_if(row.ended_us),
        exit_code=row.exit_code,
        end=None if row.ending is None else LegEnd(row.ending),
        reason=row.reason,
        measured=row.measured,
        settled_at=from_us_if(row.settled_us),
        metered_until=from_us_if(row.metered_until_us),
        charged_usd=from_micro(row.charged_micro_usd),
    )


def _leg_row(connection: Connection, run: str, leg: int) -> Stored | None:
    return connection.execute(select(LEG).where(LEG.c.run == run, LEG.c.leg == leg)).one_or_none()


def _check_terms(there: Stored, terms: dict[str, str]) -> None:
    stored = {column: getattr(there, column) for column in terms}
    if stored != terms:
        msg = "the leg was opened on other terms"
        raise ConflictError(
            msg,
            where=f"leg {there.leg} of run {there.run!r}",
            expected=str(stored),
            got=str(terms),
            remedy="look at the leg that is there, or open the next one",
        )


def _open_hold(connection: Connection, run: str) -> str:
    statement = select(HOLD.c.key).where(HOLD.c.run == run, HOLD.c.ended_us.is_(None))
    key = connection.execute(statement).scalar_one_or_none()
    if key is None:
        msg = "the run holds no money, so no leg may start"
        remedy = "hold money first; an expired hold was given back"
        raise ConflictError(msg, where=f"run {run!r}", remedy=remedy)
    return key
