"""Connections, transactions, and every difference between SQLite and Postgres.

A write is one transaction that has the books to itself where it matters: SQLite lets one writer
in at a time (`BEGIN IMMEDIATE`; its default would let two of them read the same balance), Postgres
locks the budgets that are touched, from the root down. A write that loses a race it cannot
survive (a deadlock, a key taken meanwhile) is done again from its beginning, so nothing in it may
have an effect outside the database.

Reads go through an engine of their own that cannot write and never waits for a writer.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar, cast

from sqlalchemy import Connection, Engine, Row, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    OperationalError,
    ProgrammingError,
    TimeoutError as PoolTimeoutError,
)

from lowtide.errors import BadInputError, UnavailableError

Insert: TypeAlias = sqlite.Insert | postgresql.Insert
Stored: TypeAlias = Row[*tuple[Any, ...]]
"""A row as it came from the database."""

_SCHEMA_LOCK = 0x6C6F7774  # any number, the same for all
_ATTEMPTS_MAX = 20
_WAIT_S_MAX = 120.0
"""How long a writer of SQLite waits for its turn, at most; eight busy ones need milliseconds."""
_TURN_S = 0.06
"""SQLite asks for its turn ever more rarely, up to every 0.1 s, while the file lies idle: so it is
given up after this long, and asked anew. To ask much more often takes the processor from the one
whose turn it is: with 3 ms, eight writers got a fifth less done."""
_NETWORK_FILE_SYSTEMS = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "afs",
    "ceph",
    "gluster",
    "lustre",
    "fuse.sshfs",
)
# serialization failure, deadlock, lock not available, unique violation
_POSTGRES_RETRIED = frozenset({"40001", "40P01", "55P03", "23505"})


class LostRaceError(Exception):
    """What a transaction rests on changed before it could be locked; do it again."""


class Store:
    """A database with the books in it, and transactions on it."""

    url: str

    @cached_property
    def address(self) -> URL:
        """The database's address."""
        return parse_url(self.url)

    @cached_property
    def _writer(self) -> Engine:
        return _engine(self.address, read_only=False)

    @cached_property
    def _reader(self) -> Engine:
        return _engine(self.address, read_only=True)

    def close(self) -> None:
        """Close every connection; the next call opens new ones."""
        for name in ("_writer", "_reader"):
            engine = self.__dict__.pop(name, None)
            if engine is not None:
                engine.dispose()


S = TypeVar("S", bound=Store)
P = ParamSpec("P")
R = TypeVar("R")


def writes(method: Callable[Concatenate[S, Connection, P], R]) -> Callable[Concatenate[S, P], R]:
    """Run a method in one write transaction, and again when it lost a race.

    Raises:
        UnavailableError: the database does not answer.
    """

    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        writer = self._writer  # pyright: ignore[reportPrivateUsage]
        return _transact(writer, lambda connection: method(self, connection, *args, **kwargs))

    return call


def reads(method: Callable[Concatenate[S, Connection, P], R]) -> Callable[Concatenate[S, P], R]:
    """Run a method on one consistent view of the books.

    Raises:
        UnavailableError: the database does not answer.
    """

    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        reader = self._reader  # pyright: ignore[reportPrivateUsage]
        return _transact(reader, lambda connection: method(self, connection, *args, **kwargs))

    return call


def _transact(engine: Engine, work: Callable[[Connection], R]) -> R:
    for attempt in range(1, _ATTEMPTS_MAX + 1):
        committing = False
        try:
            # Leaving the connection without a commit rolls everything back.
            with engine.connect() as connection:
                transaction = connection.begin()
                answer = work(connection)
                committing = True
                transaction.commit()
                return answer
        except (DBAPIError, LostRaceError, PoolTimeoutError) as error:
            if attempt == _ATTEMPTS_MAX or not _may_repeat(error, committing=committing):
                raise _translated(error) from error
    raise AssertionError  # the last attempt returns or raises


def parse_url(url: str) -> URL:
    """Return a database address that the books can live at.

    Raises:
        BadInputError: another database, no file, or a file on a network file system.
    """
    remedy = "use sqlite:////absolute/path or postgresql+psycopg://host/database"
    try:
        address = make_url(url)
    except ArgumentError as error:
        msg = "not the address of a database"
        raise BadInputError(msg, where="ledger", got=repr(url), remedy=remedy) from error
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    if address.drivername not in {"sqlite", "sqlite+pysqlite", "postgresql+psycopg"}:
        msg = "the books are kept in SQLite or Postgres"
        raise BadInputError(msg, where="ledger", got=address.drivername, remedy=remedy)
    if address.get_backend_name() == "sqlite":
        if address.database in {None, "", ":memory:"}:
            msg = "the books need a file"
            raise BadInputError(msg, where="ledger", got=repr(url), remedy=remedy)
        refuse_network_file_system(Path(str(address.database)))
    return address


