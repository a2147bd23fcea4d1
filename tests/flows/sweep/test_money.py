"""The money of a sweep: never over it, given back and taken again, short, adopted, as a whole."""

from dataclasses import replace
from decimal import Decimal

import pytest

from blocks.ledger import Hold
from blocks.world import World
from lowtide.ask import TrainAsk
from lowtide.ledger.records import LineKind
from lowtide.verdict import Refused
from tasks.budget import hold_money
from tasks.claim import Owned, claim
from tasks.sweep import run_trials, sweep_id
from tasks.trial import left_alone, most_held_usd
from tests.blocks.local.rigs import NOON
from tests.fakes.runner import FakeRunner, Script
from tests.flows.jobs import digits
from tests.flows.sweep.rig import FULL_USD, KEY, asked, charged_usd, most_ever_held_usd, swept


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
