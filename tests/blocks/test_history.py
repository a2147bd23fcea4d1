"""Past runs teach a job's forecast only where they did the same work."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blocks.history import past_runs
from blocks.ledger import Books
from lowtide.events import EventKind
from lowtide.job import TrainingJob
from tests.blocks.ledger.acts import NOON, set_tree


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    opened = Books(f"sqlite:///{tmp_path}/ledger.db")
    opened.migrate()
    set_tree(opened, {"name": "team", "limit_usd": 10})
    yield opened
    opened.close()


def job(**changes: Any) -> TrainingJob:
    document = {"name": "cats", "command": ["train"], "epochs": 2, "params": {"copies": 25}}
    return TrainingJob.model_validate(document | changes)


def finished(books: Books, done: TrainingJob, *, epoch_s: float, key: str) -> None:
    books.open_run(
        run=key,
        key=key,
        job=done.document(),
        spec_hash=done.spec_hash,
        name=done.name,
        budget="team",
        priority="normal",
        flavor="t4",
        tags={},
        now=NOON,
    )
    body = {"epoch_s": [epoch_s] * done.epochs, "batch_size": done.batch_size, "values": [0.9] * 2}
    books.log(key, kind=EventKind.EPOCHS, key="epochs", body=body, now=NOON)


@pytest.mark.parametrize(
    "change",
    [
        {"params": {"copies": 1}},
        {"command": ["train", "--small"]},
        {"resources": {"flavor": "a100"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_run_with_other_work_counts_as_another_job(books: Books, change: dict[str, Any]) -> None:
    finished(books, job(**change), epoch_s=1.0, key="other")
    finished(books, job(epochs=4, batch_size=128), epoch_s=60.0, key="like")

    found = {run.same_job: run.mean_epoch_s for run in past_runs(books, job())}

    assert found == {True: 60.0, False: 1.0}
