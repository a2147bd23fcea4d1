"""A run whose job asks for it ends once its metric is good enough; others train to their end."""

from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from blocks.tracking import Tracking
from blocks.world import World
from flows.train import train
from lowtide.ask import TrainAsk
from lowtide.events import EventKind
from lowtide.identity import run_id
from lowtide.job import TrainingJob
from lowtide.ledger.records import RunState
from lowtide.legs import LegEnd
from tests.flows.jobs import digits

pytestmark = pytest.mark.stack


def run(world: World, job: TrainingJob, key: str) -> State[Any]:
    ask = TrainAsk(job=job, key=key)
    return train(ask, world, return_state=True)  # ty: ignore[no-matching-overload] - ty loses Prefect's parameters here


def test_a_run_that_is_good_enough_ends_at_a_checkpoint_and_says_what_it_saved(
    world: World, tmp_path: Path
) -> None:
    """No gain of 2 is possible, so a patience of two is used up after the third epoch."""
    key = f"enough-{tmp_path}"
    asked = digits(
        epochs=400, early_stopping={"patience": 2, "min_delta": 2.0}, expected_epoch_s=1
    )

    state = run(world, asked, key)

    name = run_id(key)
    assert state.is_completed(), state.message
    assert state.name == "CompletedEarly"
    row = world.ledger.run(name)
    assert row is not None
    assert row.state is RunState.COMPLETED_EARLY
    assert "an estimate" in row.message
    [leg] = world.ledger.legs(name)
    assert leg.end is LegEnd.STOPPED
    [noted] = world.ledger.events(name, kind=EventKind.ENOUGH)
    assert 3 <= noted.body["epoch"] < 400
    assert float(noted.body["saving_usd"]["p50"]) > 0
    assert list((world.checkpoints / name).glob("checkpoint-*.npz"))
    [lesson] = world.ledger.events(name, kind=EventKind.EPOCHS)
    assert len(lesson.body["values"]) >= 3
    assert isinstance(world.tracking, Tracking)
    assert row.mlflow_run_id is not None
    info = world.tracking._get("runs/get", {"run_id": row.mlflow_run_id})["run"]["info"]
    assert info["status"] == "FINISHED"
    [hold] = world.ledger.holds(name)
    assert hold.amount_usd == hold.charged_usd + hold.released_usd