def refuse_network_file_system(path: Path, *, mounts: Path = Path("/proc/mounts")) -> None:
    """Refuse a SQLite file where its locks do not hold.

    Args:
        path: The file, which need not exist.
        mounts: The mount table; where there is none, nothing is refused.

    Raises:
        BadInputError: the file would lie on a network file system.
    """
    try:
        table = mounts.read_text(encoding="utf-8")
    except OSError:
        return
    path = path.absolute()
    best, kind = Path("/"), ""
    for line in table.splitlines():
        _, mount_point, file_system, *_ = line.split(" ")
        mounted = Path(mount_point.replace("\\040", " "))
        # The longest mount point wins, and of two equal ones the later.
        if path.is_relative_to(mounted) and len(mounted.parts) >= len(best.parts):
            best, kind = mounted, file_system
    if kind.startswith(_NETWORK_FILE_SYSTEMS):
        msg = f"{path} lies on the network file system {best} ({kind}), where SQLite loses data"
        remedy = "use a local disk, or a postgresql+psycopg:// address for several machines"
        raise BadInputError(msg, where="ledger", remedy=remedy)


def prepare(address: URL) -> None:
    """Make a database ready for its first connection: a SQLite file, in its journal mode.

    Raises:
        UnavailableError: the file cannot be opened, is none of SQLite's, or stays busy.
    """
    if address.get_backend_name() != "sqlite":
        return
    path = Path(str(address.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=_WAIT_S_MAX)) as connection:
            _keep_a_write_ahead_log(connection)
    except (OSError, sqlite3.Error) as error:
        msg = f"the file {path} cannot be used: {error}"
        remedy = "name a file that may be written and holds nothing else; nothing was changed"
        raise UnavailableError(msg, where="ledger", remedy=remedy) from error


def _keep_a_write_ahead_log(connection: sqlite3.Connection) -> None:
    # Of two who change the mode at once, each with the file open for reading, SQLite turns one
    # away at once, whatever the time-out: the other waits for that one's lock. The one who was
    # turned away has let go of it, and waits its turn, as it may at the begin of a transaction.
    for _ in range(_ATTEMPTS_MAX):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not _is_busy(error):
                raise
            connection.execute("BEGIN EXCLUSIVE")
            connection.rollback()
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL")


def lock_schema(connection: Connection) -> None:
    """Wait until nobody else changes the tables; SQLite's writer has them to itself already."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")


def insert_into(dialect: str, table: Table) -> Insert:
    """Return an INSERT that knows ON CONFLICT; both databases spell it the same."""
    return (sqlite if dialect == "sqlite" else postgresql).insert(table)


def _engine(address: URL, *, read_only: bool) -> Engine:
    if address.get_backend_name() == "sqlite":
        return _sqlite_engine(address, read_only=read_only)
    isolation = "REPEATABLE READ" if read_only else "READ COMMITTED"
    return create_engine(
        address,
        isolation_level=isolation,
        execution_options={"postgresql_readonly": True} if read_only else {},
    )


def _sqlite_engine(address: URL, *, read_only: bool) -> Engine:
    # One writer at a time is all that SQLite admits: threads queue for the connection, in order.
    pool: dict[str, Any] = {} if read_only else {"pool_size": 1, "max_overflow": 0}
    engine = create_engine(
        address,
        connect_args={
            "timeout": _WAIT_S_MAX if read_only else _TURN_S,
            "check_same_thread": False,
        },
        pool_timeout=_WAIT_S_MAX,
        **pool,
    )

    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver would begin transactions on its own
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA query_only = {'ON' if read_only else 'OFF'}")

    def on_begin(connection: Connection) -> None:
        if read_only:
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_immediate(connection)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    return engine


def _begin_immediate(connection: Connection) -> None:
    driver = cast("sqlite3.Connection", connection.connection.driver_connection)
    for _ in range(round(_WAIT_S_MAX / _TURN_S)):
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not _is_busy(error):
                break
        else:
            return
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _is_busy(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _may_repeat(error: Exception, *, committing: bool) -> bool:
    """Say whether a transaction certainly left nothing behind and may work the next time."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, LostRaceError)
    if error.connection_invalidated:
        # The pool gave out a connection that the server had ended. Where it broke in the commit,
        # nobody knows whether that happened: the caller decides, its keys make a repeat harmless.
        return not committing
    if isinstance(error.orig, sqlite3.Error):
        # With one writer at a time a constraint is broken by the caller, never by a race.
        return _is_busy(error.orig)
    return getattr(error.orig, "sqlstate", None) in _POSTGRES_RETRIED


def _translated(error: Exception) -> Exception:
    if isinstance(error, PoolTimeoutError):
        msg, remedy = "no connection became free in time", "do the same again"
        return UnavailableError(msg, where="ledger", remedy=remedy)
    if not isinstance(error, OperationalError | ProgrammingError):
        return error
    reason = str(error.orig).splitlines()[0]
    if "no such table" in reason or getattr(error.orig, "sqlstate", None) == "42P01":
        msg, remedy = "the database has no books yet", "run `lowtide up`, which makes them"
        return UnavailableError(msg, where="ledger", remedy=remedy)
    if isinstance(error, OperationalError):
        remedy = "check that it is there and reachable, then do the same again"
        msg = f"the database does not answer: {reason}"
        return UnavailableError(msg, where="ledger", remedy=remedy)
    return error
