"""What the fake can do beyond the contract: epochs across legs, and every way to go wrong."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from lowtide.errors import UnavailableError
from lowtide.legs import LegEnd, LegSpec
from tests.blocks.local.rigs import NOON, HandClock, leg_spec
from tests.fakes.runner import FakeRunner, Script
from tests.fakes.runner_contract import RUN


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def runner(clock: HandClock) -> FakeRunner:
    return FakeRunner(clock=clock)


def spec(*, leg: int = 1, epochs: int = 5, limit_s: float = 600.0) -> LegSpec:
    plain = leg_spec("train", home=Path("/nowhere"), leg=leg, now=NOON)
    start_by = NOON + timedelta(hours=1)
    env = {"LOWTIDE_EPOCHS": str(epochs)}
    return replace(plain, env=env, limit_s=limit_s, start_by=start_by)


def test_a_preempted_leg_is_gone_on_with_after_its_last_whole_epoch(
    runner: FakeRunner, clock: HandClock
) -> None:
    runner.scripted(Script(epoch_s=(10,), preempted_after_s=25))
    runner.start(spec(), now=clock.now())
    clock.pause(30)
    first = runner.status(RUN, 1, now=clock.now())

    runner.scripted(Script(epoch_s=(10,), start_delay_s=5), run=RUN, leg=2)
    runner.start(spec(leg=2), now=clock.now())
    clock.pause(100)
    second = runner.status(RUN, 2, now=clock.now())

    assert (first.end, first.exit_code) == (LegEnd.PREEMPTED, 143)
    assert second.end is LegEnd.COMPLETED
    assert second.ended_at == NOON + timedelta(seconds=65)
    epochs = [(epoch, (at - NOON).total_seconds()) for epoch, at in runner.epochs(RUN)]
    assert epochs == [(1, 10), (2, 20), (3, 45), (4, 55), (5, 65)]
    assert [leg.leg for leg in runner.started] == [1, 2]


def test_only_epochs_that_have_ended_are_known(runner: FakeRunner, clock: HandClock) -> None:
    runner.scripted(Script(epoch_s=(10, 20)))
    runner.start(spec(), now=clock.now())

    clock.pause(29.9)
    assert [epoch for epoch, _ in runner.epochs(RUN)] == [1]
    clock.pause(0.1)
    assert [epoch for epoch, _ in runner.epochs(RUN)] == [1, 2]


def test_a_failing_program_ends_where_its_script_says(
    runner: FakeRunner, clock: HandClock
) -> None:
    runner.scripted(Script(fails_after_s=15, exit_code=2, lines=("a", "b")), run=RUN)
    runner.start(spec(), now=clock.now())
    clock.pause(60)

    status = runner.status(RUN, 1, now=clock.now())

    assert (status.end, status.exit_code) == (LegEnd.FAILED, 2)
    assert status.ended_at == NOON + timedelta(seconds=15)
    assert len(runner.epochs(RUN)) == 1
    assert runner.logs(RUN, 1, lines_max=1) == ("b",)


def test_a_lost_leg_has_the_bound_of_when_it_was_first_missed(
    runner: FakeRunner, clock: HandClock
) -> None:
    runner.scripted(Script(lost_after_s=12))
    runner.start(spec(), now=clock.now())
    clock.pause(20)
    status = runner.status(RUN, 1, now=clock.now())
    clock.pause(3600)

    assert (status.end, status.measured) == (LegEnd.LOST, False)
    assert status.ended_at == NOON + timedelta(seconds=20)
    assert runner.status(RUN, 1, now=clock.now()) == status
    assert len(runner.epochs(RUN)) == 1


def test_a_leg_waits_for_its_scripted_start_and_is_withdrawn_when_that_is_too_late(
    runner: FakeRunner, clock: HandClock
) -> None:
    runner.scripted(Script(start_delay_s=30)).scripted(Script(start_delay_s=7200), run=RUN, leg=2)
    for leg in (1, 2):
        runner.start(spec(leg=leg), now=clock.now())

    clock.pause(29)
    assert [runner.status(RUN, leg, now=clock.now()).phase for leg in (1, 2)] == ["waiting"] * 2
    clock.pause(3600)
    assert runner.status(RUN, 1, now=clock.now()).end is LegEnd.COMPLETED
    assert runner.status(RUN, 2, now=clock.now()).end is LegEnd.WITHDRAWN


def test_calls_that_get_no_answer_change_nothing(runner: FakeRunner, clock: HandClock) -> None:
    runner.failing(times=2)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            runner.start(spec(), now=clock.now())

    assert runner.legs() == ()
    runner.start(spec(), now=clock.now())
    assert runner.legs() == ((RUN, 1),)
