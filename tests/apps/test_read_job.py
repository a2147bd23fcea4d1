"""A run's id stands for the job that it was a run of, as it was then."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from apps.books import open_ledger
from apps.files import read_job
from blocks.settings import Settings
from lowtide.errors import BadInputError
from lowtide.job import EarlyStopping, parse_job

RUN = "r-0123456789ab"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    there = Settings(home=tmp_path, ledger_url=None)
    yield there
    open_ledger(there).close()


def test_the_job_of_a_run_is_read_with_changes_on_top(settings: Settings) -> None:
    asked = parse_job({"name": "digits", "command": ["train"], "epochs": 60})
    open_ledger(settings).open_run(
        run=RUN,
        key="k",
        job=asked.document(),
        spec_hash=asked.spec_hash,
        name=asked.name,
        budget="default",
        priority="normal",
        flavor="t4",
        tags={},
        now=NOW,
    )
    changes = ["early_stopping.patience=12", "early_stopping.min_delta=0.001"]

    again = read_job(RUN, changes=changes, settings=settings)

    assert read_job(RUN, settings=settings) == asked
    assert again.epochs == 60
    assert again.early_stopping == EarlyStopping(patience=12, min_delta=0.001)


def test_a_run_that_is_not_there_is_one_message(settings: Settings) -> None:
    with pytest.raises(BadInputError, match=f"there is no such run .*{RUN}"):
        read_job(RUN, settings=settings)
