"""Bring a database to the tables that this code knows, with Alembic, from code."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from blocks.ledger.engine import Store, lock_schema, prepare, writes
from lowtide.errors import BadInputError

_SCRIPTS = Path(__file__).with_name("migrations")


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
        return self._upgrade()

    @writes
    def _upgrade(self, connection: Connection) -> str:
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
