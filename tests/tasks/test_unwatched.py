"""What nobody watches is adopted, settled, ended or closed, and said in one line each."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import PrivateAttr
from typing_extensions import override

from blocks.ledger import Books
from blocks.prices import Prices
from blocks.scheduler import Scheduler
from blocks.world import World
from lowtide.ask import TrainAsk
from lowtide.identity import run_id
from lowtide.ledger.budgets import parse_budgets
from lowtide.ledger.records import RunState
from lowtide.legs import Capacity
from tasks.claim import Owned, claim
from tasks.close_budget import CloseAsk, close_budget
from tasks.plan import Plan
from tasks.submit import submit_job
from tasks.trial import hold
from tasks.unwatched import ReconcileAsk, settle_unwatched, stop_and_settle
from tests.blocks.local.rigs import NOON, HandClock, leg_spec
from tests.fakes.events import NotedEvents
from tests.fakes.runner import FakeRunner, Script
from tests.fakes.tracking import FakeTracking
from tests.flows.jobs import digits

KEY = "watched-by-nobody"
RUN = run_id(KEY)
BUDGETS = [
    {"name": "lab", "limit_usd": 10, "mode": "block"},
    {"name": "lab/vision", "limit_usd": 10, "mode": "block", "parent": "lab"},
    {"name": "other", "limit_usd": 10, "mode": "block"},
]


class NotedScheduler(Scheduler):
    """Starts nothing; remembers what was asked for, and says it is coming until it is lost."""

    _block_type_slug: ClassVar[str | None] = "noted-scheduler-of-reconcile"
    _coming: list[str] = PrivateAttr(default_factory=list[str])

    @override
    def schedule(self, ask: TrainAsk, *, at: datetime, key: str) -> str | None:
        self._coming.append(key)
        return key

    @override
    def is_coming(self, flow_run: str) -> bool:
        return flow_run in self._coming


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner(clock=HandClock()).scripted(Script(epoch_s=(60.0,)))


@pytest.fixture
def world(tmp_path: Path, runner: FakeRunner) -> Iterator[World]:
    books = Books(url=f"sqlite:///{tmp_path / 'ledger.db'}")
    books.migrate()
    books.set_budgets(parse_budgets(BUDGETS), actor="test", reason="test", now=NOON)
    yield World(
        ledger=books,
        tracking=FakeTracking.of(runner, curve=lambda _run, _epoch: 0.5),
        runner=runner,
        prices=Prices(),
        clock=runner.clock,
        scheduler=NotedScheduler(),
        events=NotedEvents(),
        checkpoints=tmp_path / "checkpoints",
        reports=tmp_path / "reports",
    )
    books.close()


def training(world: World, *, key: str = KEY, **changes: Any) -> Owned:
    """A run whose leg is running and whose flow is still alive."""
    job = digits(**{"budget": {"name": "lab/vision"}, "expected_epoch_s": 60, **changes})
    owned = claim(world, TrainAsk(job=job, key=key), fallback_key=key, flow_run="flow-1")
    assert isinstance(owned, Owned)
    assert hold(world, owned) is None
    plan = Plan(capacity=Capacity.ON_DEMAND, reason="now")
    assert submit_job.fn(world, owned, plan) is not None
    return owned


def left(world: World, **changes: Any) -> Owned:
    """The same, its flow gone."""
    owned = training(world, **changes)
    world.ledger.drop_lease(owned.lease, now=world.now())
    return owned


def done(world: World, ask: ReconcileAsk | None = None) -> list[str]:
    return [found.done for found in settle_unwatched(world, ask or ReconcileAsk())]


def state(world: World, run: str = RUN) -> RunState:
    row = world.ledger.run(run)
    assert row is not None
    return row.state


def test_a_run_whose_owner_lives_is_left_alone(world: World) -> None:
    training(world)

    assert done(world) == []


def test_a_run_that_still_trains_is_given_to_one_new_flow_run_however_often_it_is_found(
    world: World,
) -> None:
    left(world)

    first, second = done(world), done(world)

    flow_run = f"{RUN}:adopt:1"
    assert first == [f"still training; adopted: flow run {flow_run} goes on with it"]
    assert second == [f"still training; flow run {flow_run} was started for it"]


def test_without_leave_to_adopt_it_says_what_a_person_can_do(world: World) -> None:
    left(world)

    [line] = done(world, ReconcileAsk(adopt=False))

    assert line == "still training; `lowtide train` with its key goes on with it"


def test_a_run_that_has_ended_is_charged_by_its_measured_time_and_nothing_stays_held(
    world: World,
) -> None:
    left(world)
    world.clock.pause(1000)

    [line] = done(world)

    assert line == "completed; cause completed; charged 0.012500 USD"
    assert state(world) is RunState.COMPLETED
    assert world.ledger.hold_of(RUN) is None
    assert world.runner.legs() == ()
    assert done(world) == []


def test_a_leg_that_no_run_knows_is_ended_and_then_let_go(world: World, tmp_path: Path) -> None:
    world.runner.start(leg_spec("train", home=tmp_path, now=NOON), now=NOON)

    kept = done(world, ReconcileAsk(end_orphans=False))
    ended = done(world)
    world.clock.pause(30)
    forgotten = done(world)

    assert kept == ["no run of the ledger knows it: left running, as asked"]
    assert ended == ["no run of the ledger knows it: asked to end"]
    assert forgotten == ["ended and paid for; its runner let go of it"]
    assert world.runner.legs() == ()


def test_an_mlflow_run_that_was_left_open_is_closed_as_its_run_ended(world: World) -> None:
    left(world)
    world.clock.pause(1000)
    done(world)
    assert isinstance(world.tracking, FakeTracking)
    world.tracking._status[RUN] = "RUNNING"

    assert done(world) == ["its MLflow run was left open; it is FINISHED now"]
    assert world.tracking.statuses[RUN] == "FINISHED"


def test_a_hold_of_a_run_that_never_began_is_given_back_when_it_has_expired(
    world: World,
) -> None:
    job = digits(budget={"name": "lab"})
    owned = claim(world, TrainAsk(job=job, key=KEY), fallback_key=KEY, flow_run="flow-1")
    assert isinstance(owned, Owned)
    hold(world, owned)
    world.ledger.drop_lease(owned.lease, now=world.now())
    world.clock.pause(timedelta(days=1).total_seconds())

    lines = done(world, ReconcileAsk(adopt=False))

    assert any(line.startswith("hold expired") for line in lines)
    assert all(budget.held_usd == 0 for budget in world.ledger.budgets(world.now()))


def test_a_trial_whose_sweep_is_gone_is_not_adopted(world: World) -> None:
    left(world, tags={"lowtide.sweep": "s-1"})

    [line] = done(world)

    assert "`lowtide train`" in line
    assert world.ledger.events(RUN, kind="adopted") == ()


def test_a_cancelled_flow_run_ends_its_legs_at_a_checkpoint_and_settles_them(
    world: World,
) -> None:
    left(world)
    world.clock.pause(70)

    stop_and_settle(world, flow_run="flow-1")

    assert state(world) is RunState.STOPPED
    [leg] = world.ledger.legs(RUN)
    assert leg.exit_code == 143
    assert leg.settled_at is not None
    assert world.ledger.hold_of(RUN) is None


def test_a_spent_budgets_background_runs_are_asked_to_end_those_of_others_are_not(
    world: World,
) -> None:
    training(world, key="below", priority="background")
    training(world, key="normal")
    training(world, key="elsewhere", priority="background", budget={"name": "other"})

    asked = [close_budget.fn(world, CloseAsk(budget="lab")) for _ in range(2)]

    assert asked == [(run_id("below"),), (run_id("below"),)]
    world.clock.pause(40)
    phases = {
        key: world.runner.status(run_id(key), 1, now=world.now()).phase
        for key in ("below", "normal", "elsewhere")
    }
    assert phases == {"below": "ended", "normal": "running", "elsewhere": "running"}
