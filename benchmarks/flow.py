"""What the train flow costs beside a bare flow, and how fast a sweep is: `python -m benchmarks.flow`.

    flow      wall time of `train` around a program that does nothing, beside a bare flow of seven
              tasks that makes the same artifacts and MLflow calls and starts the same process;
              line: at most 2.0 times
    report    drawing the report of that run, apart; line: under 2 s
    sweep     200 configurations of that program from the first start to the last settled charge;
              lines: at least 5 a second, memory growing by less than 150 MB

It starts a local stack of its own in a temporary folder, and ends it; with `--home FOLDER` it uses
the one that runs there. A missed line is printed as missed, and the exit code is 1.
"""

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_API_URL, temporary_settings

from apps import stack
from apps.books import prepare_ledger
from blocks.ledger import Lease
from blocks.settings import Settings
from blocks.tracking import Tracking
from blocks.world import World, open_world
from flows.sweep import sweep
from flows.train import train
from lowtide.ask import TrainAsk
from lowtide.contract import tracked_params
from lowtide.identity import run_id
from lowtide.job import parse_job
from lowtide.legs import LegSpec
from lowtide.sweep import SweepAsk
from tasks.claim import Owned
from tasks.report import report

FACTOR_MAX = 2.0
REPORT_S_MAX = 2.0
TRIALS_A_SECOND_MIN = 5.0
GROWTH_MB_MAX = 150.0
_POLL_S = 0.05
_ONCE = time.time_ns()
JOB = parse_job(
    {
        "name": "instant",
        "command": ["true"],
        "epochs": 1,
        "expected_epoch_s": 1,
        "checkpoint": {"grace_s": 1},
        "budget": {"name": "default"},
    }
)


def main() -> int:
    """Measure, print, and return 1 if a line was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="measured runs of each flow")
    parser.add_argument("--trials", type=int, default=200, help="configurations of the sweep")
    parser.add_argument("--at-once", type=int, default=8, help="trials at the same time")
    parser.add_argument("--home", type=Path, help="use the stack that runs here, and leave it up")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=asked.home or Path(folder))
        prepare_ledger(settings, say=print).close()
        parts = stack.up(settings, say=print)
        variables = stack.environment(settings, parts)
        try:
            with temporary_settings({PREFECT_API_URL: variables["PREFECT_API_URL"]}):
                world = open_world(settings)
                met = [flows(world, runs=asked.runs), trials(world, asked.trials, asked.at_once)]
                world.close()
        finally:
            if asked.home is None:
                stack.down(settings, say=print)
    return 0 if all(met) else 1


def flows(world: World, *, runs: int) -> bool:
    """Compare the train flow with the bare one, turn by turn so that both meet the same machine."""
    ours: list[float] = []
    bare: list[float] = []
    for number in range(runs + 1):
        key = f"bench-{_ONCE}-{number}"
        ask = TrainAsk(job=JOB, key=key)
        ours.append(seconds(partial(call, train, ask, world)))
        row = world.ledger.run(run_id(key))
        assert row is not None
        assert row.state.value == "completed"
        bare.append(seconds(partial(call, bare_flow, world, f"bare-{key}")))
    factor = statistics.median(ours[1:]) / statistics.median(bare[1:])
    print(
        f"flow: train {statistics.median(ours[1:]):.2f} s, bare {statistics.median(bare[1:]):.2f} s "
        f"(medians of {runs}, each process warm); {factor:.2f} times"
    )
    met = line("train beside the bare flow", f"{factor:.2f} times", met=factor <= FACTOR_MAX)
    return drawing(world, run_id(f"bench-{_ONCE}-{runs}")) and met


def drawing(world: World, run: str) -> bool:
    """Time the report of a run that has ended, apart: the task's own work, again."""
    row = world.ledger.run(run)
    assert row is not None
    lease = world.ledger.take_lease(run, owner="bench", now=world.now())
    assert isinstance(lease, Lease)
    owned = Owned(run=run, job=JOB, lease=lease)
    took_s = seconds(lambda: call_plain(report.fn, world, owned))
    return line("drawing the report", f"{took_s:.2f} s", met=took_s < REPORT_S_MAX)


