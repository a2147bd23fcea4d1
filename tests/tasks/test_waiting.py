"""A leg that waits, and a runner that does not answer: news that costs nothing."""

from pathlib import Path

import pytest

from blocks.ledger import Books, Lease
from blocks.prices import Prices
from blocks.tracking import Tracking
from blocks.world import World
from lowtide.job import TrainingJob
from lowtide.legs import LegEnd, LegSpec
from tasks.claim import Owned
from tasks.monitor import monitor_epochs
from tests.blocks.ledger.acts import HOUR, NOON, held, set_tree
from tests.blocks.local.rigs import HandClock
from tests.fakes.runner import FakeRunner, Script

RUN = "r-22be2a7c2553"
WAITS_S = 90
JOB = TrainingJob(name="digits", command=("train",), epochs=1)


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner(clock=HandClock()).scripted(Script(start_delay_s=600))


@pytest.fixture
def world(tmp_path: Path, runner: FakeRunner) -> World:
    books = Books(url=f"sqlite:///{tmp_path}/ledger.db")
    books.migrate()
    set_tree(books, {"name": "team", "limit_usd": 1, "period": "month", "zone": "UTC"})
    held(books, RUN, 1)
    return World(
        ledger=books,
        tracking=Tracking(uri="http://127.0.0.1:9"),
        runner=runner,
        prices=Prices(),
        clock=runner.clock,
        checkpoints=tmp_path,
        reports=tmp_path,
    )


@pytest.fixture
def owned(world: World, runner: FakeRunner) -> Owned:
    """A run whose only leg waits, and is withdrawn after a minute and a half."""
    lease = world.ledger.take_lease(RUN, owner="test", now=NOON)
    assert isinstance(lease, Lease)
    start_by = NOON + WAITS_S * HOUR / 3600
    world.ledger.open_leg(
        lease,
        leg=1,
        where="local",
        flavor="t4",
        capacity="on-demand",
        price_version="2026-11",
        limit_s=60,
        start_by=start_by,
        now=NOON,
    )
    spec = LegSpec(
        run=RUN,
        leg=1,
        command=("train",),
        env={},
        checkpoint_dir="/checkpoints",
        limit_s=60,
        start_by=start_by,
        grace_s=1,
    )
    runner.start(spec, now=NOON)
    return Owned(run=RUN, job=JOB, lease=lease)


def test_a_leg_that_waits_says_for_what_and_costs_nothing(world: World, owned: Owned) -> None:
    status = monitor_epochs.fn(world, owned, 1)

    row = world.ledger.run(RUN)
    assert row is not None
    assert status.end is LegEnd.WITHDRAWN
    assert row.message == "leg 1 has waited 0.0 s, unbilled: scripted to start later"
    [leg] = world.ledger.legs(RUN)
    assert (leg.started_at, leg.charged_usd) == (None, 0)


def test_a_runner_that_does_not_answer_is_asked_again_until_it_does(
    world: World, owned: Owned, runner: FakeRunner, caplog: pytest.LogCaptureFixture
) -> None:
    runner.failing(times=70)

    status = monitor_epochs.fn(world, owned, 1)

    assert status.end is LegEnd.WITHDRAWN
    assert sum("the leg goes on" in line for line in caplog.messages) == 1
    lease = world.ledger.run(RUN)
    assert lease is not None
    assert lease.live_owner(now=world.now()) == "test"
