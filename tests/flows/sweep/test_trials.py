"""The trials of a sweep: to their end or not, in their order, killed, twice, compared."""

from decimal import Decimal
from typing import Any, ClassVar

import pytest
from pydantic import PrivateAttr
from typing_extensions import override

from blocks.world import World
from lowtide.identity import run_id
from lowtide.ledger.records import RunState
from lowtide.legs import LegEnd
from lowtide.sweep import Halving, SweepAsk
from tasks.claim import Attached
from tasks.compare_trials import compare_trials
from tasks.sweep import run_trials, sweep_id
from tests.blocks.local.rigs import NOON
from tests.fakes.runner import FakeRunner, Script
from tests.fakes.tracking import FakeTracking
from tests.flows.sweep.rig import (
    EPOCHS,
    FULL_USD,
    KEY,
    asked,
    charged_usd,
    most_ever_held_usd,
    quality,
    swept,
)


@pytest.mark.slow
def test_without_halving_every_configuration_is_trained_to_its_end(world: World) -> None:
    results = swept(world, asked(4))

    assert [result.state for result in results] == ["completed"] * 4
    assert [result.epochs_done for result in results] == [EPOCHS] * 4
    assert sum(result.charged_usd for result in results) == 4 * FULL_USD
    assert world.ledger.check() == ()


@pytest.mark.slow
def test_thirty_configurations_on_money_for_twelve_cost_less_than_half_and_find_the_best(
    world: World,
) -> None:
    ask = asked(30, max_usd=12 * FULL_USD, max_parallel=3, halving=Halving())
    heights = [quality(run_id(f"{KEY}/{index}"), EPOCHS) for index in range(30)]

    results = swept(world, ask)

    assert most_ever_held_usd(world) <= ask.max_usd
    assert charged_usd(world) <= Decimal("0.45") * 30 * FULL_USD
    assert max(result.best or 0 for result in results) >= 0.99 * max(heights)
    assert sum(result.epochs_done >= 1 for result in results) >= 20
    assert world.ledger.check() == ()
    stopped = [result for result in results if result.state == "stopped"]
    assert len(stopped) > 10
    assert all("hopeless" in note(world, result.run) for result in stopped)


def note(world: World, run: str) -> str:
    [asked_to_stop] = world.ledger.events(run, kind="stop-asked")
    return str(asked_to_stop.body["reason"])


@pytest.mark.slow
def test_the_urgent_start_first_and_then_those_of_which_most_is_expected(
    world: World, runner: FakeRunner
) -> None:
    ask = asked(4, max_parallel=1)
    trials = [
        {"value": 1},
        {"value": 2},
        {"priority": "background", "value": 9},
        {"priority": "urgent"},
    ]
    ask = SweepAsk.model_validate({**ask.model_dump(), "configs": trials})

    swept(world, ask)

    order = [spec.run for spec in runner.started]
    assert order == [run_id(f"{KEY}/{index}") for index in (3, 1, 0, 2)]


@pytest.mark.slow
def test_the_same_key_again_finds_its_trials_and_does_nothing_twice(
    world: World, runner: FakeRunner
) -> None:
    first = swept(world, asked(3))

    second = swept(world, asked(3))

    assert [result.best for result in second] == [result.best for result in first]
    assert len(runner.started) == 3


@pytest.mark.slow
def test_a_sweep_that_dies_between_two_trials_goes_on_with_the_others(
    world: World, runner: FakeRunner
) -> None:
    runner.scripted(Script(epoch_s=(60.0,), fails_after_s=1, exit_code=3), run=run_id(f"{KEY}/1"))
    dying = world.model_copy(update={"tracking": DyingTracking.at(world, run_id(f"{KEY}/1"))})
    with pytest.raises(KeyboardInterrupt):
        swept(dying, asked(3, max_parallel=1))

    results = swept(world, asked(3, max_parallel=1))

    assert results[0].state == results[2].state == "completed"
    assert world.ledger.legs(results[1].run)[0].end is LegEnd.FAILED
    assert len(world.ledger.legs(results[0].run)) == 1
    assert world.ledger.check() == ()


class DyingTracking(FakeTracking):
    """Interrupts its process when one run is opened."""

    _block_type_slug: ClassVar[str | None] = "dying-tracking"
    _dies_at: str = PrivateAttr(default="")

    @classmethod
    def at(cls, world: World, run: str) -> "DyingTracking":
        there = world.tracking
        assert isinstance(there, FakeTracking)
        made = cls(uri="http://fake")
        made._runner, made._curves = there._runner, there._curves
        made._dies_at = run
        return made

    @override
    def open_run(self, run: str, **others: Any) -> str:
        if run == self._dies_at:
            raise KeyboardInterrupt
        return super().open_run(run, **others)


def test_of_two_sweeps_of_one_key_the_second_touches_nothing(world: World) -> None:
    first = world.ledger
    ask = asked(2)
    swept(world, asked(1))
    row = first.run(run_id(f"{KEY}/0"))
    assert row is not None
    first.take_lease(row.run, owner="another flow", now=NOON, ttl_s=1e6)

    answer = run_trials.fn(world, ask, key=KEY, flow_run="f-2")

    assert answer == Attached(run=row.run, owner="another flow")
    assert len(world.ledger.runs()) == 1


@pytest.mark.slow
def test_the_comparison_names_the_best_and_what_all_cost(world: World) -> None:
    ask = asked(3)
    results = swept(world, ask)

    sentence = compare_trials.fn(ask, results, sweep=sweep_id(KEY))

    best = max(results, key=lambda result: result.best or 0)
    assert f"(run {best.run})" in sentence
    assert sentence.startswith("3 of 3 configurations trained")
    assert sentence.endswith("of $10.00 charged")


def test_a_trial_is_marked_as_one_of_its_sweep(world: World) -> None:
    [result] = swept(world, asked(1))

    row = world.ledger.run(result.run)
    assert row is not None
    assert row.tags["lowtide.sweep"] == sweep_id(KEY)
    assert row.state is RunState.COMPLETED
