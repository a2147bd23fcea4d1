"""Charges: used time posted against a hold, metered while a leg runs, settled when it has ended.

Each leg has a watermark, the time up to which it was charged. Metering only ever charges what lies
behind it, so a sample that comes twice, late, or from two observers at once bills nothing twice.
Settling compares all that was charged with what was measured and writes the difference, in lines
of their own: nothing in the journal is ever changed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, bindparam, select, update

from blocks.ledger.convert import from_us, to_us
from blocks.ledger.engine import Store, writes
from blocks.ledger.holds import purse_of
from blocks.ledger.legs import lock_leg
from blocks.ledger.posting import (
    Author,
    Book,
    Line,
    levels_at,
    lines_of,
    lock_books,
    open_levels,
    period_at,
    post,
)
from blocks.ledger.schema import HOLD, JOURNAL, LEG
from lowtide.errors import BadInputError, ConflictError
from lowtide.ledger.records import Charge, LineKind, Stretch
from lowtide.ledger.rules import Booking, Piece, book, cut, whole_micro_usd
from lowtide.money import from_micro

UNKNOWN_WINDOW = "unknown"

PriceOf: TypeAlias = Callable[[datetime, datetime], Iterable[Stretch]]


class Charges(Store):
    """The part of the ledger that spends money."""

    @writes
    def charge(
        self,
        connection: Connection,
        *,
        key: str,
        run: str,
        leg: int,
        amount_usd: Decimal | Fraction,
        window: str,
        price_version: str,
        period_start: datetime,
        period_end: datetime,
        measured: bool,
        now: datetime,
        actor: str,
        reason: str,
    ) -> Charge:
        """Charge one stretch of used time at one price, as far as it was not charged before.

        The part behind the leg's watermark is charged, in proportion of time. It goes to the
        periods in which the time lies, and to the hold that the leg was opened under; what that
        does not cover is charged all the same, in a line of its own of kind `overdraft`.

        Args:
            connection: The transaction; callers leave it out.
            key: The caller's key.
            run: The run.
            leg: The leg.
            amount_usd: What the whole stretch costs, US dollars, >= 0.
            window: Tariff window that it lies in.
            price_version: Price-book version that made the price.
            period_start: When the stretch begins.
            period_end: When it ends.
            measured: False when the end is a bound and not a measurement.
            now: The time.
            actor: Who asks.
            reason: Why.

        Returns:
            What this call charged; a repeat returns the same.

        Raises:
            BadInputError: no such leg, an amount that is no amount, a stretch that ends early.
            ConflictError: the key came with other numbers, or the leg is settled.
        """
        stretch = Stretch(start=period_start, end=period_end, amount_usd=amount_usd, window=window)
        piece = _piece(stretch, where=f"leg {leg} of run {run!r}")
        ask = (
            f"charge {from_micro(piece.amount_micro_usd)} USD for leg {leg} of run {run!r}, "
            f"{period_start.isoformat()} to {period_end.isoformat()}, {window}"
        )
        author = Author(key=key, ask=ask, actor=actor, reason=reason, at=now)
        bill = _open_bill(connection, run, leg, price_version=price_version, measured=measured)
        written = lines_of(connection, author)
        if written:
            return _answer(bill, written)
        _refuse_settled(bill)
        return _spend(connection, bill, _behind(bill.leg.metered_until_us, [piece]), author=author)

    @writes
    def meter(
        self,
        connection: Connection,
        *,
        run: str,
        leg: int,
        until: datetime,
        price: PriceOf,
        price_version: str,
        now: datetime,
        actor: str,
        reason: str,
    ) -> Charge:
        """Charge a running leg for the time since it was last charged.

        The watermark is the key: whoever meters a leg, and however often, each moment is charged
        once. A moment at or before the watermark charges nothing.

        Args:
            connection: The transaction; callers leave it out.
            run: The run.
            leg: The leg, whose start must be known.
            until: Charge up to this moment.
            price: Gives the cost of the time between two moments, cut into stretches of one price
                each. It is called inside the transaction and may be called again: it must be pure.
            price_version: Price-book version that `price` uses.
            now: The time.
            actor: Who asks.
            reason: Why.

        Returns:
            What this call charged.

        Raises:
            BadInputError: no such leg, or it has not started.
        """
        bill = _open_bill(connection, run, leg, price_version=price_version, measured=True)
        since_us = bill.leg.metered_until_us or bill.leg.started_us
        if since_us is None:
            msg = "the leg has not started, so there is no time to charge"
            remedy = "write down its start with `update_leg`"
            raise BadInputError(msg, where=f"leg {leg} of run {run!r}", remedy=remedy)
        since = from_us(since_us)
        if until <= since or bill.leg.settled_us is not None:
            return _answer(bill, ())
        key = f"{run}/leg-{leg}/meter/{since.isoformat()}"
        author = Author(
            key=key, ask=f"meter from {since.isoformat()}", actor=actor, reason=reason, at=now
        )
        where = f"leg {leg} of run {run!r}"
        pieces = [_piece(stretch, where=where) for stretch in price(since, until)]
        return _spend(connection, bill, _behind(since_us, pieces), author=author)

    @writes
    def settle(
        self,
        connection: Connection,
        *,
        key: str,
        run: str,
        leg: int,
        costs: Sequence[Stretch] | None,
        price_version: str,
        measured: bool,
        now: datetime,
        actor: str,
        reason: str,
    ) -> Charge:
        """Make a leg's charges equal to what it really used, and its charge final.

        Each tariff window and period is compared with what was metered in it; the differences are
        lines of kind `correction`, or `overdraft` beyond the hold. A leg may be settled again,
        under another key, when a measurement replaces a bound.

        Args:
            connection: The transaction; callers leave it out.
            key: The caller's key.
            run: The run.
            leg: The leg.
            costs: What it used, cut into stretches of one price each; empty when it never started.
                None when nothing is known: all that its hold has left is charged, unmeasured.
            price_version: Price-book version that made the prices.
            measured: False when the times are a bound and not a measurement.
            now: The time.
            actor: Who asks.
            reason: Why.

        Returns:
            What this call changed; a repeat returns the same.

        Raises:
            BadInputError: no such leg, or costs that are no costs.
            ConflictError: the key came with other numbers.
        """
        where = f"leg {leg} of run {run!r}"
        known = None if costs is None else [_piece(cost, where=where) for cost in costs]
        ask = f"settle {where} at {_asked(known)}"
        author = Author(key=key, ask=ask, actor=actor, reason=reason, at=now)
        bill = _open_bill(
            connection,
            run,
            leg,
            price_version=price_version,
            measured=measured and known is not None,
        )
        written = lines_of(connection, author)
        if written:
            return _answer(bill, written)
        return settle_leg(connection, bill, known, author=author)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What all lines of one leg share; its run and the budgets of its hold are locked."""

    leg: Row[Any]
    hold: Row[Any]
    books: Sequence[Book]
    price_version: str
    measured: bool


