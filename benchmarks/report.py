"""A month by team over a million journal lines, beside MLflow and pandas; and the exporter's scrape.

    python -m benchmarks.report [--lines N] [--runs N] [--mlflow-s S] [--sqlite-only]

The month has ten thousand runs of a hundred lines each. What is timed is `lowtide report --by team`
from the question to the shaped report, the counterfactual of every run included. The peer answers
the same question as people do without a ledger: it logs each run's cost to MLflow (SQLite store, no
server between), and reads the runs back with `search_runs` into pandas to sum them up; it gets a
minute to log as many runs as it manages. Exit code 1 when a line is missed.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from prometheus_client.openmetrics import exposition
from sqlalchemy import insert, text

from apps.metrics import Exporter, registry_of
from blocks.costs import cost_report
from blocks.ledger import Books
from blocks.ledger.convert import to_us
from blocks.ledger.schema import HOLD, LEG, RUN
from blocks.price_books import book_at
from lowtide.ledger.budgets import parse_budgets
from lowtide.report import CostReport, parse_ask
from tests.blocks.ledger import postgres

START = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
PRICES = book_at("specification")
REPORT_S_MAX = 1.0
SCRAPE_MS_MAX = 100.0
TEAMS = 20
_LINE_US = 300_000_000
_SPREAD_US = 216_000_000


def main() -> int:
    """Measure, print, and say whether every line is met."""
    parser = argparse.ArgumentParser(description="Measure reports.")
    parser.add_argument("--lines", type=int, default=1_000_000, help="journal lines")
    parser.add_argument("--runs", type=int, default=10_000, help="runs that they belong to")
    parser.add_argument("--mlflow-s", type=float, default=60, help="how long the peer may log")
    parser.add_argument("--sqlite-only", dest="postgres", action="store_false", help="no Postgres")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lowtide-bench-") as folder:
        met = measure("sqlite", f"sqlite:///{folder}/ledger.db", asked)
        peer(Path(folder), for_s=asked.mlflow_s)
    if not asked.postgres or postgres.binaries() is None:
        print(f"postgres    skipped: {postgres.MISSING}")
        return 0 if met else 1
    with postgres.running() as server:
        met &= measure("postgres", server.create("bench"), asked, dsn=server.dsn("bench"))
    return 0 if met else 1


def measure(name: str, url: str, asked: argparse.Namespace, *, dsn: str | None = None) -> bool:
    """Measure one database and print its lines."""
    books = Books(url)
    books.migrate()
    fill(books, lines=asked.lines, runs=asked.runs)
    if dsn is not None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")  # as its daemon would, some time after
    report_s, made = timed(lambda: month(books), times=5)
    assert made.totals.charged_usd == sum(books.spent(start=START, end=NOW).values())
    good = report_s < REPORT_S_MAX
    print(
        f"{name:<10}  {asked.lines:,} lines, {made.totals.runs:,} runs: the month by team "
        f"({len(made.groups)} of them) in {report_s:.2f} s   {verdict(good)}"
    )
    exporter = Exporter(books=books, prices=lambda: PRICES, clock=lambda: NOW)
    exporter.catch_up()
    registry = registry_of(exporter)
    generate: Any = getattr(exposition, "generate_latest")  # noqa: B009 - it has no types
    scrape_s, _ = timed(lambda: generate(registry), times=9)
    quick = 1000 * scrape_s < SCRAPE_MS_MAX
    print(
        f"{name:<10}  {asked.runs:,} runs: a scrape of the exporter in {1000 * scrape_s:.0f} ms   "
        f"{verdict(quick)}"
    )
    books.close()
    return good and quick


def month(books: Books) -> CostReport:
    """Make the report of the month by team."""
    ask = parse_ask("2026-11-01", "2026-11-30", now=NOW, by="team")
    return cost_report(books, ask, book=PRICES, now=NOW)


def peer(folder: Path, *, for_s: float) -> None:
    """Log runs to MLflow for a while, and time the same question to it."""
    import mlflow  # noqa: PLC0415 - takes seconds, and only this part needs it
    from mlflow.entities import Metric, RunTag  # noqa: PLC0415 - likewise

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    client: Any = mlflow.MlflowClient()
    experiment = client.create_experiment("bench")
    until, runs = time.perf_counter() + for_s, 0
    while time.perf_counter() < until:
        run = client.create_run(experiment)
        at = to_us(START) // 1000
        client.log_batch(
            run.info.run_id,
            metrics=[Metric("cost_usd", 0.01, at, 0)],
            tags=[RunTag("team", f"team-{runs % TEAMS}")],
        )
        runs += 1

    def by_team() -> object:
        found: Any = mlflow.search_runs([experiment], max_results=1_000_000)
        return found.groupby("tags.team")["metrics.cost_usd"].sum()

    took_s, _ = timed(by_team, times=3)
    print(
        f"mlflow      {runs:,} runs in {for_s:.0f} s of logging: search_runs and pandas, the month "
        f"by team in {took_s:.2f} s, which is {1e6 * took_s / runs:.0f} µs a run"
    )


def timed(act: Callable[[], Any], *, times: int) -> tuple[float, Any]:
    """Return the median of how long something takes, seconds, and what it last returned."""
    took: list[float] = []
    found: Any = None
    for _ in range(times):
        start = time.perf_counter()
        found = act()
        took.append(time.perf_counter() - start)
    return statistics.median(took), found


def verdict(good: bool) -> str:  # noqa: FBT001 - a word for a flag
    """Return the word for a line."""
    return "met" if good else "MISSED"


def fill(books: Books, *, lines: int, runs: int) -> None:
    """Fill the books with a month of runs, their legs and holds, and their journal."""
    entries: list[dict[str, Any]] = [{"name": "org", "limit_usd": 10**9}]
    entries += [
        {"name": f"team-{team}", "limit_usd": 10**8, "parent": "org"} for team in range(TEAMS)
    ]
    books.set_budgets(parse_budgets(entries), actor="bench", reason="bench", now=START)
    each = -(-lines // runs)
    with books._writer.begin() as connection:  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        for at in range(0, runs, 1000):
            some = range(at, min(at + 1000, runs))
            connection.execute(insert(RUN), [_run(number) for number in some])
            connection.execute(insert(HOLD), [_hold(number, each) for number in some])
            connection.execute(insert(LEG), [_leg(number, each) for number in some])
    base = books.journal(limit=1)[0].id
    series = _SERIES[books.address.get_backend_name()].format(last=lines - 1)
    run = f"'r-' || substr(CAST(100000000000 + n % {runs} AS TEXT), 1, 12)"
    used = f"{to_us(START)} + (n % {runs}) * {_SPREAD_US} + (n / {runs}) * {_LINE_US}"
    fields = (
        "id, at_us, kind, budget, run, leg, amount_micro_usd, price_version, tariff_window, "
        "used_from_us, used_to_us, actor, reason, key, part, ask, measured"
    )
    values_ = (
        f"{base + 1} + n, {used}, 'charge', 'team-' || (n % {runs} % {TEAMS}), {run}, 1, 20833, "
        f"'specification-1', CASE WHEN n % 3 = 0 THEN 'peak' ELSE 'off-peak' END, {used}, "
        f"{used} + {_LINE_US}, 'monitor', 'metered', 'fill-' || n, 0, '', true"
    )
    with books._writer.begin() as connection:  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        connection.execute(text(f"INSERT INTO journal ({fields}) SELECT {values_} FROM {series}"))  # noqa: S608 - our own numbers


_SERIES = {
    "postgresql": "(SELECT n FROM generate_series(0::bigint, {last}) AS g(n)) AS s",
    "sqlite": (
        "(WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {last}) "
        "SELECT n FROM s)"
    ),
}


def _name(number: int) -> str:
    return f"r-{100_000_000_000 + number}"


def _run(number: int) -> dict[str, Any]:
    created = to_us(START) + number * _SPREAD_US
    return {
        "run": _name(number),
        "key": _name(number),
        "job": {"resources": {"flavor": "t4", "gpus": 1, "cpus": 4, "memory_gib": 16}},
        "spec_hash": "",
        "name": f"job-{number % 50}",
        "budget": f"team-{number % TEAMS}",
        "priority": "normal",
        "flavor": "t4",
        "tags": {},
        "state": "completed",
        "message": "",
        "created_us": created,
        "changed_us": created,
        "fencing": 1,
    }


def _hold(number: int, lines: int) -> dict[str, Any]:
    total = 20_833 * lines
    return {
        "key": f"{_name(number)}/hold",
        "run": _name(number),
        "budget": f"team-{number % TEAMS}",
        "path": ["org", f"team-{number % TEAMS}"],
        "amount_micro_usd": total,
        "charged_micro_usd": total,
        "overdraft_micro_usd": 0,
        "released_micro_usd": 0,
        "expires_us": to_us(NOW),
        "price_version": "specification-1",
        "opened_us": to_us(START),
        "ended_us": to_us(NOW),
        "ending": "released",
    }


def _leg(number: int, lines: int) -> dict[str, Any]:
    started = to_us(START) + number * _SPREAD_US
    ended = started + lines * _LINE_US
    return {
        "run": _name(number),
        "leg": 1,
        "hold": f"{_name(number)}/hold",
        "fencing": 1,
        "place": "local",
        "flavor": "t4",
        "capacity": "on-demand",
        "price_version": "specification-1",
        "limit_s": 1e6,
        "start_by_us": started,
        "opened_us": started,
        "started_us": started,
        "ended_us": ended,
        "exit_code": 0,
        "ending": "completed",
        "reason": "",
        "measured": True,
        "settled_us": ended,
        "metered_until_us": ended,
        "charged_micro_usd": 20_833 * lines,
    }


if __name__ == "__main__":
    sys.exit(main())
