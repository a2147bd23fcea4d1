"""A run that waits for a cheaper window: no process waits, its money stays held."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from pydantic import PrivateAttr
from typing_extensions import override

from blocks.ledger import Books
from blocks.scheduler import Scheduler
from blocks.settings import Settings
from blocks.world import World
from flows.train import train
from lowtide.announcements import EventName
from lowtide.ask import TrainAsk
from lowtide.identity import run_id
from lowtide.job import TrainingJob
from lowtide.ledger.budgets import parse_budgets
from lowtide.ledger.records import RunState
from tasks.stop import ask_stop
from tasks.unwatched import settle_unwatched
from tests.blocks.ledger import acts
from tests.blocks.local.rigs import HandClock
from tests.fakes.events import NotedEvents
from tests.fakes.runner import FakeRunner, Script
from tests.flows.conftest import BUDGETS, world_in
from tests.flows.jobs import digits

pytestmark = pytest.mark.stack

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
OFF_PEAK = datetime(2026, 11, 23, 22, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
# A job of `short_of` has to hold 0.0028 USD, which is half a minute's price, and half of it off-peak.
SMALL_BUDGETS = [
    {"name": "lab", "limit_usd": 0.002, "period": "month", "mode": "block"},
    {"name": "day", "limit_usd": 0.01, "period": "day", "mode": "block"},
    {"name": "tiny", "limit_usd": 0.001, "period": "day", "mode": "block"},
]


class NotedScheduler(Scheduler):
    """Schedules nothing; remembers what was asked, and can lose it."""

    _block_type_slug: ClassVar[str | None] = "noted-scheduler"
    _asked: dict[str, datetime] = PrivateAttr(default_factory=dict[str, datetime])

    @override
    def schedule(self, ask: TrainAsk, *, at: datetime, key: str) -> str | None:
        self._asked.setdefault(key, at)
        return key

    @override
    def is_coming(self, flow_run: str) -> bool:
        return flow_run in self._asked

    def lose(self) -> None:
        self._asked.clear()


class NoDeployment(NotedScheduler):
    """A Prefect without the train deployment."""

    _block_type_slug: ClassVar[str | None] = "no-deployment"

    @override
    def schedule(self, ask: TrainAsk, *, at: datetime, key: str) -> str | None:
        return None


@pytest.fixture
def clock() -> HandClock:
    made = HandClock()
    made._time = NOON
    return made


@pytest.fixture
def world(tmp_path: Path, stack: Settings, clock: HandClock) -> Iterator[World]:
    real = world_in(tmp_path, stack)
    tree = parse_budgets([*BUDGETS, *SMALL_BUDGETS], source="test")
    real.ledger.set_budgets(tree, actor="test", reason="test", now=NOON)
    parts = {
        "clock": clock,
        "runner": FakeRunner(clock=clock).scripted(Script(epoch_s=(2.0,))),
        "scheduler": NotedScheduler(),
        "events": NotedEvents(),
    }
    yield real.model_copy(update=parts)
    real.close()


def run(world: World, job: TrainingJob, key: str) -> State[Any]:
    ask = TrainAsk(job=job, key=key)
    return train(ask, world, return_state=True)  # ty: ignore[no-matching-overload] - ty loses Prefect's parameters here


def test_an_off_peak_job_is_put_off_with_its_money_held_and_goes_on_when_started_again(
    world: World, clock: HandClock, tmp_path: Path
) -> None:
    key = f"defer-{tmp_path}"
    job = digits(policy="off-peak")

    first = run(world, job, key)

    name = run_id(key)
    assert first.name == "Deferred"
    hold = world.ledger.hold_of(name)
    assert hold is not None
    assert hold.expires_at == OFF_PEAK + timedelta(minutes=20)
    assert world.ledger.legs(name) == ()
    assert isinstance(world.scheduler, NotedScheduler)
    assert world.scheduler._asked == {f"{name}:defer:1": OFF_PEAK}

    clock._time = OFF_PEAK + timedelta(minutes=1)
    second = run(world, job, key)

    assert second.is_completed(), second.message
    assert second.name == "Completed"
    [leg] = world.ledger.legs(name)
    assert leg.started_at is not None
    assert leg.started_at >= OFF_PEAK
    assert len(world.ledger.holds(name)) == 1


def test_an_urgent_job_never_waits_for_a_price(world: World, tmp_path: Path) -> None:
    state = run(world, digits(policy="off-peak", priority="urgent"), f"urgent-{tmp_path}")

    assert state.name == "Completed"


def test_a_job_that_would_be_late_does_not_wait(world: World, tmp_path: Path) -> None:
    deadline = (OFF_PEAK + timedelta(seconds=1)).isoformat()

    state = run(world, digits(policy="off-peak", deadline=deadline), f"late-{tmp_path}")

    assert state.name == "Completed"


def test_a_deferred_run_whose_continuation_is_gone_is_given_up_and_its_money_released(
    world: World, tmp_path: Path
) -> None:
    key = f"gone-{tmp_path}"
    run(world, digits(policy="off-peak"), key)
    assert isinstance(world.scheduler, NotedScheduler)

    left_alone = settle_unwatched(world)
    world.scheduler.lose()
    [found] = settle_unwatched(world)

    assert [item.done.startswith("waits") for item in left_alone] == [True]
    assert found.run == run_id(key)
    row = world.ledger.run(run_id(key))
    assert row is not None
    assert row.state is RunState.STOPPED
    assert world.ledger.hold_of(run_id(key)) is None
    [state] = [one for one in world.ledger.budgets(world.now()) if one.name == "research"]
    assert state.held_usd == 0
    assert state.charged_usd == 0


def test_without_a_deployment_it_waits_in_place(
    world: World, clock: HandClock, tmp_path: Path
) -> None:
    alone = world.model_copy(update={"scheduler": NoDeployment()})

    state = run(alone, digits(policy="off-peak"), f"alone-{tmp_path}")

    assert state.name == "Completed"
    assert clock.now() >= OFF_PEAK


def short_of(budget: str, **changes: Any) -> TrainingJob:
    """Return a job that its budget is too small for, and that waits for money."""
    return digits(
        budget={"name": budget}, on_refusal="defer", checkpoint={"grace_s": 5}, **changes
    )


def nothing_is_held(world: World) -> bool:
    return all(budget.held_usd == 0 for budget in world.ledger.budgets(world.now()))


def test_a_run_that_money_is_short_for_waits_for_a_window_in_which_it_fits_and_holds_nothing(
    world: World, clock: HandClock, tmp_path: Path
) -> None:
    key = f"short-{tmp_path}"

    first = run(world, short_of("lab"), key)

    name = run_id(key)
    assert first.name == "Deferred"
    assert first.message is not None
    assert "budget 'lab' has $0.002 left of $0.002" in first.message
    assert first.message.endswith("goes on at 2026-11-23 22:00 UTC")
    row = world.ledger.run(name)
    assert row is not None
    assert (row.state, f"{name}: {row.message}") == (RunState.DEFERRED, first.message)
    assert nothing_is_held(world)
    assert isinstance(world.scheduler, NotedScheduler)
    assert world.scheduler._asked == {f"{name}:defer:1": OFF_PEAK}
    assert isinstance(world.events, NotedEvents)
    assert len(world.events.of(EventName.RUN_DEFERRED)) == 1
    assert world.events.of(EventName.RUN_REFUSED) == ()
    [left_alone] = settle_unwatched(world)
    assert left_alone.done == "waits for its time; Prefect starts it then"

    clock._time = OFF_PEAK + timedelta(minutes=1)
    second = run(world, short_of("lab"), key)

    assert second.name == "Completed", second.message
    assert len(world.ledger.holds(name)) == 1


def test_a_run_whose_budget_is_spent_waits_for_its_next_period_and_once_more_where_that_is_taken(
    world: World, clock: HandClock, tmp_path: Path
) -> None:
    key = f"spent-{tmp_path}"
    assert isinstance(world.ledger, Books)
    until = MIDNIGHT + timedelta(days=9)
    acts.held(world.ledger, "r-other", "0.009", budget="day", now=NOON, expires_at=until)

    states = [run(world, short_of("day"), key)]
    clock._time = MIDNIGHT
    states.append(run(world, short_of("day"), key))
    clock._time = MIDNIGHT + timedelta(days=1)
    world.ledger.release(
        key="released", run="r-other", now=clock.now(), actor="test", reason="test"
    )
    states.append(run(world, short_of("day"), key))

    assert [state.name for state in states] == ["Deferred", "Deferred", "Completed"]
    assert "the next period of budget 'day' begins then" in str(states[0].message)
    assert isinstance(world.scheduler, NotedScheduler)
    assert list(world.scheduler._asked.values()) == [MIDNIGHT, MIDNIGHT + timedelta(days=1)]


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (short_of("tiny"), "budget 'tiny' is $0.001 in a whole period"),
        (
            short_of("lab", deadline=(NOON + timedelta(hours=9)).isoformat()),
            "the money would be there at 2026-11-23 22:00 UTC, and its deadline needs a start by",
        ),
    ],
    ids=["more than a whole period", "too late for its deadline"],
)
def test_a_run_that_waiting_would_not_help_is_refused_at_once_and_says_why(
    job: TrainingJob, why: str, world: World, tmp_path: Path
) -> None:
    state = run(world, job, f"in-vain-{tmp_path}")

    assert state.name == "Refused"
    assert why in str(state.message)
    assert nothing_is_held(world)


def test_a_run_that_waits_for_money_can_be_stopped(
    world: World, clock: HandClock, tmp_path: Path
) -> None:
    key = f"stopped-{tmp_path}"
    run(world, short_of("lab"), key)

    ask_stop(world.ledger, run_id(key), reason="no longer wanted", now=clock.now())
    state = run(world, short_of("lab"), key)

    assert state.name == "Stopped"


def test_without_a_deployment_it_waits_for_money_in_place(
    world: World, clock: HandClock, tmp_path: Path
) -> None:
    alone = world.model_copy(update={"scheduler": NoDeployment()})

    state = run(alone, short_of("lab"), f"alone-short-{tmp_path}")

    assert state.name == "Completed"
    assert clock.now() >= OFF_PEAK


def test_prefect_schedules_the_train_deployment_once_for_a_key(
    stack: Settings, tmp_path: Path
) -> None:
    assert stack.home.exists()
    scheduler = Scheduler()
    ask = TrainAsk(job=digits(), key=f"scheduled-{tmp_path}")
    later = datetime.now(UTC) + timedelta(days=1)
    key = f"scheduled-{time.time_ns()}"

    first = scheduler.schedule(ask, at=later, key=key)
    second = scheduler.schedule(ask, at=later, key=key)

    assert first is not None
    assert first == second
    assert scheduler.is_coming(first)
    with get_client(sync_client=True) as client:
        client.delete_flow_run(UUID(first))
    assert not scheduler.is_coming(first)
    assert Scheduler(deployment="train/nowhere").schedule(ask, at=later, key=key) is None
