"""Holds per second beside the bare driver, and a journal of a million lines.

    python -m benchmarks.ledger [--holds N] [--lines N]

A hold here is taken three budgets deep. The bare driver does the very same statements with the same
durability: they are recorded from one hold of the ledger and replayed through `sqlite3` and
`psycopg`, in transactions that begin the same way. Both are measured in turns, in one run, with one
process and with eight; each process takes its share of the holds. Postgres is started from what is
installed, with its defaults: every commit reaches the disk. Exit code 1 when a line is missed.
"""

import argparse
import multiprocessing
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import psycopg
from sqlalchemy import event, insert, text

from blocks.ledger import Books, Hold
from blocks.ledger.convert import to_us
from blocks.ledger.schema import RUN
from lowtide.ledger.budgets import parse_budgets
from tests.blocks.ledger import postgres

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROCESSES = 8
ROUNDS = 5
RATE_SHARE_MIN = 0.5
BALANCE_MS_MAX = 5.0
REPORT_S_MAX = 1.0
RUN_NAME, KEY_NAME = "@run@", "@key@"


def main() -> int:
    """Measure, print, and say whether every line is met."""
    parser = argparse.ArgumentParser(description="Measure the ledger.")
    parser.add_argument("--holds", type=int, default=2000, help="holds per measurement")
    parser.add_argument("--lines", type=int, default=1_000_000, help="lines of the large journal")
    parser.add_argument("--sqlite-only", dest="postgres", action="store_false", help="no Postgres")
    asked = parser.parse_args()
    met = True
    with tempfile.TemporaryDirectory(prefix="lowtide-bench-") as folder:
        sqlite = sqlite_side(Path(folder) / "ledger.db")
        met &= measure(sqlite, holds=asked.holds, lines=asked.lines)
    if not asked.postgres or postgres.binaries() is None:
        print(f"postgres    skipped: {postgres.MISSING}")
        return 0 if met else 1
    with postgres.running() as server:
        met &= measure(postgres_side(server), holds=asked.holds, lines=asked.lines)
    return 0 if met else 1


Parameters: TypeAlias = Mapping[str, Any] | tuple[Any, ...]


class Cursor(Protocol):
    """What both bare drivers have."""

    def execute(self, sql: str, parameters: Parameters = ..., /) -> object:
        """Do a statement."""
        ...

    def executemany(self, sql: str, parameters: Sequence[Parameters], /) -> object:
        """Do a statement for each of several sets of parameters."""
        ...

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return what it found."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One database.

    Attributes:
        name: What it is called.
        url: The ledger's address of it.
        target: The bare driver's.
        series: SQL that makes the numbers from 1 to {lines}.
    """

    name: str
    url: str
    target: str
    series: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement that the ledger sent, with its parameters."""

    sql: str
    parameters: Any
    many: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tape:
    """The statements of one hold, to be replayed for other runs.

    Attributes:
        statements: The statements between the transaction's begin and its commit.
        line: Id of the journal line that they wrote, to be replaced by the new one.
    """

    statements: tuple[Statement, ...]
    line: int

    def replay(self, cursor: Cursor, run: str, *, begin: str) -> None:
        """Do the statements through the bare driver, for another run."""
        line = self.line
        cursor.execute(begin)
        for each in self.statements:
            if each.many:
                rows = [self._filled(row, run, line) for row in each.parameters]
                cursor.executemany(each.sql, rows)
                continue
            cursor.execute(each.sql, self._filled(each.parameters, run, line))
            if "RETURNING" in each.sql or each.sql.startswith("SELECT"):
                rows = cursor.fetchall()
                line = rows[0][0] if each.sql.startswith("INSERT INTO journal") else line
        cursor.execute("COMMIT")

    def _filled(self, parameters: Parameters, run: str, line: int) -> Parameters:
        if isinstance(parameters, Mapping):
            return {name: self._renamed(value, run, line) for name, value in parameters.items()}
        return tuple(self._renamed(value, run, line) for value in parameters)

    def _renamed(self, value: object, run: str, line: int) -> object:
        if isinstance(value, str):
            return value.replace(RUN_NAME, run).replace(KEY_NAME, run)
        return line if value == self.line else value


