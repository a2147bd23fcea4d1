"""The recommend flow on a real MLflow, for runs that lowtide did not submit."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.schemas.objects import State

from apps.cli.main import run as lowtide
from blocks.tracking import Tracking
from blocks.world import World
from flows.recommend import RecommendAsk, recommend
from tests.lowtide.recommend.records import flat_from

pytestmark = pytest.mark.stack

# A Tuesday's noon, a week ago at least: by day, on demand, and ended.
NOON = datetime(2026, 11, 17, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=10)


class Theirs:
    """Somebody else's runs, logged over MLflow's own API."""

    def __init__(self, tracking: Tracking, experiment: str) -> None:
        self.api = f"{tracking.uri}/api/2.0/mlflow"
        self.experiment = self.post("experiments/create", name=experiment)["experiment_id"]

    def post(self, call: str, **body: Any) -> dict[str, Any]:
        answer = httpx.post(f"{self.api}/{call}", json=body, timeout=30).raise_for_status()
        document: dict[str, Any] = answer.json()
        return document

    def run(self, values: Sequence[float], *, status: str = "FINISHED") -> str:
        """Log a run of ten minutes an epoch."""
        made = self.post("runs/create", experiment_id=self.experiment, start_time=ms(NOON))
        mlflow_run: str = made["run"]["info"]["run_id"]
        metrics = [
            {
                "key": "val_accuracy",
                "value": value,
                "step": epoch,
                "timestamp": ms(NOON + epoch * MINUTE),
            }
            for epoch, value in enumerate(values, 1)
        ]
        params = [{"key": "num_epochs", "value": str(len(values))}]
        self.post("runs/log-batch", run_id=mlflow_run, metrics=metrics, params=params)
        if status != "RUNNING":
            end = ms(NOON + len(values) * MINUTE)
            self.post("runs/update", run_id=mlflow_run, status=status, end_time=end)
        return mlflow_run


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


@pytest.fixture
def theirs(world: World, tmp_path: Path) -> Theirs:
    assert isinstance(world.tracking, Tracking)
    return Theirs(world.tracking, f"theirs-{tmp_path}")


def advise(world: World, mlflow_run: str) -> State[Any]:
    return recommend(RecommendAsk(run=mlflow_run), world, return_state=True)  # ty: ignore[no-matching-overload] - ty loses Prefect's parameters here


def test_a_run_that_lowtide_never_saw_is_advised(world: World, theirs: Theirs) -> None:
    mlflow_run = theirs.run(flat_from(10, 60))

    state = advise(world, mlflow_run)

    assert state.is_completed(), state.message
    document = state.result()
    assert document["run"] == mlflow_run
    kinds = {item["kind"] for item in document["recommendations"]}
    assert {"early-stopping", "off-peak", "spot"} <= kinds
    assert {item["confidence"] for item in document["recommendations"]} == {"low"}


def test_a_run_that_cannot_teach_ends_the_flow_with_the_sentence_that_says_why(
    world: World, theirs: Theirs
) -> None:
    deleted = theirs.run([0.5, 0.6])
    theirs.post("runs/delete", run_id=deleted)
    asked = {
        deleted: "it was deleted",
        theirs.run([0.5], status="RUNNING"): "still running",
        theirs.run([0.5], status="FAILED"): "failed",
        "0" * 32: "there is no run",
    }

    for mlflow_run, words in asked.items():
        state = advise(world, mlflow_run)
        assert state.is_failed()
        assert words in str(state.message)


def test_the_command_line_answers_for_such_runs_and_refuses_with_exit_code_2(
    theirs: Theirs, capsys: pytest.CaptureFixture[str]
) -> None:
    mlflow_run = theirs.run(flat_from(10, 60))
    capsys.readouterr()

    assert lowtide(["recommend", mlflow_run, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == "lowtide.recommend/1"
    assert answer["recommendations"] != []

    assert lowtide(["recommend", mlflow_run, "--job", "digits"]) == 2
    assert re.match(r"lowtide: .*another experiment", capsys.readouterr().err)
    assert lowtide(["recommend", "0" * 32]) == 2
    assert capsys.readouterr().err.count("\n") == 1
