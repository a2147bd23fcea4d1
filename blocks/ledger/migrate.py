"""Bring a database to the tables that this code knows."""

from sqlalchemy import Connection, text

from blocks.ledger.engine import Store, lock_schema, prepare, reads, writes
from blocks.ledger.schema import REVISION


class Migrations(Store):
    """The part of the ledger that makes and changes its tables."""

    def migrate(self) -> str:
        """Bring the database to the newest tables that this code knows.

        Two callers at once are one after the other; the second finds nothing to do. Where there is
        nothing to do, nobody waits: looking takes no lock.

        Returns:
            The revision that the database is at.

        Raises:
            BadInputError: the database is newer than this code, or lies on a network file system.
            UnavailableError: it does not answer.
        """
        prepare(self.address)
        return REVISION if self._revision() == REVISION else self._upgrade()

    @reads
    def _revision(self, connection: Connection) -> str | None:
        if not connection.dialect.has_table(connection, "alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

    @writes
    def _upgrade(self, connection: Connection) -> str:
        from blocks.ledger.upgrade import upgrade  # noqa: PLC0415 - imports Alembic

        lock_schema(connection)
        return upgrade(connection)
