"""Sweeps on a clock that is moved: the money, the order, the hopeless, the killed and the refused."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import PrivateAttr
from typing_extensions import override

from blocks.ledger import Books, Hold
from blocks.prices import Prices
from blocks.world import World
from lowtide.ask import TrainAsk
from lowtide.identity import run_id
from lowtide.ledger.budgets import parse_budgets
from lowtide.ledger.records import LineKind, RunState
from lowtide.legs import LegEnd
from lowtide.sweep import Halving, SweepAsk, TrialResult
from lowtide.verdict import Refused
from tasks.budget import hold_money
from tasks.claim import Attached, Owned, claim
from tasks.compare_trials import compare_trials
from tasks.sweep import run_trials, sweep_id
from tasks.trial import left_alone, most_held_usd
from tests.blocks.local.rigs import NOON, HandClock
from tests.fakes.events import NotedEvents
from tests.fakes.runner import FakeRunner, Script
from tests.fakes.tracking import FakeTracking
from tests.flows.jobs import digits

KEY = "a-sweep"
# What one trial costs from its first to its last epoch: nine minutes at 0.25 USD an hour.
EPOCHS = 9
FULL_USD = Decimal("0.0375")


def quality(run: str, epoch: int) -> float:
    """A curve for each run that climbs to its own height; the runs' numbers spread the heights."""
    height = 0.5 + int(run[-4:], 16) / 0x20000
    return height * (1 - 0.5**epoch)


class StridingClock(HandClock):
    """A clock that passes twenty seconds for each second that somebody waits.

    Trials run side by side on it: larger strides would pass the limit of one that waits its turn.
    """

    _block_type_slug: ClassVar[str | None] = "lowtide-striding-clock"

    @override
    def pause(self, duration_s: float) -> None:
        super().pause(20 * duration_s)


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


def asked(configs: int, **changes: Any) -> SweepAsk:
    job = digits(
        epochs=EPOCHS,
        expected_epoch_s=60,
        checkpoint={"grace_s": 5},
        budget={"name": "research/vision"},
    )
    document = {
        "job": job,
        "configs": [{"params": {"hidden": 8 + index}} for index in range(configs)],
        "max_usd": "10",
        **changes,
    }
    return SweepAsk.model_validate(document)


def swept(world: World, ask: SweepAsk) -> tuple[TrialResult, ...]:
    results = run_trials.fn(world, ask, key=KEY, flow_run="f-1")
    assert isinstance(results, tuple), results
    return results


def charged_usd(world: World) -> Decimal:
    lines = world.ledger.journal(limit=10_000)
    kinds = {LineKind.CHARGE, LineKind.CORRECTION, LineKind.OVERDRAFT}
    return sum((line.amount_usd for line in lines if line.kind in kinds), Decimal(0))


def most_ever_held_usd(world: World) -> Decimal:
    """Held and charged together, replayed line by line from the journal."""
    moves = {LineKind.HOLD, LineKind.TOP_UP, LineKind.SHRINK, LineKind.RELEASE}
    total = most = Decimal(0)
    for line in sorted(world.ledger.journal(limit=10_000), key=lambda line: line.id):
        total += line.amount_usd if line.kind in moves else Decimal(0)
        most = max(most, total)
    return most


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
def test_money_that_is_given_back_is_used_by_the_next(world: World) -> None:
    # A trial's upper forecast is a half more than what it will cost: two are held for at once.
    ask = asked(3, max_usd="0.16", max_parallel=3)

    results = swept(world, ask)

    assert [result.state for result in results] == ["completed"] * 3
    assert most_ever_held_usd(world) <= ask.max_usd


@pytest.mark.slow
def test_a_trial_that_turns_out_dearer_takes_of_what_nobody_else_has(
    world: World, runner: FakeRunner
) -> None:
    runner.scripted(Script(epoch_s=(120.0,)))  # and a minute was said

    results = swept(world, asked(2, max_usd="0.5", max_parallel=2))

    assert [result.state for result in results] == ["completed"] * 2
    assert sum(result.charged_usd for result in results) == 4 * FULL_USD


@pytest.mark.slow
def test_a_hold_rises_to_the_job_s_limit_again_after_it_fell(
    world: World, runner: FakeRunner
) -> None:
    runner.scripted(
        Script(epoch_s=(*[20.0] * 4, *[60.0] * 6, *[20.0] * 8, *[60.0] * 6, *[20.0] * 8, 60.0))
    )
    job = digits(
        epochs=40,
        expected_epoch_s=20,
        checkpoint={"grace_s": 5},
        budget={"name": "research/vision", "max_usd": "0.12"},
    )

    [result] = swept(world, asked(1, job=job))

    lines = world.ledger.journal(limit=1_000)
    rises = [line for line in lines if line.kind is LineKind.TOP_UP]
    assert len(rises) >= 2
    assert any(line.kind is LineKind.SHRINK for line in lines)
    assert most_ever_held_usd(world) == Decimal("0.12")
    assert result.state in {"completed", "over-limit"}


