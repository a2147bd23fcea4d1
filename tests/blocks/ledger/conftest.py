"""The books on both databases: every test that takes `books` runs on SQLite and on Postgres."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blocks.ledger import Books
from tests.blocks.ledger import postgres

_NUMBERS = itertools.count(1)
_TEMPLATE = "ledger_template"

BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """One PostgreSQL server for the whole test run, with migrated books to copy."""
    if postgres.binaries() is None:
        pytest.skip(postgres.MISSING)
    with postgres.running() as server:
        migrated = Books(server.create(_TEMPLATE))
        migrated.migrate()
        migrated.close()
        yield server


@pytest.fixture(scope="session")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with migrated books to copy."""
    path = tmp_path_factory.mktemp("ledger") / f"{_TEMPLATE}.db"
    migrated = Books(f"sqlite:///{path}")
    migrated.migrate()
    migrated.close()
    return path


@pytest.fixture(params=BOTH)
def dialect(request: pytest.FixtureRequest) -> str:
    """Which database."""
    return str(request.param)


@pytest.fixture
def empty_url(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Address of a database without tables."""
    if dialect == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    server: postgres.Server = request.getfixturevalue("postgres_server")
    return server.create(f"ledger_{next(_NUMBERS)}")


@pytest.fixture
def make_url(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], str]:
    """Makes the address of a database with empty books, a new one at each call."""
    if dialect == "sqlite":
        template: Path = request.getfixturevalue("sqlite_file")

        def copy() -> str:
            path = tmp_path / f"ledger-{next(_NUMBERS)}.db"
            shutil.copyfile(template, path)
            return f"sqlite:///{path}"

        return copy
    server: postgres.Server = request.getfixturevalue("postgres_server")
    return lambda: server.create(f"ledger_{next(_NUMBERS)}", like=_TEMPLATE)


@pytest.fixture
def books(make_url: Callable[[], str]) -> Iterator[Books]:
    """Empty books."""
    books = Books(make_url())
    yield books
    books.close()
