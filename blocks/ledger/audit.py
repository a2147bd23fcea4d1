"""The journal for readers: its lines, and whether the stored balances are their sums."""

from sqlalchemy import Connection, select, true

from blocks.ledger.convert import from_us
from blocks.ledger.engine import Store, reads
from blocks.ledger.schema import JOURNAL
from lowtide.ledger.records import JournalLine, LineKind
from lowtide.money import from_micro


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
            budget: Only lines of this budget.
            run: Only lines of this run.
            limit: At most so many.

        Returns:
            The lines.
        """
        wanted = [
            true() if budget is None else JOURNAL.c.budget == budget,
            true() if run is None else JOURNAL.c.run == run,
        ]
        statement = select(JOURNAL).where(*wanted).order_by(JOURNAL.c.id.desc()).limit(limit)
        rows = connection.execute(statement).all()
        return tuple(
            JournalLine(
                id=row.id,
                at=from_us(row.at_us),
                kind=LineKind(row.kind),
                budget=row.budget,
                run=row.run,
                leg=row.leg,
                amount_usd=from_micro(row.amount_micro_usd),
                price_version=row.price_version,
                window=row.tariff_window,
                used_from=from_us(row.used_from_us),
                used_to=from_us(row.used_to_us),
                actor=row.actor,
                reason=row.reason,
                key=row.key if row.part == 0 else f"{row.key}#{row.part}",
                measured=row.measured,
            )
            for row in reversed(rows)
        )
