"""A run has one MLflow run, also where its flow died between making it and writing it down."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import PrivateAttr
from typing_extensions import override

from blocks.ledger import Books, Lease
from blocks.prices import Prices
from blocks.tracking import Tracking
from blocks.world import World
from tasks.claim import Owned
from tasks.submit import tracked
from tests.blocks.ledger.acts import NOON, open_run
from tests.blocks.local.rigs import HandClock
from tests.fakes.runner import FakeRunner
from tests.flows.jobs import digits

RUN = "r-0123456789ab"


class Mortal(Tracking):
    """Makes a run whenever it is not told to look for one, and dies once after having made it."""

    _block_type_slug: ClassVar[str | None] = "mortal-tracking"
    _made: list[str] = PrivateAttr(default_factory=list[str])

    @override
    def open_run(self, run: str, *, is_new: bool = False, **others: Any) -> str:
        if not is_new and self._made:
            return self._made[0]
        self._made.append(f"m-{len(self._made) + 1}")
        if len(self._made) == 1:
            raise KeyboardInterrupt
        return self._made[-1]


def test_a_flow_that_died_after_making_an_mlflow_run_finds_that_one(tmp_path: Path) -> None:
    clock = HandClock()
    books = Books(url=f"sqlite:///{tmp_path / 'ledger.db'}")
    books.migrate()
    open_run(books, RUN)
    lease = books.take_lease(RUN, owner="test", now=NOON)
    assert isinstance(lease, Lease)
    owned = Owned(run=RUN, job=digits(), lease=lease)
    tracking = Mortal(uri="http://127.0.0.1:9")
    world = World(
        ledger=books,
        tracking=tracking,
        runner=FakeRunner(clock=clock),
        prices=Prices(),
        clock=clock,
        checkpoints=tmp_path / "checkpoints",
        reports=tmp_path / "reports",
    )
    with pytest.raises(KeyboardInterrupt):
        tracked(world, owned)

    again = tracked(world, owned)

    row = books.run(RUN)
    books.close()
    assert tracking._made == [again]
    assert row is not None
    assert row.mlflow_run_id == again
