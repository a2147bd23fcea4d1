"""The sweep: what nobody prolongs any more is settled and given back, but never while it runs.

A hold that has expired says only that nobody came back in time, not that nothing runs. So the
runner of every unsettled leg is asked first, outside any transaction, and the hold ends only if
nothing has changed since. A leg that is gone without anybody having settled it may have used all
that was held for it; it is charged so, unmeasured, and a measurement may still correct it.
"""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select

from blocks.ledger.billing import open_bill, settle_leg
from blocks.ledger.convert import to_us
from blocks.ledger.engine import Store, Stored, reads, writes
from blocks.ledger.hold_rows import end_hold, hold_by_key, hold_record
from blocks.ledger.posting import Author
from blocks.ledger.runs import lock_run
from blocks.ledger.schema import HOLD, LEG, RUN
from lowtide.ledger.records import Hold

_SWEPT_MAX = 1000


class Sweep(Store):
    """The part of the ledger that ends what was left behind."""

    def expire(
        self,
        *,
        now: datetime,
        is_gone: Callable[[str, int], bool],
        actor: str = "reconcile",
        reason: str = "the hold expired and its legs are gone",
    ) -> tuple[Hold, ...]:
        """End the holds that have expired, of runs that nobody owns and whose legs are gone.

        Args:
            now: The time.
            is_gone: Asks the runner of a leg (run, number) whether it is gone for good: neither
                running nor waiting to start. It is asked for unsettled legs alone.
            actor: Who asks.
            reason: Why.

        Returns:
            The holds that this call ended, at most a thousand.
        """
        swept: list[Hold] = []
        for run, hold in self._expired(now=now):
            legs = self._unsettled(hold)
            if all(is_gone(run, leg) for leg in legs):
                ended = self._end(run, hold=hold, gone=legs, actor=actor, reason=reason, now=now)
                swept += [ended] if ended is not None else []
        return tuple(swept)

    @reads
    def _expired(self, connection: Connection, *, now: datetime) -> tuple[tuple[str, str], ...]:
        rows = connection.execute(_EXPIRED.limit(_SWEPT_MAX), {"now_us": to_us(now)})
        return tuple((row.run, row.key) for row in rows)

    @reads
    def _unsettled(self, connection: Connection, hold: str) -> tuple[int, ...]:
        return _legs(connection, hold)

    @writes
    def _end(
        self,
        connection: Connection,
        run: str,
        *,
        hold: str,
        gone: tuple[int, ...],
        actor: str,
        reason: str,
        now: datetime,
    ) -> Hold | None:
        lock_run(connection, run)
        still = connection.execute(
            _EXPIRED.where(HOLD.c.key == bindparam("asked_hold")),
            {"now_us": to_us(now), "asked_hold": hold},
        ).one_or_none()
        if still is None or _legs(connection, hold) != gone:
            return None
        for leg in gone:
            key = f"{hold}/expire/leg-{leg}"
            author = Author(key=key, ask="settle at the hold", actor=actor, reason=reason, at=now)
            version = hold_by_key(connection, hold).price_version
            bill = open_bill(connection, run, leg, price_version=version, measured=False)
            settle_leg(connection, bill, None, author=author)
        author = Author(
            key=f"{hold}/expire", ask=f"expire {hold!r}", actor=actor, reason=reason, at=now
        )
        end_hold(connection, hold_by_key(connection, hold), ending="expired", author=author)
        return hold_record(hold_by_key(connection, hold))


# A leg may start as late as `start_by`, so its hold is not swept before that either.
_START_BY = (
    select(func.coalesce(func.max(LEG.c.start_by_us), 0))
    .where(LEG.c.hold == HOLD.c.key)
    .scalar_subquery()
)
_EXPIRED = (
    select(HOLD.c.run, HOLD.c.key)
    .join(RUN, RUN.c.run == HOLD.c.run)
    .where(
        HOLD.c.ended_us.is_(None),
        HOLD.c.expires_us <= bindparam("now_us"),
        func.coalesce(RUN.c.lease_expires_us, 0) <= bindparam("now_us"),
        bindparam("now_us") >= _START_BY,
    )
    .order_by(HOLD.c.expires_us, HOLD.c.key)
)


def _legs(connection: Connection, hold: str) -> tuple[int, ...]:
    """Return the unsettled legs of a hold; those that were withdrawn never started."""
    rows: list[Stored] = list(connection.execute(_UNSETTLED, {"asked_hold": hold}))
    return tuple(row.leg for row in rows)


_UNSETTLED = (
    select(LEG.c.leg)
    .where(LEG.c.hold == bindparam("asked_hold"), LEG.c.settled_us.is_(None))
    .order_by(LEG.c.leg)
)
