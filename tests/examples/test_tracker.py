"""Training never waits for MLflow, and MLflow gets every epoch once and in order."""

import json
import time
from collections.abc import Iterator

import pytest

from examples.digits.contract import Tracker
from tests.examples.mlflow_server import MlflowServer, Mood

KEY = "val_accuracy"


@pytest.fixture
def mlflow() -> Iterator[MlflowServer]:
    server = MlflowServer()
    yield server
    server.leave()


def tracker(mlflow: MlflowServer, *, unsent: str = "[]") -> Tracker:
    return Tracker(
        mlflow.uri, run="m1", metric=KEY, unsent=unsent, request_s_max=0.2, retry_s=0.01
    )


def test_epochs_arrive_with_their_step_and_all_their_numbers(mlflow: MlflowServer) -> None:
    sender = tracker(mlflow)

    sender.log(1, {KEY: 0.5, "loss": 2.0})
    sender.log(2, {KEY: 0.75, "loss": 1.0})

    assert sender.flush(wait_s_max=5)
    assert mlflow.steps(KEY) == mlflow.steps("loss") == [1, 2]
    assert mlflow.values(KEY) == [0.5, 0.75]
    assert sender.unsent() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("mood", ["hangs", "fails", "babbles"])
def test_what_was_logged_while_mlflow_was_unwell_arrives_later_in_order(
    mlflow: MlflowServer, mood: Mood
) -> None:
    mlflow.mood = mood
    sender = tracker(mlflow)

    begun_s = time.monotonic()
    for epoch in range(1, 251):
        sender.log(epoch, {KEY: epoch / 250})
    logged_s = time.monotonic() - begun_s
    assert not sender.flush(wait_s_max=0.5)
    mlflow.mood = "answers"

    assert sender.flush(wait_s_max=10)
    assert mlflow.steps(KEY) == list(range(1, 251))
    assert logged_s < 0.1


@pytest.mark.slow
def test_what_was_logged_while_nobody_listened_arrives_later_in_order(
    mlflow: MlflowServer,
) -> None:
    sender = tracker(mlflow)
    sender.log(1, {KEY: 0.1})
    assert sender.flush(wait_s_max=5)

    mlflow.leave()
    sender.log(2, {KEY: 0.2})
    sender.log(3, {KEY: 0.3})
    assert not sender.flush(wait_s_max=0.2)
    mlflow.come()

    assert sender.flush(wait_s_max=5)
    assert mlflow.steps(KEY) == [1, 2, 3]


def test_an_epoch_whose_answer_was_lost_is_there_once(mlflow: MlflowServer) -> None:
    sender = tracker(mlflow)
    sender.log(1, {KEY: 0.1})
    assert sender.flush(wait_s_max=5)

    mlflow.mood = "loses the answer"
    sender.log(2, {KEY: 0.2})

    assert sender.flush(wait_s_max=5)
    assert mlflow.steps(KEY) == [1, 2]


def test_the_next_leg_sends_what_this_one_could_not_at_the_time_it_happened(
    mlflow: MlflowServer,
) -> None:
    mlflow.mood = "hangs"
    first = tracker(mlflow)
    first.log(1, {KEY: 0.1})
    unsent = first.unsent()
    logged_ms = json.loads(unsent)[0]["at_ms"]
    mlflow.leave()  # and with it all that the first leg still tries
    mlflow.mood = "answers"
    mlflow.come()

    second = tracker(mlflow, unsent=unsent)
    second.log(2, {KEY: 0.2})

    assert second.flush(wait_s_max=5)
    assert mlflow.points[0] == (KEY, 1, logged_ms, 0.1)
    assert mlflow.steps(KEY) == [1, 2]


def test_an_epoch_that_is_trained_again_is_not_logged_again(mlflow: MlflowServer) -> None:
    first = tracker(mlflow)
    first.log(1, {KEY: 0.1})
    first.log(2, {KEY: 0.2})
    assert first.flush(wait_s_max=5)

    again = tracker(mlflow)
    again.log(2, {KEY: 0.2})
    again.log(3, {KEY: 0.3})

    assert again.flush(wait_s_max=5)
    assert mlflow.steps(KEY) == [1, 2, 3]


def test_an_answer_that_no_repetition_mends_is_said_and_not_repeated(
    mlflow: MlflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    mlflow.mood = "refuses"
    sender = tracker(mlflow)
    sender.log(1, {KEY: 0.1})

    assert sender.flush(wait_s_max=5)
    assert mlflow.requests == 2  # what it has, and the epoch
    assert "MLflow refuses: 404 no such run" in capsys.readouterr().out


def test_without_mlflow_nothing_is_sent_and_nothing_waits() -> None:
    sender = Tracker(None, run=None, metric=KEY)

    sender.log(1, {KEY: 0.1})

    assert sender.flush(wait_s_max=0)
