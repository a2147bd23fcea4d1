"""The train flow on real servers with a real training program."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any, ClassVar

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterFlowRunId
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Completed
from pydantic import PrivateAttr
from typing_extensions import override

from blocks.ledger import Hold
from blocks.local.cluster import LocalCluster
from blocks.settings import Settings
from blocks.tracking import Tracking
from blocks.world import World
from flows.train import train
from lowtide.ask import TrainAsk
from lowtide.events import EventKind
from lowtide.identity import run_id
from lowtide.job import TrainingJob
from lowtide.ledger.records import JournalLine, LineKind, RunState
from lowtide.legs import LegEnd, LegSpec
from lowtide.sweep import SWEEP_TAG
from tasks.budget import hold_money
from tasks.claim import Owned, claim
from tests.flows.conftest import world_in
from tests.flows.jobs import digits, odd

pytestmark = pytest.mark.stack


def run(world: World, job: TrainingJob, *, key: str) -> State[Any]:
    ask = TrainAsk(job=job, key=key)
    return train(ask, world, return_state=True)  # ty: ignore[no-matching-overload] - ty loses Prefect's parameters here


def flow_runs_tasks(flow_run_id: str) -> list[str]:
    with get_client(sync_client=True) as client:
        of_it = TaskRunFilterFlowRunId.model_validate({"any_": [flow_run_id]})
        found: list[TaskRun] = client.read_task_runs(
            task_run_filter=TaskRunFilter(flow_run_id=of_it)
        )
    done = [task_run for task_run in found if task_run.state and task_run.state.is_completed()]
    return [task_run.name for task_run in sorted(done, key=started)]


def started(task_run: TaskRun) -> datetime:
    assert task_run.start_time is not None
    return task_run.start_time


@pytest.fixture
def key(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A key that no other test uses, so that no two share an MLflow run."""
    return f"{request.node.nodeid}-{tmp_path}"


def test_a_run_goes_through_the_seven_tasks_and_its_money_adds_up(world: World, key: str) -> None:
    state = run(world, digits(), key=key)

    name = run_id(key)
    assert state.is_completed(), state.message
    [flow_run] = world.ledger.events(name, kind=EventKind.FLOW_RUN)
    assert flow_runs_tasks(flow_run.key) == [
        "check_budget",
        "plan_run",
        "submit_job",
        "monitor_epochs",
        "settle_costs",
        "recommend",
        "report",
    ]
    lines = world.ledger.journal(run=name)
    held = sum_of(lines, LineKind.HOLD, LineKind.TOP_UP, LineKind.SHRINK)
    charged = sum_of(lines, LineKind.CHARGE, LineKind.CORRECTION, LineKind.OVERDRAFT)
    released = -sum_of(lines, LineKind.RELEASE)
    assert held == charged + released
    assert charged > 0
    [leg] = world.ledger.legs(name)
    assert leg.end is LegEnd.COMPLETED
    assert leg.started_at is not None
    assert leg.ended_at is not None
    seconds = Decimal((leg.ended_at - leg.started_at).total_seconds())
    assert min(
        abs(charged - seconds * rate / 3600) for rate in (Decimal("0.25"), Decimal("0.125"))
    ) <= Decimal("0.000001")
    assert (world.reports / f"{name}.html").read_text(encoding="utf-8").count(name) >= 1


def sum_of(lines: Iterable[JournalLine], *kinds: LineKind) -> Decimal:
    return sum((line.amount_usd for line in lines if line.kind in kinds), Decimal(0))


def test_the_metric_is_in_mlflow_by_epoch_and_the_run_is_finished_there(
    world: World, key: str
) -> None:
    run(world, digits(), key=key)

    row = world.ledger.run(run_id(key))
    assert row is not None
    assert row.mlflow_run_id is not None
    tracking = world.tracking
    assert isinstance(tracking, Tracking)
    points = tracking.history([row.mlflow_run_id], metric="val_accuracy")[row.mlflow_run_id]
    assert [point.epoch for point in points] == [1, 2, 3]
    info = tracking._get("runs/get", {"run_id": row.mlflow_run_id})["run"]["info"]
    assert info["status"] == "FINISHED"


def test_the_same_key_again_looks_and_does_nothing_twice(world: World, key: str) -> None:
    run(world, digits(), key=key)
    before = world.ledger.journal(run=run_id(key))

    state = run(world, digits(), key=key)

    assert state.is_completed()
    assert world.ledger.journal(run=run_id(key)) == before
    assert len(world.ledger.legs(run_id(key))) == 1


