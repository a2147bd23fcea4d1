"""A PostgreSQL server of our own, from what is installed, for as long as somebody needs it.

It listens on a Unix socket in a folder of its own and nowhere else. PostgreSQL refuses to run as
root, so root hands it to the user `postgres`. It ends with the process that started it.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

MISSING = "needs PostgreSQL's server: the Debian package postgresql"
_START_S_MAX = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server.

    Attributes:
        sockets: Folder of its socket.
    """

    sockets: Path

    def url(self, database: str) -> str:
        """Return the ledger's address of a database."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.sockets}"

    def dsn(self, database: str) -> str:
        """Return the driver's address of a database."""
        return f"host={self.sockets} user=postgres dbname={database}"

    def create(self, database: str, *, like: str = "template1") -> str:
        """Make a database with the contents of another one, and return its address."""
        make = SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(make.format(Identifier(database), Identifier(like)))
        return self.url(database)


def binaries() -> Path | None:
    """Return the folder of the newest installed server, if there is one."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if versions:
        return versions[-1].parent
    found = shutil.which("initdb")
    return None if found is None else Path(found).resolve().parent


@contextmanager
def running() -> Generator[Server]:
    """Run a server with its defaults: every commit reaches the disk."""
    folder = binaries()
    if folder is None:
        raise FileNotFoundError(MISSING)
    # Not pytest's folder: that one only root may enter, and a socket's path has 107 characters.
    home = Path(tempfile.mkdtemp(prefix="lowtide-pg-"))
    as_user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(home, user="postgres", group="postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    data = home / "data"
    make = [*as_user, str(folder / "initdb"), "--no-sync", "-A", "trust", "-U", "postgres"]
    subprocess.run(
        [*make, "-E", "UTF8", "--locale=C", "-D", str(data)],
        check=True,
        capture_output=True,
        cwd="/",
    )
    serve = ["setpriv", "--pdeathsig=INT", *as_user[1:], str(folder / "postgres"), "-D", str(data)]
    options = ["-k", str(home), "-c", "listen_addresses=", "-c", "max_connections=200"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([*serve, *options], stdout=log, stderr=log, cwd="/")
    try:
        server = Server(sockets=home)
        _wait(server, process, log=home / "log")
        yield server
    finally:
        process.send_signal(signal.SIGQUIT)  # without a last checkpoint: nobody will read it
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _wait(server: Server, process: "subprocess.Popen[bytes]", *, log: Path) -> None:
    deadline = time.monotonic() + _START_S_MAX
    while True:
        try:
            psycopg.connect(server.dsn("postgres")).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text(encoding="utf-8")) from None
            time.sleep(0.05)
        else:
            return


def _version(initdb: Path) -> int:
    name = initdb.parent.parent.name
    return int(name) if name.isdigit() else 0
