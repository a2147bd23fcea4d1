"""Holds as they are stored: how they are found, shown, and ended."""

from sqlalchemy import Connection, bindparam, select, update

from blocks.ledger.convert import from_us, from_us_if, to_us
from blocks.ledger.engine import Stored
from blocks.ledger.posting import Author, Line, levels_at, lock_books, post
from blocks.ledger.prepared import Prepared
from blocks.ledger.schema import HOLD
from lowtide.errors import ConflictError
from lowtide.ledger.records import Hold, HoldEnding, LineKind
from lowtide.ledger.rules import Purse
from lowtide.money import from_micro


def open_hold(connection: Connection, run: str) -> Stored | None:
    """Return a run's open hold, if it has one."""
    return _OPEN.first(connection, {"asked_run": run})


def hold_by_key(connection: Connection, key: str) -> Stored:
    """Return the hold that was taken under a key."""
    return _BY_KEY.one(connection, {"asked_key": key})


def newest_hold(connection: Connection, run: str) -> Stored:
    """Return a run's open hold, or the last one that it had; the run is locked.

    Raises:
        ConflictError: it never had one.
    """
    row = _NEWEST.first(connection, {"asked_run": run})
    if row is None:
        msg = "the run never held money"
        raise ConflictError(msg, where=f"run {run!r}", remedy="hold money first")
    return row


def check_open(hold: Stored) -> None:
    """Make sure that a hold still sets money aside.

    Raises:
        ConflictError: it has ended.
    """
    if hold.ended_us is not None:
        msg = f"its hold was {hold.ending} at {from_us(hold.ended_us).isoformat()}"
        raise ConflictError(msg, where=f"run {hold.run!r}", remedy="take a new hold")


def end_hold(connection: Connection, hold: Stored, *, ending: HoldEnding, author: Author) -> int:
    """End an open hold, and return what it gives back, micro-dollars; its run is locked."""
    back = purse_of(hold).left
    levels = levels_at(connection, lock_books(connection, hold.path), at=author.at)
    ended = {
        "released_micro_usd": hold.released_micro_usd + back,
        "ended_us": to_us(author.at),
        "ending": ending,
    }
    connection.execute(update(HOLD).where(HOLD.c.key == hold.key).values(ended))
    kind = LineKind.RELEASE if ending == "released" else LineKind.EXPIRE
    line = Line(kind=kind, amount=-back, held=-back, run=hold.run)
    post(connection, levels, [line], author=author)
    return back


def purse_of(hold: Stored) -> Purse:
    """Return the money of a stored hold."""
    return Purse(
        amount=hold.amount_micro_usd,
        charged=hold.charged_micro_usd,
        overdraft=hold.overdraft_micro_usd,
        released=hold.released_micro_usd,
        is_open=hold.ended_us is None,
    )


def hold_record(row: Stored) -> Hold:
    """Return a stored hold as a record."""
    return Hold(
        run=row.run,
        key=row.key,
        budget=row.budget,
        amount_usd=from_micro(row.amount_micro_usd),
        charged_usd=from_micro(row.charged_micro_usd),
        overdraft_usd=from_micro(row.overdraft_micro_usd),
        released_usd=from_micro(row.released_micro_usd),
        expires_at=from_us(row.expires_us),
        price_version=row.price_version,
        opened_at=from_us(row.opened_us),
        ended_at=from_us_if(row.ended_us),
        ending=row.ending,
    )


_BY_KEY = Prepared(select(HOLD).where(HOLD.c.key == bindparam("asked_key")))
_OPEN = Prepared(
    select(HOLD).where(HOLD.c.run == bindparam("asked_run"), HOLD.c.ended_us.is_(None))
)
_NEWEST = Prepared(
    select(HOLD)
    .where(HOLD.c.run == bindparam("asked_run"))
    .order_by(HOLD.c.ended_us.is_(None).desc(), HOLD.c.opened_us.desc(), HOLD.c.key)
    .limit(1)
)
