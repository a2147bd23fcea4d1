"""How long answers take: library calls with ten thousand runs in the ledger, and cold commands.

    python -m benchmarks.answers [--runs 10000]

The ledger is a SQLite file of its own, filled straight into its tables: 100 jobs, finished runs of
60 epochs with hold, leg and curve. `recommend` and `compare` are called as libraries, warm: the
median of five calls after one that does not count. MLflow is answered from memory, so what is
measured is ours: the ledger, the model, the pricing. Commands are whole processes, the median of
three after one that does not count, so files are in the system's cache and nothing else is.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from pydantic import PrivateAttr
from sqlalchemy import insert
from typing_extensions import override

from apps.books import prepare_ledger
from blocks.history import past_runs
from blocks.ledger import Books
from blocks.ledger.schema import EVENT, HOLD, LEG, RUN
from blocks.local.cluster import LocalCluster
from blocks.prices import Prices
from blocks.settings import Settings
from blocks.tracking import Tracking
from blocks.world import World
from lowtide.compare import Comparison, compare_configs
from lowtide.configs import parse_configs
from lowtide.events import EventKind
from lowtide.identity import run_id
from lowtide.job import TrainingJob
from lowtide.progress import EpochPoint
from tasks.advise import advise

WARM_S_MAX = 1.0
COLD_S_MAX = 1.5
JOBS = 100
EPOCHS = 60
EPOCH_S = 120.0
CONFIGS = 1_000
LLM = "examples/llm/job.yaml"
COMMANDS: dict[str, tuple[str, ...]] = {
    "check": ("check", "--budget", "5", "--job", LLM),
    "plan": ("plan", "examples/digits/job.yaml"),
    "report": ("report",),
    "budget": ("budget", "show"),
    "compare": ("compare", '[{"epochs": 2}, {"epochs": 2, "batch_size": 128}]', "--job", LLM),
}
START = datetime(2026, 10, 1, tzinfo=UTC)


class Remembered(Tracking):
    """An MLflow that answers at once: every run logged the same curve, from its own start."""

    _block_type_slug: ClassVar[str | None] = "remembered-tracking"
    _starts: dict[str, datetime] = PrivateAttr(default_factory=dict[str, datetime])

    @override
    def history(
        self, mlflow_runs: Sequence[str], *, metric: str
    ) -> dict[str, tuple[EpochPoint, ...]]:
        return {
            run: _points(self._starts[run]) if metric == "val_accuracy" else ()
            for run in mlflow_runs
        }

    def started(self, run: str, at: datetime) -> None:
        """Remember when a run started."""
        self._starts[run] = at


def _points(start: datetime) -> tuple[EpochPoint, ...]:
    return tuple(
        EpochPoint(epoch=n, value=value, at=start + n * timedelta(seconds=EPOCH_S))
        for n, value in enumerate(_curve(), 1)
    )


def _curve() -> list[float]:
    return [round(0.98 - 0.5 / epoch, 4) for epoch in range(1, EPOCHS + 1)]


def job(number: int) -> TrainingJob:
    """Return one of the jobs."""
    return TrainingJob.model_validate(
        {"name": f"job-{number}", "command": ["train"], "epochs": EPOCHS, "batch_size": 64}
    )


def fill(ledger: Books, tracking: Remembered, *, runs: int, price_version: str) -> None:
    """Write finished runs straight into the ledger's tables."""
    rng = random.Random(20_261_123)  # noqa: S311 - no secret
    jobs = [job(number) for number in range(JOBS)]
    rows: dict[str, list[dict[str, object]]] = {"run": [], "hold": [], "leg": [], "event": []}
    for number in range(runs):
        asked = jobs[number % JOBS]
        run = run_id(f"answers-{number}")
        start = START + timedelta(minutes=5 * number)
        tracking.started(run, start)
        for table, row in _rows(asked, run, start, rng=rng, price_version=price_version).items():
            rows[table].append(row)
    # The ledger's own writer is the only public way in; a benchmark needs ten thousand at once.
    with ledger._writer.begin() as connection:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        for table in (RUN, HOLD, LEG, EVENT):
            connection.execute(insert(table), rows[table.name])


