"""Bring a database to the tables that this code knows, with Alembic, from code.

Almost always it has them already. Then Alembic is not even imported: that takes a command line
longer than its answer, and its transaction would have to wait for whoever writes.
"""

from pathlib import Path

from sqlalchemy import Connection, text

from blocks.ledger.engine import Store, lock_schema, prepare, reads, writes
from lowtide.errors import BadInputError

NEWEST = "0001"
"""The newest revision under `migrations/versions`."""
_SCRIPTS = Path(__file__).with_name("migrations")
_TABLE = "alembic_version"


class Migrations(Store):
    """The part of the ledger that makes and changes its tables."""

    def migrate(self) -> str:
        """Bring the database to the newest tables that this code knows.

        Two callers at once are one after the other; the second finds nothing to do.

        Returns:
            The revision that the database is at.

        Raises:
            BadInputError: the database is newer than this code, or lies on a network file system.
            UnavailableError: it does not answer.
        """
        prepare(self.address)
        return NEWEST if self._revision() == NEWEST else self._upgrade()

    @reads
    def _revision(self, connection: Connection) -> str | None:
        if not connection.dialect.has_table(connection, _TABLE):
            return None
        found = connection.execute(text(f"SELECT version_num FROM {_TABLE}"))  # noqa: S608 - a constant
        return found.scalar_one_or_none()

    @writes
    def _upgrade(self, connection: Connection) -> str:
        from alembic import command  # noqa: PLC0415 - takes a fifth of a command's time
        from alembic.config import Config  # noqa: PLC0415
        from alembic.runtime.migration import MigrationContext  # noqa: PLC0415
        from alembic.script import ScriptDirectory  # noqa: PLC0415
        from alembic.util import CommandError  # noqa: PLC0415

        lock_schema(connection)
        config = Config()
        config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
        config.attributes["connection"] = connection
        scripts = ScriptDirectory.from_config(config)
        head = str(scripts.get_current_head())
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None:
            try:
                scripts.get_revision(current)
            except CommandError:
                msg = "the database is newer than this code"
                raise BadInputError(
                    msg,
                    where="ledger",
                    expected=f"revision {head} or older",
                    got=f"revision {current}",
                    remedy="install the newer lowtide; nothing was changed",
                ) from None
        command.upgrade(config, "head")
        return head
