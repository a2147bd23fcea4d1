"""`lowtide train` on a real cluster: in real pods, through Kueue, tracked in a real MLflow, paid to the second."""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from apps.cli.main import run
from blocks.ledger import Books
from blocks.settings import Settings
from lowtide.identity import run_id
from lowtide.ledger.records import RunState
from lowtide.legs import LegEnd
from lowtide.manifest import FINALIZER
from lowtide.objects import part, time_of
from tests.cluster.sandbox import FOR_EVER, Sandbox, wait_for
from tests.cluster.test_legs import evict
from tests.cluster.trained import (
    DIGITS,
    EPOCHS,
    assert_each_second_is_paid_once,
    epochs_of,
    job_file,
    until_epochs,
)

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.usefixtures("pods", "kueue"),
]

SHELL: dict[str, Any] = {
    **DIGITS,
    "name": "for-ever",
    "command": ["sh", "-c", FOR_EVER],
    "epochs": 1,
    "params": {},
    "expected_epoch_s": 80,  # what the hold pays for is about half as much again: two minutes
    "checkpoint": {"grace_s": 2},
    "resources": {"gpus": 1, "cpus": 0.05, "memory_gib": 0.0625},
}


@pytest.mark.timeout(540)
def test_digits_are_trained_in_pods_through_an_eviction_and_every_second_is_paid_once(
    queued: Sandbox,
    books: Books,
    stack: Settings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = f"pods-{secrets.token_hex(4)}"
    name = run_id(key)

    def evict_it() -> None:
        until_epochs(books, name, 2)
        evict(queued, name)

    evictor = threading.Thread(target=evict_it)
    evictor.start()
    code = run(["train", job_file(tmp_path, DIGITS), "--wait", "--key", key, "--json"])
    evictor.join()
    printed = capsys.readouterr()
    found = json.loads(printed.out)

    assert code == 0, printed.err
    assert [leg["cause"] for leg in found["legs"]] == ["preempted", "completed"]
    assert "unbilled" in printed.err  # it said for what it waited
    assert [leg.end for leg in books.legs(name)] == [LegEnd.PREEMPTED, LegEnd.COMPLETED]
    assert_each_second_is_paid_once(books, name, DIGITS)
    assert Path(found["report_path"]).exists()
    assert epochs_of(found["mlflow_run_id"], stack) == list(range(1, EPOCHS + 1))

    assert run(["jobs", "show", name, "--logs", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert any(f"epoch {EPOCHS}" in line for line in shown["logs"]), shown["logs"]
    assert all(leg["queued_s"] >= 0 for leg in shown["legs"])
    pods = queued.kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.finalizers}")
    assert FINALIZER not in pods.stdout


@pytest.mark.timeout(600)
def test_with_all_of_ours_dead_for_two_minutes_the_cluster_ends_a_job_and_reconcile_settles_it(
    queued: Sandbox, books: Books, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = f"dead-{secrets.token_hex(4)}"
    name = run_id(key)
    words = ["train", job_file(tmp_path, SHELL), "--wait", "--key", key]
    flow = subprocess.Popen(
        [sys.executable, "-m", "apps.cli.main", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(lambda: books.legs(name), lambda legs: bool(legs and legs[0].started_at is not None))
    kill_all_that_name(name, flow)
    wait_until_the_cluster_ended_it(queued, dead_s=120)

    def states() -> list[Any]:
        pods = queued.api.get(f"/api/v1/namespaces/{queued.namespace}/pods")["items"]
        found = [status for pod in pods for status in part(pod, "status")["containerStatuses"]]
        return [status["state"] for status in found]

    [state] = wait_for(states, lambda found: all("terminated" in one for one in found))
    ran = state["terminated"]
    capsys.readouterr()
    code = run(["reconcile", "--json"])
    finding = next(
        one for one in json.loads(capsys.readouterr().out)["found"] if one["run"] == name
    )

    assert code == 0
    assert "cause deadline" in finding["done"]
    row = books.run(name)
    assert row is not None
    assert row.state is RunState.OVER_LIMIT
    [leg] = books.legs(name)
    [hold] = books.holds(name)
    assert (leg.started_at, leg.ended_at) == (
        time_of(ran["startedAt"]),
        time_of(ran["finishedAt"]),
    )
    assert 0 < leg.charged_usd <= hold.amount_usd
    assert_each_second_is_paid_once(books, name, SHELL)
    queued.bed.kubectl("delete", "namespace", queued.namespace, "--wait=false")
    wait_for(
        lambda: queued.bed.kubectl("get", "namespace", queued.namespace).returncode,
        lambda code: code != 0,
    )


def wait_until_the_cluster_ended_it(queued: Sandbox, *, dead_s: float) -> None:
    """Wait for the Job's end, and so long at least; only the API server is asked, by the test."""
    began = time.monotonic()
    path = f"/apis/batch/v1/namespaces/{queued.namespace}/jobs"
    wait_for(
        lambda: (time.monotonic() - began, str(queued.api.get(path)["items"])),
        lambda seen: seen[0] >= dead_s and "DeadlineExceeded" in seen[1],
        within_s=300,
    )


def kill_all_that_name(run: str, flow: "subprocess.Popen[bytes]") -> None:
    """Kill the command and the flow that it started, as a machine that dies would."""
    os.killpg(flow.pid, signal.SIGKILL)
    flow.wait()
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if "apps.train_process" in line and run in line:
            process.kill()
            process.wait()
