"""Runs that lowtide did not submit: what their names tell, and what nobody told."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from lowtide.advice import AdviceKind
from lowtide.errors import BadInputError
from lowtide.progress import EpochPoint
from lowtide.recommend import Signals, TrackedRun, assumed_job, record_of_tracked
from lowtide.recommend.tracked import main_metric
from tests.lowtide.recommend.records import NOON, advice, flat_from, found, job, only

ID = "0123456789abcdef0123456789abcdef"
HOUR = timedelta(hours=1)


def tracked(
    *,
    params: Mapping[str, str] | None = None,
    metrics: tuple[str, ...] = ("loss", "val_accuracy"),
    status: str = "FINISHED",
    deleted: bool = False,
    hours: int | None = 10,
) -> TrackedRun:
    return TrackedRun(
        mlflow_run=ID,
        experiment="Cats & Dogs",
        status=status,
        deleted=deleted,
        started_at=NOON,
        ended_at=None if hours is None else NOON + hours * HOUR,
        params={"num_epochs": "10", "batch_size": "32"} if params is None else params,
        tags={},
        metrics=metrics,
    )


def points(epochs: int = 10, *, flat: int = 3) -> list[EpochPoint]:
    return [
        EpochPoint(epoch=epoch, value=value, at=NOON + epoch * HOUR)
        for epoch, value in enumerate(flat_from(flat, epochs), 1)
    ]


def test_what_people_call_it_is_read_and_the_rest_is_assumed() -> None:
    asked, assumed = assumed_job(tracked(), flavor="t4")

    assert (asked.name, asked.epochs, asked.batch_size) == ("cats-dogs", 10, 32)
    assert (asked.metric.name, asked.metric.goal) == ("val_accuracy", "maximize")
    assert assumed == {"resources", "priority", "command"}


def test_what_no_name_tells_is_assumed() -> None:
    params = {"num_epochs": "ten", "batch_size": "0"}

    _, assumed = assumed_job(tracked(params=params, metrics=("speed",)), flavor="t4")

    assert assumed == {"epochs", "batch_size", "metric", "resources", "priority", "command"}


@pytest.mark.parametrize(
    ("names", "main"),
    [
        (["accuracy", "val_loss", "val_accuracy"], ("val_accuracy", "maximize")),
        (["accuracy", "val_loss"], ("val_loss", "minimize")),
        (["train_f1", "loss"], ("train_f1", "maximize")),
        (["interval", "latest"], None),
        ([], None),
    ],
)
def test_the_main_metric_is_what_was_held_out_and_called_good(
    names: list[str], main: tuple[str, str] | None
) -> None:
    assert main_metric(names) == main


def test_a_run_of_somebody_else_is_advised_with_low_confidence_and_a_job_file_to_write() -> None:
    asked, assumed = assumed_job(tracked(), flavor="t4")
    record = record_of_tracked(
        tracked(), job=asked, assumed=assumed, points=points(), signals=Signals()
    )

    given = advice(record)

    early = only(given, AdviceKind.EARLY_STOPPING)
    assert early.confidence == "low"
    assert early.action.startswith("write a job file for it with early_stopping.patience=")
    assert given.run == ID
    assert "resources" in given.notes[0]


def test_a_run_whose_job_is_named_is_advised_like_one_of_ours() -> None:
    record = record_of_tracked(
        tracked(), job=job(name="cats-dogs"), points=points(), signals=Signals()
    )

    assert only(advice(record), AdviceKind.OFF_PEAK).confidence != "low"


def test_without_a_metric_what_rests_on_it_is_left_out() -> None:
    run = tracked(metrics=())
    asked, assumed = assumed_job(run, flavor="t4")
    record = record_of_tracked(run, job=asked, assumed=assumed, points=[], signals=Signals())

    given = advice(record)

    assert found(given, AdviceKind.EARLY_STOPPING) == []
    assert found(given, AdviceKind.OFF_PEAK) != []
    assert "no value of the job's metric was logged" in given.notes[0]


@pytest.mark.parametrize(
    ("status", "hours", "words"),
    [("RUNNING", None, "still running"), ("FAILED", 10, "failed"), ("FINISHED", None, "still")],
)
def test_a_run_that_has_not_ended_well_is_one_message(
    status: str, hours: int | None, words: str
) -> None:
    run = tracked(status=status, hours=hours)
    record = record_of_tracked(run, job=job(), points=points(), signals=Signals())

    with pytest.raises(BadInputError, match=f"run '{ID}': .*{words}"):
        advice(record)


def test_a_deleted_run_is_one_message() -> None:
    with pytest.raises(BadInputError, match=f"MLflow run '{ID}': it was deleted"):
        tracked(deleted=True).refuse_unusable(job=None)


def test_a_run_of_another_experiment_than_the_jobs_is_one_message() -> None:
    with pytest.raises(BadInputError, match=r"another experiment .*'digits'.* got Cats & Dogs"):
        tracked().refuse_unusable(job=job(name="digits"))