def settle_leg(
    connection: Connection, bill: Bill, known: Sequence[Piece] | None, *, author: Author
) -> Charge:
    """Settle a leg at what it is known to have used, or at all that its hold has left."""
    leg = bill.leg
    if known is None:
        since_us = leg.metered_until_us or leg.started_us or leg.opened_us
        start = min(from_us(since_us), author.at)
        whole = Piece(
            start=start,
            end=author.at,
            amount_micro_usd=purse_of(bill.hold).left,
            window=UNKNOWN_WINDOW,
        )
        moves = [whole] if whole.amount_micro_usd else []
    else:
        moves = _differences(connection, bill, known)
    line = Line(
        kind=LineKind.SETTLE,
        amount=0,
        run=leg.run,
        leg=leg.leg,
        price_version=bill.price_version,
        measured=bill.measured,
    )
    post(connection, levels_at(connection, bill.books, at=author.at), [line], author=author)
    charge = _book(connection, bill, moves, kind=LineKind.CORRECTION, author=author, first_part=1)
    ends = [to_us(piece.end) for piece in (moves if known is None else known)]
    settled = {
        "settled_us": to_us(author.at),
        "measured": bill.measured,
        "metered_until_us": max([*ends, leg.metered_until_us or 0]) or None,
    }
    connection.execute(
        update(LEG).where(LEG.c.run == leg.run, LEG.c.leg == leg.leg).values(settled)
    )
    return charge


