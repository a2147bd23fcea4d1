"""A leg's bill: which pieces of used time go to which periods, and what the hold pays of them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from blocks.ledger.convert import from_us, from_us_if, to_us
from blocks.ledger.engine import Stored
from blocks.ledger.hold_rows import hold_by_key, purse_of
from blocks.ledger.legs import lock_leg
from blocks.ledger.posting import (
    Author,
    Book,
    Line,
    levels_at,
    lock_books,
    open_levels,
    period_at,
    post,
)
from blocks.ledger.prepared import Prepared
from blocks.ledger.schema import HOLD, JOURNAL, LEG
from lowtide.errors import BadInputError
from lowtide.ledger.records import Charge, LineKind, Stretch
from lowtide.ledger.rules import Booking, Piece, book, cut, whole_micro_usd
from lowtide.money import from_micro

UNKNOWN_WINDOW = "unknown"
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What all lines of one leg share; its run and the budgets of its hold are locked.

    Attributes:
        leg: The leg's row.
        hold: The row of the hold that the leg was opened under, ended or not.
        books: The budgets that pay, from the root down.
        price_version: Price-book version that made the prices.
        measured: False when the times are a bound and not a measurement.
    """

    leg: Stored
    hold: Stored
    books: Sequence[Book]
    price_version: str
    measured: bool


def open_bill(
    connection: Connection, run: str, leg: int, *, price_version: str, measured: bool
) -> Bill:
    """Lock a leg's run and the budgets that pay for it.

    Raises:
        BadInputError: there is no such leg.
    """
    row = lock_leg(connection, run, leg)
    hold = hold_by_key(connection, row.hold)
    books = lock_books(connection, hold.path)
    return Bill(leg=row, hold=hold, books=books, price_version=price_version, measured=measured)


def book_pieces(
    connection: Connection,
    bill: Bill,
    pieces: Iterable[Piece],
    *,
    kind: LineKind,
    author: Author,
    first_part: int = 0,
) -> Charge:
    """Book pieces of used time against the leg's hold, each in the periods in which it lies.

    Args:
        connection: The transaction.
        bill: What is billed.
        pieces: The used time; a negative amount gives back.
        kind: Kind of the lines; what the hold does not cover becomes an overdraft.
        author: Who writes them.
        first_part: Number of the first line among those of the same key.

    Returns:
        What was charged.
    """
    inside = [part for piece in pieces for part in cut(piece, at=_ends(bill.books, piece))]
    purse, bookings = book(purse_of(bill.hold), [part.amount_micro_usd for part in inside])
    written = first_part
    for part, booking in zip(inside, bookings, strict=True):
        levels = open_levels(connection, bill.books, at=part.start, now=author.at)
        lines = list(_lines(bill, part, booking, kind=kind))
        post(connection, levels, lines, author=author, first_part=written)
        written += len(lines)
    leg, total = bill.leg, sum(part.amount_micro_usd for part in inside)
    until_us = max([leg.metered_until_us or 0, *(to_us(part.end) for part in inside)]) or None
    paid = {
        "charged_micro_usd": purse.charged,
        "overdraft_micro_usd": purse.overdraft,
        "released_micro_usd": purse.released,
    }
    metered = {
        "charged_micro_usd": leg.charged_micro_usd + total,
        "metered_until_us": until_us,
    }
    _PAY.run(connection, {"asked_hold": bill.hold.key, **paid})
    _METER.run(connection, {"asked_run": leg.run, "asked_leg": leg.leg, **metered})
    return Charge(
        run=leg.run,
        leg=leg.leg,
        amount_usd=from_micro(total),
        overdraft_usd=from_micro(sum(booking.beyond for booking in bookings)),
        hold_left_usd=from_micro(purse.left),
        metered_until=from_us_if(until_us),
    )


