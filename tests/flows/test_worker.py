"""Runs that a real worker executes: cancelled, and answered, through the API as the UI does it."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling

from apps.books import prepare_ledger
from apps.files import read_yaml
from blocks.ledger import Books
from blocks.scheduler import Scheduler
from blocks.settings import Settings
from lowtide.events import EventKind
from lowtide.identity import run_id
from lowtide.job import TrainingJob
from lowtide.ledger.budgets import parse_budgets
from lowtide.ledger.records import LineKind, RunState
from lowtide.legs import LegEnd
from tests.flows.deployed import start
from tests.flows.jobs import digits

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(400)]

T = TypeVar("T")


@pytest.fixture
def books(stack: Settings) -> Iterator[Books]:
    opened = prepare_ledger(stack, say=print)
    yield opened
    opened.close()


@pytest.fixture
def asking(stack: Settings, books: Books) -> Iterator[str]:
    """A budget beside the others, which is short of money for any run and may be lifted."""
    others: Any = read_yaml(stack.budgets)
    name = f"asking-{time.time_ns()}"
    short = {"name": name, "limit_usd": 0.0001, "mode": "block", "approvals": {"max_usd": 0.05}}

    def set_budgets(*entries: dict[str, Any]) -> None:
        tree = parse_budgets(list(entries), source="test")
        books.set_budgets(tree, actor="test", reason="test", now=datetime.now(UTC))

    set_budgets(*others, short)
    yield name
    set_budgets(*others)


def submitted(job: TrainingJob, key: str) -> FlowRun:
    """Start the `train` deployment, for the stack's worker to pick up."""
    return start("train/train", {"job": job.document(), "key": key}, key=key)


def until(look: Callable[[], T], holds: Callable[[T], bool], *, within_s: float = 180) -> T:
    give_up = time.monotonic() + within_s
    while not holds(found := look()):
        assert time.monotonic() < give_up, found
        time.sleep(0.3)
    return found


def test_a_cancelled_run_ends_its_training_at_a_checkpoint_and_is_settled(
    client: SyncPrefectClient, books: Books, stack: Settings
) -> None:
    key = f"cancelled-{time.time_ns()}"
    run = run_id(key)
    job = digits(
        epochs=500,
        params={"copies": 10, "hidden": 64},
        budget={"name": "default"},
        expected_epoch_s=0.5,
    )
    flow_run = submitted(job, key)
    until(lambda: books.events(run, kind=EventKind.EPOCH), lambda seen: len(seen) >= 2)

    client.set_flow_run_state(flow_run.id, Cancelling())

    until(
        lambda: client.read_flow_run(flow_run.id).state_name,
        lambda name: name not in {"Running", "Cancelling"},
    )
    row = until(lambda: books.run(run), lambda row: row is not None and not row.state.unfinished)
    assert client.read_flow_run(flow_run.id).state_name == "Cancelled"
    assert row is not None
    assert row.state is RunState.STOPPED
    [leg] = books.legs(run)
    # 143: it saved its state when it was asked to end, and was not killed.
    assert (leg.end, leg.exit_code, leg.measured) == (LegEnd.STOPPED, 143, True)
    assert any((stack.checkpoints_folder / run).iterdir())
    [hold] = books.holds(run)
    assert hold.ended_at is not None
    assert 0 < hold.charged_usd == leg.charged_usd < hold.amount_usd
    assert hold.amount_usd == hold.charged_usd + hold.released_usd


def test_an_approved_run_goes_on_in_a_new_process_with_one_hold_and_one_leg(
    client: SyncPrefectClient, books: Books, asking: str
) -> None:
    key = f"approved-{time.time_ns()}"
    run = run_id(key)
    job = digits(budget={"name": asking}, on_refusal="ask", checkpoint={"grace_s": 5})
    flow_run = submitted(job, key)

    def state() -> str | None:
        return client.read_flow_run(flow_run.id).state_name

    until(state, lambda name: name == "Suspended")
    assert books.holds(run) == ()

    answer = {"approve": True, "limit_usd": 0.04, "reason": "a paper is due", "who": "Ada"}
    Scheduler().answer(str(flow_run.id), answer)
    Scheduler().answer(str(flow_run.id), {**answer, "limit_usd": 0.05, "who": "Eve"})

    until(state, lambda name: name == "Completed")
    [hold] = books.holds(run)
    [leg] = books.legs(run)
    assert leg.end is LegEnd.COMPLETED
    assert hold.amount_usd == hold.charged_usd + hold.released_usd
    lifted = [line for line in books.journal(run=run) if line.kind is LineKind.OVERRIDE]
    assert [(line.actor, line.amount_usd) for line in lifted] == [
        ("Ada (as claimed)", Decimal("0.0399"))
    ]
