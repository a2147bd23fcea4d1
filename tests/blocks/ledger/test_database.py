"""Where the books live: made once, never older or newer than the code, append-only."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from blocks.ledger import Books
from blocks.ledger.engine import parse_url, refuse_network_file_system
from blocks.ledger.schema import APPEND_ONLY, METADATA, REVISION
from lowtide.errors import BadInputError, UnavailableError
from tests.blocks.ledger.acts import NOON, held, open_run, set_tree
from tests.blocks.ledger.postgres import Server

TEAM = {"name": "team", "limit_usd": 10}


def test_migrating_twice_changes_nothing(empty_url: str) -> None:
    books = Books(empty_url)

    assert books.migrate() == books.migrate() == REVISION
    set_tree(books, TEAM)
    books.close()


def test_who_finds_the_newest_tables_does_not_wait_for_a_writer(books: Books) -> None:
    set_tree(books, TEAM)
    other = Books(books.url)

    with books._writer.begin() as connection:
        connection.execute(text("UPDATE budget SET held_micro_usd = 1"))

        assert other.migrate() == REVISION
    other.close()


def test_two_who_migrate_at_once_both_succeed(empty_url: str) -> None:
    def migrate(_: int) -> str:
        books = Books(empty_url)
        try:
            return books.migrate()
        finally:
            books.close()

    with ThreadPoolExecutor(max_workers=4) as threads:
        assert set(threads.map(migrate, range(4))) == {REVISION}


def test_one_who_finds_another_at_the_first_write_waits_for_it(tmp_path: Path) -> None:
    # SQLite turns away at once whoever changes the journal's mode meanwhile: no time-out counts.
    path = tmp_path / "new.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    books = Books(f"sqlite:///{path}")

    with ThreadPoolExecutor(max_workers=1) as threads:
        migration = threads.submit(books.migrate)
        _, waiting = wait([migration], timeout=0.3)
        other.rollback()
        other.close()

        assert waiting == {migration}
        assert migration.result() == REVISION
    books.close()


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Dear diary, " * 100, encoding="utf-8")

    with pytest.raises(UnavailableError, match=r"notes.txt cannot be used"):
        Books(f"sqlite:///{path}").migrate()

    assert path.read_text(encoding="utf-8").startswith("Dear diary")


def test_the_migrations_make_the_tables_that_the_code_knows(books: Books) -> None:
    with books._reader.connect() as connection:
        context = MigrationContext.configure(connection)

        assert compare_metadata(context, METADATA) == []


def test_a_database_newer_than_the_code_is_refused(books: Books) -> None:
    with books._writer.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(BadInputError, match="newer than this code") as refusal:
        books.migrate()
    assert refusal.value.got == "revision 9999"


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET {} = {}"])
def test_the_journal_cannot_be_changed(books: Books, table: str, change: str) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    books.log("r-1", kind="note", key="1", body={}, now=NOON)
    column = "line" if table == "posting" else "id"

    with pytest.raises(DBAPIError, match="append-only"), books._writer.begin() as connection:
        connection.execute(text(change.format(table, column, column)))


def test_the_books_say_what_does_not_add_up(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    assert books.check() == ()

    with books._writer.begin() as connection:
        connection.execute(text("UPDATE budget SET held_micro_usd = 1"))
        connection.execute(text("UPDATE hold SET amount_micro_usd = 5000000"))

    found = {each.where: (each.stored_usd, each.journal_usd) for each in books.check()}
    assert len(found) == 3
    assert [str(usd) for usd in found["budget 'team', held"]] == ["0.000001", "4.000000"]
    assert found["run 'r-1', set aside in all"] == (5, 4)


def test_a_reader_cannot_write(books: Books) -> None:
    with pytest.raises(DBAPIError, match=r"readonly|read-only"), books._reader.begin() as reader:
        reader.execute(text("UPDATE budget SET held_micro_usd = 1"))


def test_a_reader_does_not_wait_for_a_writer(books: Books) -> None:
    set_tree(books, TEAM)

    with books._writer.begin() as connection:
        connection.execute(text("UPDATE budget SET held_micro_usd = 1"))

        assert books.budgets(NOON)[0].held_usd == 0


def test_a_database_without_tables_says_what_to_do(empty_url: str) -> None:
    books = Books(empty_url)

    with pytest.raises(UnavailableError, match="lowtide up"):
        books.run("r-1")
    with pytest.raises(UnavailableError, match="lowtide up"):
        open_run(books, "r-1")
    books.close()


@pytest.mark.postgres
def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    books = Books(f"postgresql://nobody@/nothing?host={tmp_path}")

    with pytest.raises(UnavailableError, match="does not answer"):
        books.migrate()
    with pytest.raises(UnavailableError, match="does not answer"):
        books.run("r-1")


@pytest.mark.postgres
def test_a_server_that_went_away_and_came_back_is_used_again(
    postgres_server: Server,
) -> None:
    books = Books(postgres_server.create("goes_away", like="ledger_template"))
    set_tree(books, TEAM)

    admin = create_engine(postgres_server.url("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            )
        )
    admin.dispose()

    held(books, "r-1", 4)
    assert books.hold_of("r-1") is not None
    books.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "need a file"),
        ("sqlite:///:memory:", "need a file"),
        ("mysql://host/ledger", "SQLite or Postgres"),
        ("nonsense", "not the address"),
    ],
)
def test_other_places_are_refused(url: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message) as refusal:
        parse_url(url)
    assert "postgresql+psycopg://" in str(refusal.value.remedy)


MOUNTS = """\
/dev/sda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb /home/local\\040disk xfs rw 0 0
//box/share /mnt/share cifs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("/var/lib/ledger.db", False),
        ("/home/ada/ledger.db", True),
        ("/home/local disk/ledger.db", False),
        ("/mnt/share/ledger.db", True),
        ("/mnt/shared/ledger.db", False),
    ],
)
def test_a_network_file_system_is_refused(tmp_path: Path, path: str, *, refused: bool) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS, encoding="utf-8")

    if refused:
        with pytest.raises(BadInputError, match="network file system"):
            refuse_network_file_system(Path(path), mounts=mounts)
    else:
        refuse_network_file_system(Path(path), mounts=mounts)
    refuse_network_file_system(Path(path), mounts=tmp_path / "none")


def test_a_sqlite_file_is_made_for_power_cuts_and_many_readers(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "ledger.db"
    books = Books(f"sqlite:///{path}")
    books.migrate()

    with books._writer.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    books.close()

    assert settings == ["wal", 2, 1]
    with sqlite3.connect(path) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    plain.close()
