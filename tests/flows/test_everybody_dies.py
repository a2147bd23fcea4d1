"""Flow, worker and Prefect's server are killed: the training still ends by itself at its limit."""

import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import psutil
import pytest

from apps import stack as local_stack
from apps.books import prepare_ledger
from blocks.ledger import Books
from blocks.settings import Settings
from lowtide.ledger.records import RunState
from lowtide.legs import LegEnd

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.fixture
def doomed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A local stack of the test's own, for it to kill."""
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path))
    settings = Settings()
    prepare_ledger(settings, say=print).close()
    local_stack.up(settings, say=print)
    return settings


def lowtide(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "apps.cli.main", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.timeout(600)
def test_a_training_nobody_watches_ends_at_its_limit_and_is_charged_no_more_than_its_hold(
    doomed: Settings,
) -> None:
    # A hold for about half of the epochs: each takes about a second, a third of one is expected.
    words = [
        "--set",
        "epochs=80",
        "--set",
        "expected_epoch_s=0.3",
        "--set",
        "checkpoint.grace_s=5",
    ]
    flow = subprocess.Popen(
        [sys.executable, "-m", "apps.cli.main", "train", "--wait", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    books = Books(url=doomed.ledger_address)
    run = wait_for_a_started_leg(books)
    everybody = [*local_stack.running(doomed).values()]
    kill_processes_named(doomed, "apps.train_process")
    flow.send_signal(signal.SIGKILL)
    flow.wait()
    for part in everybody:
        kill_family(part.pid)

    supervisor_ends(doomed, run)
    found = lowtide("reconcile", "--json")

    assert found.returncode == 0, found.stderr
    # It may also say that the dead MLflow server could not be asked.
    [finding] = [each for each in json.loads(found.stdout)["found"] if each["run"] == run]
    assert "deadline" in finding["done"]
    row = books.run(run)
    assert row is not None
    assert row.state is RunState.OVER_LIMIT
    [leg] = books.legs(run)
    [hold] = books.holds(run)
    assert leg.end is LegEnd.DEADLINE
    assert leg.measured
    assert Decimal(0) < leg.charged_usd <= hold.amount_usd
    assert hold.overdraft_usd == 0
    assert hold.amount_usd == hold.charged_usd + hold.released_usd
    local_stack.down(doomed, say=print)
    books.close()


def wait_for_a_started_leg(books: Books) -> str:
    give_up = time.monotonic() + 90
    while time.monotonic() < give_up:
        for row in books.runs(unfinished=True):
            legs = books.legs(row.run)
            if legs and legs[0].started_at is not None:
                return row.run
        time.sleep(0.2)
    pytest.fail("the training never started")


def supervisor_ends(settings: Settings, run: str) -> None:
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        if not processes_with(f"{settings.home}", "blocks.local.supervisor", run):
            return
        time.sleep(0.5)
    pytest.fail("the training did not end by itself")


def processes_with(*words: str) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if process.pid != os.getpid() and all(word in line for word in words):
            found.append(process)
    return found


def kill_processes_named(settings: Settings, name: str) -> None:
    for process in processes_with(name, str(settings.home)):
        process.kill()
        process.wait()


def kill_family(pid: int) -> None:
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=10)
