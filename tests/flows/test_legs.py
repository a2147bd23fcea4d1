"""A run of several legs, on a clock that is moved: preempted, failed, lost, out of money."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from blocks.settings import Settings
from blocks.world import World
from flows.train import train
from lowtide.announcements import Announcement, EventName
from lowtide.ask import TrainAsk
from lowtide.identity import run_id
from lowtide.job import TrainingJob
from lowtide.ledger.records import RunState
from lowtide.legs import LegEnd
from tests.blocks.local.rigs import HandClock
from tests.fakes.events import NotedEvents
from tests.fakes.runner import FakeRunner, Script
from tests.flows.conftest import world_in
from tests.flows.jobs import digits

pytestmark = pytest.mark.stack


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner(clock=HandClock()).scripted(Script(epoch_s=(2.0,)))


@pytest.fixture
def world(tmp_path: Path, stack: Settings, runner: FakeRunner) -> Iterator[World]:
    real = world_in(tmp_path, stack)
    parts = {"clock": runner.clock, "runner": runner, "events": NotedEvents()}
    yield real.model_copy(update=parts)
    real.close()


def run(world: World, job: TrainingJob, key: str) -> State[Any]:
    ask = TrainAsk(job=job, key=key)
    return train(ask, world, return_state=True)  # ty: ignore[no-matching-overload] - ty loses Prefect's parameters here


def ends(world: World, key: str) -> list[LegEnd | None]:
    return [leg.end for leg in world.ledger.legs(run_id(key))]


def told(world: World, event: EventName) -> tuple[Announcement, ...]:
    assert isinstance(world.events, NotedEvents)
    return world.events.of(event)


def assert_the_money_adds_up(world: World, key: str) -> None:
    [hold] = world.ledger.holds(run_id(key))
    legs = world.ledger.legs(run_id(key))
    assert hold.overdraft_usd == 0
    assert hold.charged_usd == sum(leg.charged_usd for leg in legs)
    assert hold.amount_usd == hold.charged_usd + hold.released_usd
    assert world.ledger.check() == ()


def test_a_preempted_run_goes_on_with_another_leg_under_the_same_hold(
    world: World, runner: FakeRunner, tmp_path: Path
) -> None:
    key = f"preempted-{tmp_path}"
    name = run_id(key)
    for leg in (1, 2):
        runner.scripted(Script(epoch_s=(2.0,), preempted_after_s=3.0), run=name, leg=leg)

    state = run(world, digits(epochs=5, max_failures=0), key)

    assert state.is_completed(), state.message
    assert ends(world, key) == [LegEnd.PREEMPTED, LegEnd.PREEMPTED, LegEnd.COMPLETED]
    assert [each.body["leg"] for each in told(world, EventName.LEG_PREEMPTED)] == [1, 2]
    [settled] = told(world, EventName.RUN_SETTLED)
    assert settled.resource == f"lowtide.run.{name}"
    assert settled.body["outcome"] == "completed"
    assert_the_money_adds_up(world, key)


def test_a_run_that_fails_once_is_tried_again_and_each_leg_is_charged(
    world: World, runner: FakeRunner, tmp_path: Path
) -> None:
    key = f"failed-{tmp_path}"
    runner.scripted(Script(fails_after_s=4.0, exit_code=3), run=run_id(key), leg=1)

    state = run(world, digits(max_failures=1), key)

    assert state.is_completed(), state.message
    assert ends(world, key) == [LegEnd.FAILED, LegEnd.COMPLETED]
    assert all(leg.charged_usd > 0 for leg in world.ledger.legs(run_id(key)))
    assert_the_money_adds_up(world, key)


def test_a_run_that_is_lost_too_often_fails_and_is_charged_for_what_the_evidence_allows(
    world: World, runner: FakeRunner, tmp_path: Path
) -> None:
    key = f"lost-{tmp_path}"
    for leg in (1, 2):
        runner.scripted(Script(lost_after_s=2.0), run=run_id(key), leg=leg)

    state = run(world, digits(max_failures=1), key)

    assert state.is_failed()
    assert ends(world, key) == [LegEnd.LOST, LegEnd.LOST]
    assert not any(leg.measured for leg in world.ledger.legs(run_id(key)))
    assert_the_money_adds_up(world, key)


def test_a_run_with_no_money_left_for_another_leg_stops_and_says_so(
    world: World, runner: FakeRunner, tmp_path: Path
) -> None:
    key = f"poor-{tmp_path}"
    # The cap is the first leg's hold to the cent, and the leg uses nearly all of it.
    poor = digits(
        expected_epoch_s=20,
        checkpoint={"grace_s": 5},
        budget={"name": "research/vision", "max_usd": "0.006945"},
    )
    runner.scripted(Script(epoch_s=(9000.0,), preempted_after_s=89.9), run=run_id(key), leg=1)

    state = run(world, poor, key)

    assert state.name == "Stopped", state.message
    row = world.ledger.run(run_id(key))
    assert row is not None
    assert row.state is RunState.STOPPED
    assert ends(world, key) == [LegEnd.PREEMPTED]
    assert_the_money_adds_up(world, key)


def test_a_refusal_is_told_once_with_what_is_short_and_a_second_try_tells_it_anew(
    world: World, tmp_path: Path
) -> None:
    dear = digits(epochs=1000, expected_epoch_s=3600)

    run(world, dear, f"dear-{tmp_path}")
    run(world, dear, f"dear-{tmp_path}")

    [refused] = told(world, EventName.RUN_REFUSED)
    assert refused.body["reason"] == "job-limit"
    assert Decimal(refused.body["gap_usd"]) > 0


def test_a_crossed_threshold_is_told_once_however_often_it_is_looked_at(
    world: World, tmp_path: Path
) -> None:
    half = digits(expected_epoch_s=2000, budget={"name": "research/vision", "max_usd": 1})

    run(world, half, f"half-{tmp_path}")
    run(world, half, f"half-again-{tmp_path}")

    crossed = told(world, EventName.BUDGET_THRESHOLD)
    assert [(each.body["budget"], each.body["percent"], each.body["of"]) for each in crossed] == [
        ("research/vision", 50, "forecast")
    ]
    assert world.ledger.crossings(untold=True) == ()
