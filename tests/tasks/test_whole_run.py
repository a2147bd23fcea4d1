"""A run under a spot recording, step by step as its flow would go, on a clock that a test moves."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import PrivateAttr
from typing_extensions import override

from apps.answers import show_document
from blocks.events import Events
from blocks.ledger import Books, Lease
from blocks.prices import Prices
from blocks.tracking import RunStatus, Tracking
from blocks.world import World
from lowtide.announcements import Announcement
from lowtide.backtest import Replay, Trace
from lowtide.events import EventKind
from lowtide.job import TrainingJob, Where
from lowtide.ledger.budgets import parse_budgets
from lowtide.ledger.records import RunState
from lowtide.legs import Capacity, LegEnd, LegSpec
from lowtide.progress import EpochPoint
from lowtide.steps import Step, next_step
from tasks.budget import check_budget
from tasks.claim import Owned
from tasks.decide import decided_again
from tasks.defer import wait_in_place
from tasks.look import look
from tasks.monitor import monitor_epochs
from tasks.plan import Plan, plan_run
from tasks.settle import settle_costs
from tasks.submit import submit_job
from tests.blocks.local.rigs import NOON, HandClock
from tests.fakes.runner import FakeRunner, Script
from tests.flows.conftest import BUDGETS
from tests.flows.jobs import digits

RUN = "r-0123456789ab"
GAP_S = 60.0


class ReplayingRunner(FakeRunner):
    """Scripted legs; those on spot live by a recording."""

    _block_type_slug: ClassVar[str | None] = "fake-replaying-runner"
    _replay: Replay | None = PrivateAttr(default=None)
    _epoch_s: float = PrivateAttr(default=15.0)

    def playing(self, *there: int) -> "ReplayingRunner":
        trace = Trace(name="zone", gap_s=GAP_S, available=np.array(there, bool))
        self._replay = Replay(trace=trace, speed=1.0, start=NOON)
        return self

    @override
    def has_spot(self, where: Where, *, now: datetime) -> bool | None:
        assert self._replay is not None
        return self._replay.available(now)

    @override
    def start(self, spec: LegSpec, *, now: datetime) -> str:
        assert self._replay is not None
        gone_at = self._replay.gone_at(now)
        script = Script(epoch_s=(self._epoch_s,), start_delay_s=5.0)
        if spec.capacity is Capacity.SPOT and gone_at is not None:
            lasts_s = (gone_at - now).total_seconds() - 5.0
            script = Script(
                epoch_s=(self._epoch_s,), start_delay_s=5.0, preempted_after_s=max(lasts_s, 0.1)
            )
        self.scripted(script, run=spec.run, leg=spec.leg)
        return super().start(spec, now=now)


class EpochsOfRunner(Tracking):
    """Shows the epochs of the fake's legs, and that each save takes two seconds."""

    _block_type_slug: ClassVar[str | None] = "epochs-of-runner"
    _runner: FakeRunner | None = PrivateAttr(default=None)

    def of(self, runner: FakeRunner) -> "EpochsOfRunner":
        self._runner = runner
        return self

    @override
    def open_run(self, *_: Any, **__: Any) -> str:
        return "m1"

    @override
    def history(
        self, mlflow_runs: Sequence[str], *, metric: str
    ) -> dict[str, tuple[EpochPoint, ...]]:
        assert self._runner is not None
        epochs = self._runner.epochs(RUN)
        saves = metric == "checkpoint_s"
        points = [
            EpochPoint(epoch=epoch, value=2.0 if saves else 0.5, at=at) for epoch, at in epochs
        ]
        return {mlflow_run: tuple(points) for mlflow_run in mlflow_runs}

    @override
    def set_tags(self, mlflow_run: str, tags: Mapping[str, str]) -> None:
        pass

    @override
    def end_run(self, mlflow_run: str, *, status: RunStatus, now: datetime) -> None:
        pass


class NoEvents(Events):
    """Tells nobody."""

    _block_type_slug: ClassVar[str | None] = "no-events"

    @override
    def emit(self, announcement: Announcement) -> None:
        pass


def rig(folder: Path, job: TrainingJob, *there: int) -> tuple[World, Owned, FakeRunner]:
    clock = HandClock()
    runner = ReplayingRunner(clock=clock).playing(*there)
    books = Books(url=f"sqlite:///{folder / 'ledger.db'}")
    books.migrate()
    books.set_budgets(parse_budgets(BUDGETS, source="test"), actor="test", reason="test", now=NOON)
    world = World(
        ledger=books,
        tracking=EpochsOfRunner(uri="http://127.0.0.1:9").of(runner),
        runner=runner,
        prices=Prices(),
        clock=clock,
        events=NoEvents(),
        checkpoints=folder / "checkpoints",
        reports=folder / "reports",
    )
    books.open_run(
        run=RUN,
        key="k",
        job=job.document(),
        spec_hash=job.spec_hash,
        name=job.name,
        budget=job.budget.name,
        priority=job.priority.value,
        flavor=job.resources.flavor,
        tags={},
        now=NOON,
    )
    lease = books.take_lease(RUN, owner="test", now=NOON)
    assert isinstance(lease, Lease)
    return world, Owned(run=RUN, job=job, lease=lease), runner


