"""Trainings on the real cluster: the job, and what must be true of the money afterwards."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from blocks.ledger import Books, LegRow
from blocks.price_books import book_at
from blocks.settings import Settings
from blocks.tracking import Tracking
from infra.testcluster.node import IMAGE
from lowtide.events import EventKind
from lowtide.job import parse_job
from lowtide.money import quantize_usd
from lowtide.prices import Demand, price
from tests.cluster.sandbox import wait_for

EPOCHS = 6
DIGITS: dict[str, Any] = {
    "name": "digits",
    "command": ["python", "-m", "examples.digits.train"],
    "epochs": EPOCHS,
    "where": "kubernetes",
    "image": IMAGE,
    "resources": {"gpus": 1, "cpus": 0.5, "memory_gib": 1},
    "params": {"copies": 20, "hidden": 256},
    "budget": {"name": "research/vision", "max_usd": 0.5},
    "expected_epoch_s": 60,
    "checkpoint": {"interval": 1, "grace_s": 10},
    "max_failures": 0,
}


def job_file(folder: Path, job: dict[str, Any]) -> str:
    """Write a job's file and return its path."""
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    return str(path)


def price_of(leg: LegRow, job: dict[str, Any]) -> Decimal:
    """What the journal must have charged: the price of the measured stretch, computed anew."""
    if leg.started_at is None:
        return Decimal(0)
    assert leg.ended_at is not None
    book = book_at("specification").pinned(leg.price_version)
    demand = Demand.of(parse_job(job), leg.capacity)
    return quantize_usd(price(book, demand, start=leg.started_at, end=leg.ended_at))


def assert_each_second_is_paid_once(books: Books, run: str, job: dict[str, Any]) -> None:
    """Every leg was measured and charged its price, and the hold is charges and release."""
    legs = books.legs(run)
    [hold] = books.holds(run)
    assert all(leg.measured for leg in legs)
    assert [leg.charged_usd for leg in legs] == [price_of(leg, job) for leg in legs]
    assert hold.charged_usd == sum(leg.charged_usd for leg in legs)
    assert hold.amount_usd == hold.charged_usd + hold.released_usd
    assert hold.overdraft_usd == 0


def epochs_of(mlflow_run: str, stack: Settings) -> list[int]:
    """The epochs that MLflow has of a run, in their order."""
    tracking = Tracking(uri=str(stack.tracking_address))
    points = tracking.history([mlflow_run], metric="val_accuracy")[mlflow_run]
    tracking.close()
    return [point.epoch for point in points]


def until_epochs(books: Books, run: str, count: int) -> None:
    """Wait until so many epochs of a run were seen; pods on a busy machine take their time."""
    wait_for(
        lambda: books.events(run, kind=EventKind.EPOCH),
        lambda seen: len(seen) >= count,
        within_s=400,
    )