def settle_leg(
    connection: Connection, bill: Bill, known: Sequence[Piece] | None, *, author: Author
) -> Charge:
    """Make a leg's charges equal to what it is known to have used, and final.

    Args:
        connection: The transaction.
        bill: What is billed.
        known: What it used; None when nothing is known: then all that its hold has left is
            charged. Money that may have been spent is never given back.
        author: Who settles.

    Returns:
        What was changed.
    """
    leg = bill.leg
    moves = _rest(bill, at=author.at) if known is None else _differences(connection, bill, known)
    line = Line(
        kind=LineKind.SETTLE,
        amount=0,
        run=leg.run,
        leg=leg.leg,
        price_version=bill.price_version,
        measured=bill.measured,
    )
    post(connection, levels_at(connection, bill.books, at=author.at), [line], author=author)
    changed = book_pieces(
        connection, bill, moves, kind=LineKind.CORRECTION, author=author, first_part=1
    )
    settled = {"settled_us": to_us(author.at), "measured": bill.measured}
    _SETTLE.run(connection, {"asked_run": leg.run, "asked_leg": leg.leg, **settled})
    return changed


def piece_of(stretch: Stretch, *, where: str) -> Piece:
    """Return a stretch of used time with its cost rounded to whole micro-dollars.

    Raises:
        BadInputError: its cost is no amount, or it ends before it begins.
    """
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


def behind(watermark_us: int | None, pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield the parts of stretches that lie behind a watermark."""
    if watermark_us is None:
        yield from pieces
        return
    watermark = from_us(watermark_us)
    for piece in pieces:
        yield from (part for part in cut(piece, at=[watermark]) if part.start >= watermark)


def answer(bill: Bill, written: Iterable[Stored]) -> Charge:
    """Return what lines that are there already charged."""
    rows = list(written)
    beyond = sum(row.amount_micro_usd for row in rows if row.kind == LineKind.OVERDRAFT)
    return Charge(
        run=bill.leg.run,
        leg=bill.leg.leg,
        amount_usd=from_micro(sum(row.amount_micro_usd for row in rows)),
        overdraft_usd=from_micro(beyond),
        hold_left_usd=from_micro(purse_of(bill.hold).left),
        metered_until=from_us_if(bill.leg.metered_until_us),
    )


def _ends(books: Sequence[Book], piece: Piece) -> Iterator[datetime]:
    """Yield the moments within a stretch at which a period of one of the budgets ends."""
    for each in books:
        end = period_at(each, piece.start).end
        while end < piece.end:
            yield end
            end = period_at(each, end).end


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


def _rest(bill: Bill, *, at: datetime) -> list[Piece]:
    """Return all that the hold has left, as used from the last charge to the leg's limit."""
    leg, left = bill.leg, purse_of(bill.hold).left
    if not left:
        return []
    start = from_us(leg.metered_until_us or leg.started_us or leg.opened_us)
    limit = timedelta(seconds=leg.limit_s)
    end = min(at, from_us(leg.started_us or leg.start_by_us) + limit)
    end = max(end, start + _TICK)
    return [Piece(start=start, end=end, amount_micro_usd=left, window=UNKNOWN_WINDOW)]


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
    # What is given back goes first: no threshold is crossed by money that only moves.
    return sorted(
        (move for move in moves if move.amount_micro_usd),
        key=lambda move: (move.amount_micro_usd > 0, move.start),
    )


_CHARGED = select(JOURNAL).where(
    JOURNAL.c.run == bindparam("asked_run"),
    JOURNAL.c.leg == bindparam("asked_leg"),
    JOURNAL.c.used_from_us.is_not(None),
)
_PAY = Prepared(
    update(HOLD).where(HOLD.c.key == bindparam("asked_hold")),
    columns=["charged_micro_usd", "overdraft_micro_usd", "released_micro_usd"],
)
_ONE_LEG = update(LEG).where(
    LEG.c.run == bindparam("asked_run"), LEG.c.leg == bindparam("asked_leg")
)
_METER = Prepared(_ONE_LEG, columns=["charged_micro_usd", "metered_until_us"])
_SETTLE = Prepared(_ONE_LEG, columns=["settled_us", "measured"])
