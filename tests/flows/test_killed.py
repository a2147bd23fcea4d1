"""A flow that is killed at any line, and run again, goes on as if nothing had happened."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from blocks.world import World
from flows.train import train
from lowtide.ask import TrainAsk
from lowtide.identity import run_id
from lowtide.ledger.records import LineKind, RunState
from lowtide.legs import LegEnd
from tests.flows.jobs import digits

pytestmark = pytest.mark.stack

# Each of the seven tasks at least once.
PLACES = {
    "held": "in check_budget, after the money was held",
    "before-decision": "in plan_run, before the decision was written down",
    "before-start": "after the leg was written down, before its process was started",
    "after-start": "after its process was started, before that was written down",
    "mid-epoch": "in the middle of an epoch",
    "ended": "after the training ended, before that was written down",
    "settled": "after the charge, before the leg was forgotten",
    "before-recommendations": "in recommend, before they were written down",
    "before-report": "in report, after the page was drawn",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_flow_killed_with_sigkill_goes_on_when_it_is_run_again(
    place: str, world: World, tmp_path: Path
) -> None:
    key = f"killed-{place}-{tmp_path}"
    run = run_id(key)
    ask = TrainAsk(job=digits(epochs=4, params={"copies": 8, "hidden": 128}), key=key)
    asked = tmp_path / "ask.json"
    asked.write_text(ask.model_dump_json(), encoding="utf-8")

    killed = subprocess.run(
        [sys.executable, "-m", "tests.flows.mortal", place, str(tmp_path), str(asked)],
        check=False,
        capture_output=True,
        text=True,
    )
    state = train(ask, world, return_state=True)  # ty: ignore[no-matching-overload] - ty loses Prefect's parameters here

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert state.is_completed(), state.message
    row = world.ledger.run(run)
    assert row is not None
    assert row.state is RunState.COMPLETED
    assert row.fencing == 2
    [leg] = world.ledger.legs(run)
    assert leg.end is LegEnd.COMPLETED
    [hold] = world.ledger.holds(run)
    assert hold.amount_usd == hold.charged_usd + hold.released_usd
    lines = world.ledger.journal(run=run)
    assert len([line for line in lines if line.kind is LineKind.HOLD]) == 1
    assert row.mlflow_run_id is not None
    points = world.tracking.history([row.mlflow_run_id], metric="val_accuracy")
    assert [point.epoch for point in points[row.mlflow_run_id]] == [1, 2, 3, 4]
    started = [
        line for line in world.runner.logs(run, 1) if "epoch 1/" in line or "epoch 1 " in line
    ]
    assert len(started) <= 1
