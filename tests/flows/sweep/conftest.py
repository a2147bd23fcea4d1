"""A world of scripted trainings on a clock that is moved."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from blocks.ledger import Books
from blocks.prices import Prices
from blocks.world import World
from lowtide.ledger.budgets import parse_budgets
from tests.blocks.local.rigs import NOON
from tests.fakes.events import NotedEvents
from tests.fakes.runner import FakeRunner, Script
from tests.fakes.tracking import FakeTracking
from tests.flows.sweep.rig import StridingClock, quality


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner(clock=StridingClock()).scripted(Script(epoch_s=(60.0,)))


@pytest.fixture
def world(tmp_path: Path, runner: FakeRunner) -> Iterator[World]:
    books = Books(url=f"sqlite:///{tmp_path / 'ledger.db'}")
    books.migrate()
    tree = [{"name": "research/vision", "limit_usd": 100, "mode": "block"}]
    books.set_budgets(parse_budgets(tree), actor="test", reason="test", now=NOON)
    yield World(
        ledger=books,
        tracking=FakeTracking.of(runner, curve=quality),
        runner=runner,
        prices=Prices(),
        clock=runner.clock,
        events=NotedEvents(),
        checkpoints=tmp_path / "checkpoints",
        reports=tmp_path / "reports",
    )
    books.close()