def _open_bill(
    connection: Connection, run: str, leg: int, *, price_version: str, measured: bool
) -> Bill:
    row = lock_leg(connection, run, leg)
    hold = connection.execute(_HOLD, {"asked_hold": row.hold}).one()
    books = lock_books(connection, hold.path)
    return Bill(leg=row, hold=hold, books=books, price_version=price_version, measured=measured)


def _spend(
    connection: Connection, bill: Bill, pieces: Iterable[Piece], *, author: Author
) -> Charge:
    return _book(connection, bill, list(pieces), kind=LineKind.CHARGE, author=author)


def _book(
    connection: Connection,
    bill: Bill,
    pieces: Sequence[Piece],
    *,
    kind: LineKind,
    author: Author,
    first_part: int = 0,
) -> Charge:
    """Book pieces against the leg's hold, each in the periods in which it lies."""
    inside = [part for piece in pieces for part in cut(piece, at=_ends(bill.books, piece))]
    purse, bookings = book(purse_of(bill.hold), [part.amount_micro_usd for part in inside])
    written = first_part
    for part, booking in zip(inside, bookings, strict=True):
        levels = open_levels(connection, bill.books, at=part.start, now=author.at)
        lines = list(_lines(bill, part, booking, kind=kind))
        post(connection, levels, lines, author=author, first_part=written)
        written += len(lines)
    money = {
        "charged_micro_usd": purse.charged,
        "overdraft_micro_usd": purse.overdraft,
        "released_micro_usd": purse.released,
    }
    connection.execute(update(HOLD).where(HOLD.c.key == bill.hold.key).values(money))
    total = sum(part.amount_micro_usd for part in inside)
    until_us = max([*(to_us(part.end) for part in inside), bill.leg.metered_until_us or 0]) or None
    metered = {
        "charged_micro_usd": bill.leg.charged_micro_usd + total,
        "metered_until_us": until_us,
    }
    leg = bill.leg
    connection.execute(
        update(LEG).where(LEG.c.run == leg.run, LEG.c.leg == leg.leg).values(metered)
    )
    return Charge(
        run=leg.run,
        leg=leg.leg,
        amount_usd=from_micro(total),
        overdraft_usd=from_micro(sum(booking.beyond for booking in bookings)),
        hold_left_usd=from_micro(purse.left),
        metered_until=from_us(until_us),
    )


def _lines(bill: Bill, piece: Piece, booking: Booking, *, kind: LineKind) -> Iterator[Line]:
    line = Line(
        kind=kind,
        amount=booking.within,
        held=booking.held,
        charged=booking.within,
        run=bill.leg.run,
        leg=bill.leg.leg,
        price_version=bill.price_version,
        window=piece.window,
        used_from=piece.start,
        used_to=piece.end,
        measured=bill.measured,
    )
    if booking.within or not booking.beyond:
        yield line
    if booking.beyond:
        beyond = booking.beyond
        yield replace(line, kind=LineKind.OVERDRAFT, amount=beyond, held=0, charged=beyond)