def test_a_run_that_its_budget_cannot_pay_is_refused_and_nothing_starts(
    world: World, key: str
) -> None:
    state = run(world, digits(epochs=1000, expected_epoch_s=3600), key=key)

    assert state.is_cancelled()
    assert state.name == "Refused"
    assert world.ledger.legs(run_id(key)) == ()
    assert world.ledger.journal(run=run_id(key)) == ()
    row = world.ledger.run(run_id(key))
    assert row is not None
    assert row.state is RunState.REFUSED


def test_a_run_with_no_way_to_forecast_it_is_refused_with_the_advice_to_give_one(
    world: World, key: str
) -> None:
    state = run(world, digits(name="unheard-of", expected_epoch_s=None), key=key)

    assert state.name == "Refused"
    assert "expected_epoch_s" in str(state.message)


ODD_PROGRAMS = [
    ("crashes", RunState.FAILED, "no such data set", 2),
    ("logs-nothing", RunState.COMPLETED, "no value of the job's metric was logged", 1),
    ("not-a-number", RunState.COMPLETED, "the metric is NaN", 1),
    ("out-of-order", RunState.COMPLETED, "epochs were logged out of order", 1),
]


@pytest.mark.parametrize(
    ("fault", "state", "words", "legs"), ODD_PROGRAMS, ids=[case[0] for case in ODD_PROGRAMS]
)
def test_an_odd_program_ends_with_a_state_a_charge_and_a_sentence_that_says_what_was_odd(
    fault: str, state: RunState, words: str, legs: int, world: World, key: str
) -> None:
    run(world, odd(fault), key=key)

    row = world.ledger.run(run_id(key))
    assert row is not None
    assert row.state is state
    assert words in row.message
    ended = world.ledger.legs(run_id(key))
    assert len(ended) == legs
    assert all(leg.settled_at is not None for leg in ended)
    assert all(leg.charged_usd > 0 for leg in ended)
    assert world.ledger.hold_of(run_id(key)) is None


class PatientCluster(LocalCluster):
    """Starts a leg only once the other of two flows has ended."""

    _block_type_slug: ClassVar[str | None] = "patient-cluster"
    _other_ended: Event = PrivateAttr(default_factory=Event)

    @override
    def start(self, spec: LegSpec, *, now: datetime) -> str:
        assert self._other_ended.wait(timeout=100)
        return super().start(spec, now=now)

    def tell_ended(self, _flow: object) -> None:
        self._other_ended.set()


def test_of_two_flows_of_one_key_at_once_one_owns_the_run_and_the_other_touches_nothing(
    world: World, key: str, stack: Settings, tmp_path: Path
) -> None:
    runner = PatientCluster(home=tmp_path / "legs")
    worlds = [
        each.model_copy(update={"runner": runner}) for each in (world, world_in(tmp_path, stack))
    ]

    with ThreadPoolExecutor(2) as pool:
        # Prefect's settings live in a context variable, and a thread starts without.
        flows = [pool.submit(copy_context().run, run, each, digits(), key=key) for each in worlds]
        for flow in flows:
            flow.add_done_callback(runner.tell_ended)
        states: list[State[Any]] = [flow.result() for flow in flows]

    worlds[1].close()
    assert sorted(str(state.name) for state in states) == ["Attached", "Completed"]
    assert len(world.ledger.legs(run_id(key))) == 1
    assert len(world.ledger.holds(run_id(key))) == 1
    assert len(world.ledger.events(run_id(key), kind=EventKind.FLOW_RUN)) == 1


def test_an_adopted_trial_may_hold_what_it_has_and_no_more(
    world: World, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = digits(budget={"name": "research/vision"}, tags={SWEEP_TAG: "s-0123456789ab"})
    owned = claim(world, TrainAsk(job=job, key=key), fallback_key=key, flow_run="its-sweep")
    assert isinstance(owned, Owned)
    held = hold_money(world, owned)
    assert isinstance(held, Hold)
    world.ledger.drop_lease(owned.lease, now=world.now())
    may_hold_usd: list[Decimal | None] = []

    def note(_: World, adopted: Owned) -> State[Any]:
        may_hold_usd.append(adopted.job.budget.max_usd)
        return Completed()

    monkeypatch.setattr("flows.train._drive", note)
    run(world, job, key=key)

    assert may_hold_usd == [held.amount_usd]
