"""Charges: used time posted against a hold, metered while a leg runs, settled when it has ended.

Each leg has a watermark, the time up to which it was charged. Metering only ever charges what lies
behind it, so a sample that comes twice, late, or from two observers at once bills nothing twice.
Settling compares all that was charged with what was measured and writes the difference, in lines
of their own: nothing in the journal is ever changed.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

from sqlalchemy import Connection

from blocks.ledger.billing import (
    Bill,
    answer,
    behind,
    book_pieces,
    open_bill,
    piece_of,
    settle_leg,
)
from blocks.ledger.convert import from_us
from blocks.ledger.engine import Store, writes
from blocks.ledger.posting import Author, lines_of
from lowtide.errors import BadInputError, ConflictError
from lowtide.ledger.records import Charge, LineKind, Stretch
from lowtide.ledger.rules import Piece
from lowtide.money import from_micro

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
        piece = piece_of(stretch, where=f"leg {leg} of run {run!r}")
        ask = (
            f"charge {from_micro(piece.amount_micro_usd)} USD for leg {leg} of run {run!r}, "
            f"{period_start.isoformat()} to {period_end.isoformat()}, {window}"
        )
        author = Author(key=key, ask=ask, actor=actor, reason=reason, at=now)
        bill = open_bill(connection, run, leg, price_version=price_version, measured=measured)
        written = lines_of(connection, author)
        if written:
            return answer(bill, written)
        _refuse_settled(bill)
        pieces = behind(bill.leg.metered_until_us, [piece])
        return book_pieces(connection, bill, pieces, kind=LineKind.CHARGE, author=author)

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
        bill = open_bill(connection, run, leg, price_version=price_version, measured=True)
        since_us = bill.leg.metered_until_us or bill.leg.started_us
        if since_us is None:
            msg = "the leg has not started, so there is no time to charge"
            remedy = "write down its start with `update_leg`"
            raise BadInputError(msg, where=f"leg {leg} of run {run!r}", remedy=remedy)
        since = from_us(since_us)
        if until <= since or bill.leg.settled_us is not None:
            return answer(bill, ())
        key = f"{run}/leg-{leg}/meter/{since.isoformat()}"
        author = Author(
            key=key, ask=f"meter from {since.isoformat()}", actor=actor, reason=reason, at=now
        )
        where = f"leg {leg} of run {run!r}"
        pieces = [piece_of(stretch, where=where) for stretch in price(since, until)]
        pieces = behind(since_us, pieces)
        return book_pieces(connection, bill, pieces, kind=LineKind.CHARGE, author=author)

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
        known = None if costs is None else [piece_of(cost, where=where) for cost in costs]
        ask = f"settle {where} at {_asked(known)}"
        author = Author(key=key, ask=ask, actor=actor, reason=reason, at=now)
        bill = open_bill(
            connection,
            run,
            leg,
            price_version=price_version,
            measured=measured and known is not None,
        )
        written = lines_of(connection, author)
        if written:
            return answer(bill, written)
        return settle_leg(connection, bill, known, author=author)


def _refuse_settled(bill: Bill) -> None:
    if bill.leg.settled_us is not None:
        msg = "the leg is settled, so nothing more is charged for it"
        remedy = "settle it again under another key to correct it"
        where = f"leg {bill.leg.leg} of run {bill.leg.run!r}"
        raise ConflictError(msg, where=where, remedy=remedy)


def _asked(known: Sequence[Piece] | None) -> str:
    if known is None:
        return "all that its hold has left"
    parts = [
        f"{from_micro(piece.amount_micro_usd)} USD "
        f"{piece.start.isoformat()} to {piece.end.isoformat()} {piece.window}"
        for piece in known
    ]
    return "; ".join(parts) or "nothing"