def drive(world: World, owned: Owned) -> None:
    """Do what `flows.train` does, step by step, without a server."""
    plan: Plan | None = None
    for _ in range(500):
        until = None if plan is None else plan.until
        view = look(world, RUN, owned.job, planned=plan is not None, later=until is not None)
        match next_step(view):
            case Step.CHECK_BUDGET:
                check_budget.fn(world, owned)
            case Step.PLAN:
                plan = plan_run.fn(world, owned)
            case Step.DEFER if until is not None:
                wait_in_place(world, owned, until=until)
                plan = None
            case Step.SUBMIT:
                submit_job.fn(world, owned, plan)
                plan = None
            case Step.MONITOR:
                monitor_epochs.fn(world, owned, view.legs[-1].leg)
            case Step.SETTLE:
                settle_costs.fn(world, owned)
            case _:
                return
    pytest.fail("the run did not end")


def job(policy: str, *, hours: float, **changes: object) -> TrainingJob:
    """Two minutes of work in eight epochs, to be done some hours after noon."""
    deadline = (NOON + timedelta(hours=hours)).isoformat()
    return digits(epochs=8, expected_epoch_s=15, policy=policy, deadline=deadline, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["greedy", "uniform-progress"])
def test_a_run_is_preempted_twice_resumes_in_time_and_costs_less_than_on_demand(
    policy: str, tmp_path: Path
) -> None:
    world, owned, runner = rig(tmp_path, job(policy, hours=0.5), 1, 0, 1, 0, 1, 1, 1, 1, 1, 1)

    drive(world, owned)

    row = world.ledger.run(RUN)
    assert row is not None
    assert row.state is RunState.COMPLETED, row.message
    legs = world.ledger.legs(RUN)
    assert sum(leg.end is LegEnd.PREEMPTED for leg in legs) >= 2
    assert world.now() <= NOON + timedelta(hours=0.5)
    assert len(runner.epochs(RUN)) == 8
    charged_usd = sum((leg.charged_usd for leg in legs), Decimal(0))
    assert Decimal(0) < charged_usd < Decimal("0.25") * 2 / 60
    assert isinstance(world.ledger, Books)
    decisions = show_document(world.ledger, row)["decisions"]
    assert len(decisions) >= len(legs)
    for decision in decisions:
        again = decided_again(decision)
        assert again is not None
        assert (again.action.value, again.reason) == (decision["decision"], decision["reason"])


@pytest.mark.slow
def test_spot_that_never_comes_leaves_on_demand_in_time(tmp_path: Path) -> None:
    world, owned, _ = rig(tmp_path, job("greedy", hours=0.2), 0)

    drive(world, owned)

    legs = world.ledger.legs(RUN)
    # Measured epochs may free it from the net, and greedy waits then: in time all the same.
    assert {leg.capacity for leg in legs} == {Capacity.ON_DEMAND}
    assert legs[-1].end is LegEnd.COMPLETED
    assert world.now() <= NOON + timedelta(hours=0.2)
    bodies = [event.body for event in world.ledger.events(RUN, kind=EventKind.DECISION)]
    assert any(body["latched"] for body in bodies)


def test_a_deadline_that_cannot_be_kept_is_refused_before_anything_is_held(
    tmp_path: Path,
) -> None:
    world, owned, _ = rig(tmp_path, job("uniform-progress", hours=0.03), 1)

    drive(world, owned)

    row = world.ledger.run(RUN)
    assert row is not None
    assert row.state is RunState.REFUSED
    assert "is too tight" in row.message
    assert "or later would fit" in row.message
    assert world.ledger.holds(RUN) == ()


@pytest.mark.slow
def test_the_program_is_told_to_save_as_often_as_its_saves_and_spots_life_ask_for(
    tmp_path: Path,
) -> None:
    world, owned, runner = rig(tmp_path, job("greedy", hours=0.5), 1, 0, 1, 1, 1, 1, 1, 1)

    drive(world, owned)

    told = [float(spec.env["LOWTIDE_CHECKPOINT_EVERY_S"]) for spec in runner.started]
    # Nothing was measured before the first leg; then a save of two seconds, and a life of a
    # minute beside three of two hours that are assumed.
    assert told[0] == 60.0
    assert told[1] == pytest.approx((2 * 2 * (3 * 7200 + 55) / 4) ** 0.5, rel=0.02)