def trials(world: World, number: int, at_once: int) -> bool:
    """Run a sweep of instant trials."""
    before_mb = memory_mb()
    ask = SweepAsk.model_validate(
        {
            "job": JOB,
            "configs": [{"params": {"n": n}} for n in range(number)],
            "max_usd": 10,
            "max_parallel": at_once,
            "key": f"sweep-{_ONCE}",
        }
    )
    took_s = seconds(lambda: call(sweep, ask, world))
    ended = [world.ledger.run(run_id(f"sweep-{_ONCE}/{n}")) for n in range(number)]
    assert all(row is not None and row.state.value == "completed" for row in ended)
    rate, growth_mb = number / took_s, memory_mb() - before_mb
    print(f"sweep: {number} trials, {at_once} at once, {took_s:.1f} s, {growth_mb:.0f} MB more")
    met = line("trials a second", f"{rate:.2f}", met=rate >= TRIALS_A_SECOND_MIN)
    return line("memory growth", f"{growth_mb:.0f} MB", met=growth_mb < GROWTH_MB_MAX) and met


@flow(name="bare", persist_result=False)
def bare_flow(world: World, run: str) -> None:
    """Seven tasks that make the artifacts, calls and process of `train`, and keep no books."""
    bare_step("check_budget")
    bare_plan(run)
    mlflow_run = bare_open(world.tracking, run)
    bare_run(world, run)
    bare_watch(world, run, mlflow_run)
    bare_end(world.tracking, mlflow_run)
    bare_report(world.tracking, run, mlflow_run)


@task(task_run_name="{name}", cache_policy=NO_CACHE)
def bare_step(name: str) -> None:
    """Do nothing, as a task."""


@task(cache_policy=NO_CACHE)
def bare_plan(run: str) -> None:
    """Make the plan's artifact."""
    create_markdown_artifact(key=f"{run}-plan", markdown="# Plan", description="Plan")


@task(cache_policy=NO_CACHE)
def bare_open(tracking: Tracking, run: str) -> str:
    """Make the MLflow run."""
    return tracking.open_run(
        run, experiment=JOB.name, params=tracked_params(JOB), tags={}, now=datetime.now(UTC)
    )


@task(cache_policy=NO_CACHE)
def bare_run(world: World, run: str) -> None:
    """Start the process, by the same runner: supervisor, limit and all."""
    now = datetime.now(UTC)
    world.runner.start(spec(world, run, now=now), now=now)


@task(cache_policy=NO_CACHE)
def bare_watch(world: World, run: str, mlflow_run: str) -> None:
    """Wait for the process's end, asking MLflow for its epochs as often as `train` does."""
    bar: Any = create_progress_artifact(progress=0, key=f"{run}-progress", description=run)
    while world.runner.status(run, 1, now=datetime.now(UTC)).phase != "ended":
        time.sleep(_POLL_S)
    world.tracking.history([mlflow_run], metric=JOB.metric.name)
    update_progress_artifact(bar, progress=100, description=run)
    create_table_artifact(key=f"{run}-forecast", table=[{"left": "0 s"}], description="forecast")


@task(cache_policy=NO_CACHE)
def bare_end(tracking: Tracking, mlflow_run: str) -> None:
    """End the MLflow run."""
    tracking.history([mlflow_run], metric=JOB.metric.name)
    tracking.end_run(mlflow_run, status="FINISHED", now=datetime.now(UTC))


@task(cache_policy=NO_CACHE)
def bare_report(tracking: Tracking, run: str, mlflow_run: str) -> None:
    """Upload a page and show a text."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / f"{run}.html"
        page.write_text("<p>report</p>", encoding="utf-8")
        tracking.log_artifact(mlflow_run, page)
    create_markdown_artifact(key=f"{run}-report", markdown="# Report", description="Report")


def spec(world: World, run: str, *, now: datetime) -> LegSpec:
    """Return the same leg as `train` starts."""
    return LegSpec(
        run=run,
        leg=1,
        command=JOB.command,
        env={},
        checkpoint_dir=str(world.checkpoints / run),
        limit_s=60,
        start_by=now + timedelta(minutes=1),
        grace_s=1,
    )


def call(called: Any, *arguments: Any) -> None:  # noqa: ANN401 - any flow, and what it takes
    """Call a flow for its effects; its state is read from the books."""
    called(*arguments, return_state=True)


def call_plain(called: Any, *arguments: Any) -> None:  # noqa: ANN401 - any function
    """Call a function for its effects."""
    called(*arguments)


def seconds(work: Callable[[], None]) -> float:
    """Return how long something takes, seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def memory_mb() -> float:
    """Return the most memory that this process has had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def line(what: str, got: str, *, met: bool) -> bool:
    """Print one line's verdict, and return it."""
    print(f"  {'met   ' if met else 'MISSED'} {what}: {got}")
    return met


if __name__ == "__main__":
    sys.exit(main())