def _differences(connection: Connection, bill: Bill, known: Sequence[Piece]) -> list[Piece]:
    """Return what has to be booked so that each window and period shows what was used."""
    leg = bill.leg
    asked = {"asked_run": leg.run, "asked_leg": leg.leg}
    charged = [
        Piece(
            start=from_us(row.used_from_us),
            end=from_us(row.used_to_us),
            amount_micro_usd=-row.amount_micro_usd,
            window=row.tariff_window,
        )
        for row in connection.execute(_CHARGED, asked)
    ]
    used = [part for piece in known for part in cut(piece, at=_ends(bill.books, piece))]
    cells: dict[tuple[Any, ...], list[Piece]] = defaultdict(list)
    for piece in [*used, *charged]:
        periods = (period_at(book, piece.start).start for book in bill.books)
        cells[piece.window, *periods].append(piece)
    moves = [
        Piece(
            start=min(piece.start for piece in pieces),
            end=max(piece.end for piece in pieces),
            amount_micro_usd=sum(piece.amount_micro_usd for piece in pieces),
            window=window,
        )
        for (window, *_), pieces in cells.items()
    ]
    return sorted((move for move in moves if move.amount_micro_usd), key=lambda move: move.start)


def _behind(watermark_us: int | None, pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield the parts of stretches that lie behind a watermark."""
    if watermark_us is None:
        yield from pieces
        return
    watermark = from_us(watermark_us)
    for piece in pieces:
        yield from (part for part in cut(piece, at=[watermark]) if part.start >= watermark)


def _ends(books: Sequence[Book], piece: Piece) -> Iterator[datetime]:
    """Yield the moments within a stretch at which a period of one of the budgets ends."""
    for each in books:
        end = period_at(each, piece.start).end
        while end < piece.end:
            yield end
            end = period_at(each, end).end


def _piece(stretch: Stretch, *, where: str) -> Piece:
    amount_micro_usd = whole_micro_usd(stretch.amount_usd, where=where)
    if stretch.end < stretch.start or (stretch.end == stretch.start and amount_micro_usd):
        msg = "used time ends before it begins"
        raise BadInputError(
            msg,
            where=where,
            expected=f"an end after {stretch.start.isoformat()}",
            got=stretch.end.isoformat(),
            remedy="check the clocks; nothing was booked",
        )
    return Piece(
        start=stretch.start,
        end=stretch.end,
        amount_micro_usd=amount_micro_usd,
        window=stretch.window,
    )


def _refuse_settled(bill: Bill) -> None:
    if bill.leg.settled_us is not None:
        msg = "the leg is settled, so nothing more is charged for it"
        remedy = "settle it again under another key to correct it"
        where = f"leg {bill.leg.leg} of run {bill.leg.run!r}"
        raise ConflictError(msg, where=where, remedy=remedy)


def _answer(bill: Bill, written: Iterable[Row[Any]]) -> Charge:
    """Return what lines that are there already charged."""
    rows = list(written)
    beyond = sum(row.amount_micro_usd for row in rows if row.kind == LineKind.OVERDRAFT)
    return Charge(
        run=bill.leg.run,
        leg=bill.leg.leg,
        amount_usd=from_micro(sum(row.amount_micro_usd for row in rows)),
        overdraft_usd=from_micro(beyond),
        hold_left_usd=from_micro(purse_of(bill.hold).left),
        metered_until=from_us(bill.leg.metered_until_us),
    )


def _asked(known: Sequence[Piece] | None) -> str:
    if known is None:
        return "all that its hold has left"
    parts = [
        f"{from_micro(piece.amount_micro_usd)} USD "
        f"{piece.start.isoformat()} to {piece.end.isoformat()} {piece.window}"
        for piece in known
    ]
    return "; ".join(parts) or "nothing"


_HOLD = select(HOLD).where(HOLD.c.key == bindparam("asked_hold"))
_CHARGED = select(JOURNAL).where(
    JOURNAL.c.run == bindparam("asked_run"),
    JOURNAL.c.leg == bindparam("asked_leg"),
    JOURNAL.c.used_from_us.is_not(None),
)