def _rows(
    asked: TrainingJob, run: str, start: datetime, *, rng: random.Random, price_version: str
) -> dict[str, dict[str, object]]:
    begin = round(start.timestamp() * 1_000_000)
    end = begin + round(EPOCHS * EPOCH_S * 1_000_000)
    epoch_s = [EPOCH_S * rng.uniform(0.97, 1.03) for _ in range(EPOCHS)]
    work = {"epoch_s": epoch_s, "batch_size": asked.batch_size, "values": _curve()}
    return {
        "run": {
            "run": run,
            "key": f"answers/{run}",
            "job": asked.document(),
            "spec_hash": asked.spec_hash,
            "name": asked.name,
            "budget": "default",
            "priority": "normal",
            "flavor": "t4",
            "tags": {},
            "mlflow_run_id": run,
            "state": "completed",
            "message": "",
            "created_us": begin,
            "changed_us": end,
            "fencing": 1,
        },
        "hold": {
            "key": f"{run}/hold-1",
            "run": run,
            "budget": "default",
            "path": ["default"],
            "amount_micro_usd": 600_000,
            "charged_micro_usd": 500_000,
            "overdraft_micro_usd": 0,
            "released_micro_usd": 100_000,
            "expires_us": end,
            "price_version": price_version,
            "opened_us": begin,
            "ended_us": end,
            "ending": "release",
        },
        "leg": {
            "run": run,
            "leg": 1,
            "hold": f"{run}/hold-1",
            "fencing": 1,
            "place": "local",
            "flavor": "t4",
            "capacity": "on-demand",
            "price_version": price_version,
            "limit_s": 9_000.0,
            "start_by_us": begin,
            "opened_us": begin,
            "handle": run,
            "started_us": begin,
            "ended_us": end,
            "exit_code": 0,
            "ending": "completed",
            "reason": "",
            "measured": True,
            "settled_us": end,
            "charged_micro_usd": 500_000,
        },
        "event": {
            "run": run,
            "kind": EventKind.EPOCHS,
            "key": EventKind.EPOCHS,
            "at_us": end,
            "body": work,
        },
    }


def configs() -> str:
    """Return a thousand configurations, as a caller writes them."""
    return json.dumps(
        [
            {"epochs": 1 + n % 60, "batch_size": 2 ** (4 + n % 8), "capacity": capacity}
            for n in range(CONFIGS // 2)
            for capacity in ("on-demand", "spot")
        ]
    )


def median_s(call: Callable[[], object], *, times: int) -> float:
    """Return the median time of a call, seconds, after one that does not count."""
    call()
    taken: list[float] = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def warm(world: World, *, runs: int) -> dict[str, float]:
    """Return how long the library calls take, seconds."""
    asked, text = job(7), configs()
    newest = run_id(f"answers-{runs - JOBS + 7}")

    def compare() -> None:
        found = compare_configs(
            asked,
            parse_configs(text),
            book=world.prices.book(),
            now=START,
            history=past_runs(world.ledger, asked),
        )
        assert isinstance(found, Comparison)
        assert len(found.rows) == CONFIGS

    def recommend() -> None:
        assert advise(world, newest).recommendations

    return {
        "recommend, one run": median_s(recommend, times=5),
        f"compare, {CONFIGS} configurations": median_s(compare, times=5),
    }


def cold(home: Path) -> dict[str, float]:
    """Return how long whole commands take, seconds."""
    lowtide = Path(sys.executable).parent / "lowtide"
    environment = {**os.environ, "LOWTIDE_HOME": str(home)}

    def call(words: tuple[str, ...]) -> None:
        done = subprocess.run(
            [lowtide, *words, "--json"], env=environment, capture_output=True, check=False
        )
        if done.returncode not in {0, 3}:
            sys.exit(f"lowtide {words[0]} failed: {done.stderr.decode()}")

    return {
        f"lowtide {name}": median_s(lambda words=words: call(words), times=3)
        for name, words in COMMANDS.items()
    }


def main() -> int:
    """Print all figures; return 1 if a line is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="runs in the ledger")
    runs: int = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        ledger = prepare_ledger(settings, say=lambda _: None)
        tracking = Remembered(uri="http://127.0.0.1:9")
        prices = Prices(source=settings.prices)
        version = prices.book().sheet_at(START).version
        fill(ledger, tracking, runs=runs, price_version=version)
        world = World(
            ledger=ledger,
            tracking=tracking,
            runner=LocalCluster(home=settings.legs_folder),
            prices=prices,
            checkpoints=settings.checkpoints_folder,
            reports=settings.reports_folder,
        )
        figures = {name: (s, WARM_S_MAX) for name, s in warm(world, runs=runs).items()}
        ledger.close()
        figures |= {name: (s, COLD_S_MAX) for name, s in cold(settings.home).items()}
    missed = False
    print(f"{runs} runs in the ledger; load of the machine {os.getloadavg()[0]:.1f}")
    for name, (taken_s, most_s) in figures.items():
        is_met = taken_s < most_s
        missed |= not is_met
        print(f"{name:<32}{taken_s:8.3f} s  line {most_s:.1f} s  {'' if is_met else 'missed'}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