def measure(side: Side, *, holds: int, lines: int) -> bool:
    """Measure one database and print its lines."""
    books = Books(side.url)
    books.migrate()
    set_tree(books)
    tape = record(books)
    rates: dict[tuple[str, int], list[float]] = {}
    for number in range(ROUNDS):
        for processes in (1, PROCESSES):
            for way in ("ledger", "bare"):
                name = f"{way}-{processes}-{number}"
                runs = [f"{name}-{at}" for at in range(holds)]
                make_runs(books, runs)
                rate = hold_rate(side, way, runs=runs, processes=processes, tape=tape)
                rates.setdefault((way, processes), []).append(rate)
    assert books.check() == (), "the replayed statements are the ledger's own: the books agree"
    met = True
    for processes in (1, PROCESSES):
        ours, bare = (statistics.median(rates[way, processes]) for way in ("ledger", "bare"))
        good = ours >= RATE_SHARE_MIN * bare
        met &= good
        print(
            f"{side.name:<10}  {processes} process(es)   {ours:7.0f} holds/s   "
            f"bare driver {bare:7.0f}/s   share {ours / bare:4.0%}   {verdict(good)}"
        )
    met &= measure_journal(side, books, lines=lines)
    books.close()
    return met


def measure_journal(side: Side, books: Books, *, lines: int) -> bool:
    """Fill the journal and time what people ask of it."""
    fill(books, side.series.format(lines=lines))
    if side.name == "postgres":
        with psycopg.connect(side.target, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")  # as its daemon would, some time after
    states = books.budgets(NOW)
    asked = [state.name for state in states]
    balance_ms = [
        1000 * statistics.median(seconds(lambda: books.budget(name, now=NOW)) for _ in range(7))  # noqa: B023
        for name in asked
    ]
    month = {"start": NOW - timedelta(days=22), "end": NOW + timedelta(days=8)}
    report_s = [seconds(lambda: by_team(books, **month)) for _ in range(5)]
    total = sum(by_team(books, **month).values())
    stored = next(state.charged_usd for state in books.budgets(NOW) if state.name == "org")
    worst_ms, report_median_s = max(balance_ms), statistics.median(report_s)
    print(
        f"{side.name:<10}  {lines:,} lines   balance of any of {len(asked)} budgets: "
        f"median {statistics.median(balance_ms):.2f} ms, worst {worst_ms:.2f} ms   "
        f"{verdict(worst_ms < BALANCE_MS_MAX)}"
    )
    print(
        f"{side.name:<10}  {lines:,} lines, all in the month   the month by team: "
        f"{report_median_s:.2f} s (sum {total} = balance {stored})   "
        f"{verdict(report_median_s < REPORT_S_MAX)}"
    )
    assert total == stored
    return worst_ms < BALANCE_MS_MAX and report_median_s < REPORT_S_MAX


def by_team(books: Books, *, start: datetime, end: datetime) -> dict[str, Decimal]:
    """Return what each team spent, its projects added up."""
    teams: dict[str, Decimal] = {}
    for name, spent_usd in books.spent(start=start, end=end).items():
        team = name.split("/", maxsplit=1)[0]
        teams[team] = teams.get(team, Decimal(0)) + spent_usd
    return teams


def seconds(act: Callable[[], object]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def verdict(good: bool) -> str:  # noqa: FBT001 - a word for a flag
    """Return the word for a line."""
    return "met" if good else "MISSED"


def set_tree(books: Books) -> None:
    """Set an organisation with 20 teams of 5 projects."""
    teams = [f"team-{number}" for number in range(20)]
    entries: list[dict[str, Any]] = [{"name": "org", "limit_usd": 10**9, "thresholds": [100]}]
    for team in teams:
        entries.append({"name": team, "limit_usd": 10**8, "parent": "org"})
        entries += [
            {"name": f"{team}/{at}", "limit_usd": 10**7, "parent": team} for at in range(5)
        ]
    books.set_budgets(parse_budgets(entries), actor="bench", reason="a benchmark", now=NOW)


def make_runs(books: Books, runs: Sequence[str]) -> None:
    """Put run rows into the books, in one transaction."""
    row: dict[str, Any] = {
        "job": {},
        "spec_hash": "",
        "name": "bench",
        "budget": "team-0/0",
        "priority": "normal",
        "flavor": "t4",
        "tags": {},
        "state": "created",
        "message": "",
        "created_us": to_us(NOW),
        "changed_us": to_us(NOW),
        "fencing": 0,
    }
    with books._writer.begin() as connection:  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        connection.execute(insert(RUN), [{"run": run, "key": run, **row} for run in runs])


def take(books: Books, run: str, key: str) -> None:
    """Take one hold through the ledger."""
    taken = books.hold(
        key=key,
        run=run,
        budget="team-0/0",
        amount_usd=Decimal("0.01"),
        expires_at=NOW,
        price_version="1",
        actor="bench",
        reason="a benchmark",
        now=NOW,
    )
    assert isinstance(taken, Hold)


def record(books: Books) -> Tape:
    """Record the statements of one hold."""
    make_runs(books, ["warm", RUN_NAME])
    take(books, "warm", "warm")
    statements: list[Statement] = []

    def note(*sent: object) -> None:
        _connection, _cursor, sql, parameters, _context, many = sent
        statements.append(Statement(sql=str(sql), parameters=parameters, many=bool(many)))

    writer = books._writer  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    event.listen(writer, "before_cursor_execute", note)
    take(books, RUN_NAME, KEY_NAME)
    event.remove(writer, "before_cursor_execute", note)
    return Tape(statements=tuple(statements), line=books.journal(limit=1)[0].id)


def sqlite_side(path: Path) -> Side:
    """Return SQLite and `sqlite3`."""
    series = (
        "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {lines}) "
        "SELECT n FROM s)"
    )
    return Side(name="sqlite", url=f"sqlite:///{path}", target=str(path), series=series)


def postgres_side(server: postgres.Server) -> Side:
    """Return Postgres and `psycopg`."""
    series = "(SELECT n FROM generate_series(1, {lines}) AS g(n)) AS s"
    return Side(
        name="postgres", url=server.create("bench"), target=server.dsn("bench"), series=series
    )


def fill(books: Books, series: str) -> None:
    """Charge a micro-dollar in each of many lines, spread over a month and a hundred projects."""
    first, base = to_us(NOW - timedelta(days=22)), books.journal(limit=1)[0].id
    project = "'team-' || (n % 20) || '/' || ((n / 20) % 5)"
    used = f"{first} + (n % 1000) * 2500000000"
    fields = (
        "id, at_us, kind, budget, run, leg, amount_micro_usd, price_version, tariff_window, "
        "used_from_us, used_to_us, actor, reason, key, part, ask, measured"
    )
    values = (
        f"{base} + n, {first}, 'charge', {project}, 'fill', 1, 1, '1', 'day', {used}, {used} + 1, "
        "'bench', 'a benchmark', 'fill-' || n, 0, '', true"
    )
    start = next(state for state in books.budgets(NOW) if state.name == "org").period.start
    cell = f"{to_us(start)}, 0, 1, 0"
    with books._writer.begin() as connection:  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        connection.execute(text(f"INSERT INTO journal ({fields}) SELECT {values} FROM {series}"))  # noqa: S608 - our own numbers
        for budget in ("'org'", "'team-' || (n % 20)", project):
            connection.execute(
                text(f"INSERT INTO posting SELECT {base} + n, {budget}, {cell} FROM {series}")  # noqa: S608 - our own numbers
            )
        connection.execute(text(_BALANCES))


_BALANCES = """
UPDATE balance SET charged_micro_usd = coalesce((
  SELECT sum(charged_micro_usd) FROM posting
  WHERE posting.budget = balance.budget AND posting.period_start_us = balance.period_start_us), 0)
WHERE EXISTS (SELECT 1 FROM posting WHERE posting.budget = balance.budget)
"""


def hold_rate(side: Side, way: str, *, runs: Sequence[str], processes: int, tape: Tape) -> float:
    """Return holds per second, from the moment at which every process is ready."""
    forks = multiprocessing.get_context("forkserver")  # which imports all of this once
    ready = forks.Barrier(processes + 1)
    shares = [list(runs[at::processes]) for at in range(processes)]
    workers = [
        forks.Process(target=through_ledger, args=(side.url, share, ready))
        if way == "ledger"
        else forks.Process(target=through_driver, args=(side.target, share, ready, tape))
        for share in shares
    ]
    for worker in workers:
        worker.start()
    ready.wait()
    elapsed_s = seconds(lambda: [worker.join() for worker in workers])
    assert all(worker.exitcode == 0 for worker in workers)
    return (len(runs) - processes) / elapsed_s


def through_ledger(url: str, runs: Sequence[str], ready: "Barrier") -> None:
    """Take holds through the ledger; the first one, unmeasured, opens the connection."""
    books = Books(url)
    take(books, runs[0], runs[0])
    ready.wait()
    for run in runs[1:]:
        take(books, run, run)
    books.close()


def through_driver(target: str, runs: Sequence[str], ready: "Barrier", tape: Tape) -> None:
    """Take holds through the bare driver; the first one, unmeasured, opens the connection."""
    with bare_cursor(target) as (cursor, begin):
        tape.replay(cursor, runs[0], begin=begin)
        ready.wait()
        for run in runs[1:]:
            tape.replay(cursor, run, begin=begin)


@contextmanager
def bare_cursor(target: str) -> Generator[tuple[Cursor, str]]:
    """Open a cursor of the bare driver, and say how a transaction begins."""
    if target.endswith(".db"):
        with closing(sqlite3.connect(target, timeout=120, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            yield connection.cursor(), "BEGIN IMMEDIATE"
    else:
        with psycopg.connect(target, autocommit=True) as connection:
            yield cast("Cursor", connection.cursor()), "BEGIN ISOLATION LEVEL READ COMMITTED"


if __name__ == "__main__":
    sys.exit(main())