@pytest.mark.slow
def test_money_that_one_gave_back_and_another_took_is_not_taken_twice(
    world: World, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first epochs promise a short training, so much is given back, and the next one starts on
    # it at once. Then they get long, and there is not enough for two.
    monkeypatch.setattr("tasks.sweep._TURN_S", 0.005)
    runner.scripted(Script(epoch_s=(*[20.0] * 6, 300.0)))
    ask = asked(2, max_usd="0.08", max_parallel=2)

    results = swept(world, ask)

    assert most_ever_held_usd(world) <= ask.max_usd
    assert charged_usd(world) <= ask.max_usd
    assert all(result.epochs_done >= 6 for result in results)
    assert "over-limit" in {result.state for result in results}
    assert world.ledger.check() == ()


def test_a_trial_whose_sweep_is_gone_goes_on_with_what_it_has_and_no_more(world: World) -> None:
    ask = asked(1)
    job = ask.configs[0].of(ask.job, sweep=sweep_id(KEY))
    owned = claim(
        world, TrainAsk(job=job, key=f"{KEY}/0"), fallback_key=KEY, flow_run="an-adopter"
    )
    assert isinstance(owned, Owned)
    assert left_alone(world, owned) == owned  # nobody has held anything for it yet

    held = hold_money(world, owned)
    alone = left_alone(world, owned)

    assert isinstance(held, Hold)
    assert alone.job.budget.max_usd == held.amount_usd
    free = replace(owned, job=ask.job)
    assert left_alone(world, free) == free


@pytest.mark.slow
def test_what_an_adopted_trial_gave_back_is_kept_for_it_when_its_sweep_returns(
    world: World,
) -> None:
    ask = asked(3, max_usd="0.13", max_parallel=1)
    job = ask.configs[1].of(ask.job, sweep=sweep_id(KEY))
    adopted = claim(
        world, TrainAsk(job=job, key=f"{KEY}/1"), fallback_key=KEY, flow_run="an-adopter"
    )
    assert isinstance(adopted, Owned)
    held = hold_money(world, adopted)
    assert isinstance(held, Hold)
    world.ledger.shrink(
        key="gave-back",
        run=adopted.run,
        to_usd=held.amount_usd / 2,
        actor="an-adopter",
        reason="its epochs got shorter",
        now=NOON,
    )
    world.ledger.drop_lease(adopted.lease, now=NOON)
    world.ledger.take_lease(adopted.run, owner="an adopter", now=NOON, ttl_s=1e6)

    first, second, third = swept(world, ask)

    # The third would fit beside what the adopted one holds now, but not beside what it may hold.
    two_usd = FULL_USD + held.amount_usd
    assert most_held_usd(world, adopted.run) == held.amount_usd
    assert held.amount_usd / 2 + two_usd <= ask.max_usd < held.amount_usd + two_usd
    assert "owned by" in second.message
    assert (first.state, third.state) == ("completed", "refused")


@pytest.mark.slow
def test_what_the_money_does_not_reach_is_refused_and_says_so(world: World) -> None:
    results = swept(world, asked(6, max_usd="0.12", max_parallel=1))

    states = [result.state for result in results]
    assert "refused" in states
    assert states.count("completed") >= 1
    assert sum(result.charged_usd for result in results) <= Decimal("0.12")
    refused = next(result for result in results if result.state == "refused")
    assert "upper forecast" in refused.message
    assert "left of the sweep's money" in refused.message
    assert world.ledger.legs(refused.run) == ()


@pytest.mark.slow
def test_a_trial_that_its_own_job_does_not_pay_for_is_not_refused_for_the_sweep_s_money(
    world: World,
) -> None:
    ask = asked(2)
    job = ask.job.model_copy(
        update={"budget": ask.job.budget.model_copy(update={"max_usd": Decimal("0.0001")})}
    )

    results = swept(world, ask.model_copy(update={"job": job}))

    assert [result.state for result in results] == ["refused"] * 2
    assert all("by its job file" in result.message for result in results)


@pytest.mark.slow
def test_as_a_whole_nothing_starts_where_the_money_of_all_is_not_there(
    world: World, runner: FakeRunner
) -> None:
    ask = asked(6, max_usd="0.12", gate="whole")

    refused = run_trials.fn(world, ask, key=KEY, flow_run="f-1")

    assert isinstance(refused, Refused)
    assert "all 6 configurations" in refused.message
    assert runner.started == ()
    [budget] = world.ledger.budgets(NOON)
    assert budget.held_usd == 0
    assert [row.state for row in world.ledger.runs(unfinished=True)] == []


@pytest.mark.slow
def test_as_a_whole_everything_is_held_before_the_first_starts(world: World) -> None:
    results = swept(world, asked(3, gate="whole", max_parallel=1))

    assert [result.state for result in results] == ["completed"] * 3
    lines = sorted(world.ledger.journal(limit=1000), key=lambda line: line.id)
    kinds = [line.kind for line in lines if line.run is not None]
    assert kinds[:3] == [LineKind.HOLD] * 3


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
