"""What a run does now: decided from its ledger and its runner, written down, decided again alike."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import PrivateAttr
from typing_extensions import override

from blocks.ledger import Books, Lease
from blocks.prices import Prices
from blocks.tracking import Tracking
from blocks.world import World
from lowtide.decision import Action, Decision
from lowtide.events import EventKind
from lowtide.job import TrainingJob, Where
from lowtide.ledger.budgets import parse_budgets
from lowtide.legs import Capacity, LegSpec, LegStatus
from lowtide.policy import Observation
from lowtide.progress import EpochPoint, read_progress
from tasks.claim import Owned
from tasks.decide import Mind, decided_again, in_safety_net
from tasks.forecast import Outlook, outlook
from tasks.need import Need, need_of
from tests.blocks.local.rigs import HandClock
from tests.fakes.events import NotedEvents
from tests.fakes.runner import FakeRunner, Script
from tests.flows.conftest import BUDGETS
from tests.flows.jobs import digits

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class SpotRunner(FakeRunner):
    """A runner that can tell whether spot is there, when the test says so."""

    _block_type_slug: ClassVar[str | None] = "fake-spot-runner"
    _there: bool | None = PrivateAttr(default=None)

    def showing(self, there: bool | None) -> "SpotRunner":
        self._there = there
        return self

    @override
    def has_spot(self, where: Where, *, now: datetime) -> bool | None:
        return self._there


class Rig:
    """A world without servers, and one run in it."""

    def __init__(self, folder: Path, job: TrainingJob) -> None:
        self.clock = HandClock()
        self.runner = SpotRunner(clock=self.clock).scripted(Script(epoch_s=(600.0,)))
        books = Books(url=f"sqlite:///{folder / 'ledger.db'}")
        books.migrate()
        tree = parse_budgets(BUDGETS, source="test")
        books.set_budgets(tree, actor="test", reason="test", now=NOON)
        self.world = World(
            ledger=books,
            tracking=Tracking(uri="http://127.0.0.1:9"),
            runner=self.runner,
            prices=Prices(),
            events=NotedEvents(),
            clock=self.clock,
            checkpoints=folder / "checkpoints",
            reports=folder / "reports",
        )
        books.open_run(
            run="r-0123456789ab",
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
        lease = books.take_lease("r-0123456789ab", owner="test", now=NOON)
        assert isinstance(lease, Lease)
        books.hold(
            key="h",
            run="r-0123456789ab",
            budget=job.budget.name,
            amount_usd=Decimal("0.5"),
            expires_at=NOON + timedelta(days=1),
            price_version=self.world.prices.book().sheet_at(NOON).version,
            actor="test",
            reason="test",
            now=NOON,
        )
        self.owned = Owned(run="r-0123456789ab", job=job, lease=lease)

    def mind(self) -> Mind:
        return Mind.of(self.world, self.owned)

    def next_leg(self) -> tuple[Observation, Decision]:
        found = self.mind().next_leg()
        assert isinstance(found, tuple)
        return found

    def start(self, capacity: Capacity, *, leg: int = 1) -> None:
        now = self.world.now()
        self.world.ledger.open_leg(
            self.owned.lease,
            leg=leg,
            where="local",
            flavor="t4",
            capacity=capacity.value,
            price_version="1",
            limit_s=7200.0,
            start_by=now + timedelta(hours=1),
            now=now,
        )
        self.runner.start(
            LegSpec(
                run=self.owned.run,
                leg=leg,
                command=("train",),
                env={"LOWTIDE_EPOCHS": "6"},
                checkpoint_dir="/c",
                limit_s=7200.0,
                start_by=now + timedelta(hours=1),
                grace_s=30.0,
                capacity=capacity,
            ),
            now=now,
        )

    def watch(self, leg: int = 1) -> Decision | None:
        row, status = self._look(leg)
        points = [
            EpochPoint(epoch=epoch, value=0.5, at=at)
            for epoch, at in self.runner.epochs(self.owned.run)
        ]
        progress = read_progress(points, leg_starts=[NOON], epochs=6, goal="maximize")
        ahead = outlook(
            self.world.ledger,
            self.owned.job,
            book=self.world.prices.book(),
            capacity=row.capacity,
            now=points[-1].at if points else NOON,
            progress=progress,
        )
        assert isinstance(ahead, Outlook)
        return self.mind().watch(row, status, ahead=ahead, progress=progress)

    def settle(self, leg: int = 1) -> LegStatus:
        """Let a leg end, and write down how."""
        self.pass_time(timedelta(seconds=5))
        _, status = self._look(leg)
        assert status.phase == "ended", status
        return status

    def _look(self, leg: int) -> Any:
        status = self.runner.status(self.owned.run, leg, now=self.world.now())
        row = self.world.ledger.update_leg(
            self.owned.run,
            leg,
            started_at=status.started_at,
            ended_at=status.ended_at,
            end=status.end,
        )
        return row, status

    def pass_time(self, duration: timedelta) -> None:
        self.clock.pause(duration.total_seconds())

    def decisions(self) -> list[dict[str, Any]]:
        events = self.world.ledger.events(self.owned.run, kind=EventKind.DECISION)
        return [dict(event.body) for event in events]


def rig_for(folder: Path, **changes: object) -> Rig:
    """An hour of work in six epochs, to be done in three hours."""
    job = digits(
        epochs=6,
        expected_epoch_s=600,
        deadline=(NOON + timedelta(hours=4)).isoformat(),
        **{"policy": "uniform-progress", **changes},
    )
    return Rig(folder, job)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = rig_for(tmp_path)
    yield made
    made.world.close()


def test_spot_is_taken_when_it_is_there_and_the_decision_can_be_decided_again(rig: Rig) -> None:
    rig.runner.showing(there=True)

    _, decision = rig.next_leg()

    assert decision.action is Action.RUN_SPOT
    (body,) = rig.decisions()
    assert (body["decision"], body["latched"]) == ("run-spot", False)
    assert decided_again(body) == decision


@pytest.mark.parametrize(
    ("policy", "action"),
    [
        ("run-now", Action.RUN_ON_DEMAND),
        ("off-peak", Action.RUN_ON_DEMAND),
        ("greedy", Action.WAIT),
        ("uniform-progress", Action.WAIT),
        ("adaptive", Action.WAIT),
    ],
)
def test_every_policy_decides_while_spot_is_absent(
    policy: str, action: Action, tmp_path: Path
) -> None:
    # The night begins at ten in the evening: later than the deadline, so off-peak cannot wait.
    rig = rig_for(tmp_path, policy=policy)
    rig.runner.showing(there=False)

    seen, decision = rig.next_leg()

    assert seen.policy.value == policy
    assert decision.action is action
    if action is Action.WAIT:
        assert decision.until is not None
        assert NOON < decision.until <= NOON + timedelta(seconds=5)


def test_a_wait_is_asked_again_less_and_less_often_but_never_past_the_safety_net(
    tmp_path: Path,
) -> None:
    rig = rig_for(tmp_path, policy="greedy")
    rig.runner.showing(there=False)
    waits: list[float] = []
    _, decision = rig.next_leg()
    while decision.action is Action.WAIT and len(waits) < 60:
        assert decision.until is not None
        waits.append((decision.until - rig.world.now()).total_seconds())
        rig.pass_time(decision.until - rig.world.now())
        _, decision = rig.next_leg()

    assert decision.action is Action.RUN_ON_DEMAND
    assert waits[:3] == [5.0, 10.0, 20.0]
    assert max(waits) <= 900.0


def test_a_run_on_demand_moves_to_spot_once_it_is_ahead_and_the_leg_ends_at_its_checkpoint(
    rig: Rig,
) -> None:
    rig.runner.showing(there=False)
    rig.start(Capacity.ON_DEMAND)
    rig.pass_time(20 * MINUTE)
    assert rig.watch() is None

    rig.runner.showing(there=True)
    rig.pass_time(20 * MINUTE)
    decision = rig.watch()

    assert decision is not None
    assert decision.action is Action.RUN_SPOT
    assert rig.settle().end == "stopped"
    assert [body["decision"] for body in rig.decisions()] == ["run-on-demand", "run-spot"]


def test_a_spot_leg_stays_while_it_runs_and_its_end_counts_as_absence(tmp_path: Path) -> None:
    rig = rig_for(tmp_path, policy="greedy")
    rig.runner.scripted(Script(epoch_s=(600.0,), preempted_after_s=900.0))
    rig.start(Capacity.SPOT)
    rig.pass_time(10 * MINUTE)
    assert rig.watch() is None
    rig.pass_time(5 * MINUTE)
    rig.settle()

    seen, decision = rig.next_leg()

    assert seen.spot.available is False
    assert decision.action is Action.WAIT


def test_a_spot_leg_that_does_not_start_is_taken_back_and_tried_again_later_each_time(
    tmp_path: Path,
) -> None:
    rig = rig_for(tmp_path, policy="greedy")
    rig.runner.scripted(Script(start_delay_s=3600.0))
    tried: list[datetime] = []
    leg = 0
    while len(tried) < 3:
        _, decision = rig.next_leg()
        if decision.action is Action.RUN_SPOT:
            leg += 1
            tried.append(rig.world.now())
            rig.start(Capacity.SPOT, leg=leg)
            rig.pass_time(MINUTE)
            moved = rig.watch(leg)
            assert moved is not None
            assert rig.settle(leg).end == "withdrawn"
            continue
        assert decision.until is not None
        rig.pass_time(decision.until - rig.world.now())

    first, second = tried[1] - tried[0], tried[2] - tried[1]
    assert second > first


def test_the_safety_net_holds_over_a_restart_of_the_flow(rig: Rig) -> None:
    rig.runner.showing(there=False)
    rig.pass_time(timedelta(hours=3))

    _, decision = rig.next_leg()
    rig.start(Capacity.ON_DEMAND)
    rig.runner.showing(there=True)
    rig.pass_time(MINUTE)

    assert decision.latched
    assert in_safety_net(rig.world, rig.owned.run)
    assert rig.watch() is None


def test_a_job_that_takes_spot_alone_holds_what_spot_costs(tmp_path: Path) -> None:
    held_usd: dict[str, Decimal] = {}
    for capacity in ("any", "spot"):
        folder = tmp_path / capacity
        folder.mkdir()
        rig = rig_for(folder, capacity=capacity)
        need = need_of(rig.world, rig.owned)
        rig.world.close()
        assert isinstance(need, Need)
        held_usd[capacity] = need.amount_usd

    assert held_usd["spot"] == pytest.approx(held_usd["any"] * 3 / 10, abs=Decimal("0.000001"))
