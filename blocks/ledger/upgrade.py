"""Alembic, which takes a second to import: loaded only where tables are to be made or changed."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from lowtide.errors import BadInputError

_SCRIPTS = Path(__file__).with_name("migrations")


def upgrade(connection: Connection) -> str:
    """Bring the tables to the newest revision that this code knows, and return it.

    Args:
        connection: A transaction that has the tables to itself.

    Raises:
        BadInputError: the database is newer than this code.
    """
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
