"""The tracking block against a real MLflow server, and against one that is not there."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import isnan
from pathlib import Path

import httpx
import pytest

from blocks.settings import Settings
from blocks.tracking import Tracking
from lowtide.errors import LowtideError, UnavailableError

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def tracking(stack: Settings) -> Iterator[Tracking]:
    assert stack.tracking_address is not None
    opened = Tracking(uri=stack.tracking_address)
    yield opened
    opened.close()


def open_run(tracking: Tracking, name: str) -> str:
    return tracking.open_run(
        name, experiment="tracking", params={"epochs": 3}, tags={"team": "x"}, now=NOW
    )


def log(tracking: Tracking, run: str, *, step: int, value: float | str, at: datetime) -> None:
    metric = {
        "key": "val_accuracy",
        "value": value,
        "timestamp": int(at.timestamp() * 1000),
        "step": step,
    }
    url = f"{tracking.uri}/api/2.0/mlflow/runs/log-batch"
    httpx.post(url, json={"run_id": run, "metrics": [metric]}).raise_for_status()


@pytest.mark.stack
def test_asking_again_for_a_run_returns_the_one_there_is(
    tracking: Tracking, tmp_path: Path
) -> None:
    name = f"r-{tmp_path.name}"

    assert open_run(tracking, name) == open_run(tracking, name)


@pytest.mark.stack
def test_many_runs_are_read_in_one_question_each_in_the_order_of_time(
    tracking: Tracking, tmp_path: Path
) -> None:
    first = open_run(tracking, f"r-first-{tmp_path.name}")
    second = open_run(tracking, f"r-second-{tmp_path.name}")
    log(tracking, first, step=2, value=0.7, at=NOW + timedelta(seconds=2))
    log(tracking, first, step=1, value="NaN", at=NOW + timedelta(seconds=1))

    points = tracking.history([first, second], metric="val_accuracy")

    assert [point.epoch for point in points[first]] == [1, 2]
    assert isnan(points[first][0].value)
    assert points[first][1].at == NOW + timedelta(seconds=2)
    assert points[second] == ()


@pytest.mark.stack
def test_more_runs_than_mlflow_takes_in_one_question_are_asked_for_in_several(
    tracking: Tracking, tmp_path: Path
) -> None:
    runs = [open_run(tracking, f"r-{number}-{tmp_path.name}") for number in range(101)]

    points = tracking.history(runs, metric="val_accuracy")

    assert list(points) == runs


@pytest.mark.stack
def test_a_file_becomes_an_artifact_and_the_run_can_be_looked_at(
    tracking: Tracking, tmp_path: Path
) -> None:
    run = open_run(tracking, f"r-{tmp_path.name}")
    report = tmp_path / "report.html"
    report.write_text("<p>all went well", encoding="utf-8")

    tracking.log_artifact(run, report)
    tracking.set_tags(run, {"lowtide.forecast": "1"})
    tracking.end_run(run, status="FINISHED", now=NOW + timedelta(minutes=1))

    listed = httpx.get(
        f"{tracking.uri}/api/2.0/mlflow/artifacts/list", params={"run_id": run}
    ).json()
    assert [file["path"] for file in listed["files"]] == ["report.html"]
    assert run in tracking.run_url(run)


@pytest.mark.stack
def test_a_run_that_lost_the_race_is_deleted(tracking: Tracking, tmp_path: Path) -> None:
    name = f"r-{tmp_path.name}"
    lost = open_run(tracking, name)

    tracking.delete_run(lost)

    assert open_run(tracking, name) != lost


@pytest.mark.stack
def test_what_mlflow_refuses_is_told_in_its_words(tracking: Tracking) -> None:
    with pytest.raises(LowtideError, match="Run with id=nobody not found"):
        tracking.delete_run("nobody")


def test_a_server_that_is_not_there_is_unavailable_and_not_wrong() -> None:
    nobody = Tracking(uri="http://127.0.0.1:9", timeout_s=1)

    with pytest.raises(UnavailableError, match="MLflow does not answer"):
        nobody.history(["a"], metric="val_accuracy")

    assert not nobody.answers()
    nobody.close()
