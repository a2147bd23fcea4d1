"""Approvals: a run that its budget cannot pay waits for a person, holding nothing, and goes on."""

import json
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.states import Failed, Pending

from blocks.scheduler import Scheduler
from blocks.settings import Settings
from blocks.world import World
from flows.train import train
from lowtide.ask import TrainAsk
from lowtide.identity import run_id
from lowtide.ledger.budgets import parse_budgets
from lowtide.ledger.records import LineKind, RunState
from tasks.unwatched import ReconcileAsk, settle_unwatched
from tests.blocks.local.rigs import HandClock
from tests.fakes.events import NotedEvents
from tests.fakes.runner import FakeRunner, Script
from tests.flows.conftest import world_in
from tests.flows.jobs import digits

pytestmark = pytest.mark.stack

# The job's upper forecast is some 0.0057 USD: three epochs, their doubt, and the grace period.
BUDGETS = [
    {"name": "lab", "limit_usd": 0.001, "mode": "block", "approvals": {"max_usd": 0.05}},
    {"name": "strict", "limit_usd": 0.001, "mode": "block"},
]


@pytest.fixture
def world(tmp_path: Path, stack: Settings) -> Iterator[World]:
    real = world_in(tmp_path, stack)
    tree = parse_budgets(BUDGETS, source="test")
    clock = HandClock()
    real.ledger.set_budgets(tree, actor="test", reason="test", now=clock.now())
    runner = FakeRunner(clock=clock).scripted(Script(epoch_s=(2.0,)))
    yield real.model_copy(update={"clock": clock, "runner": runner, "events": NotedEvents()})
    real.close()


class Asked:
    """One flow run of a deployment that no worker serves; the test is its worker."""

    def __init__(self, client: SyncPrefectClient, world: World, key: str, budget: str) -> None:
        self.client, self.world, self.run = client, world, run_id(key)
        job = digits(budget={"name": budget}, on_refusal="ask", checkpoint={"grace_s": 5})
        self.ask = TrainAsk(job=job, key=key)
        flow = client.create_flow(train)
        deployment = client.create_deployment(flow, name="by-hand")
        made = client.create_flow_run_from_deployment(deployment, state=Pending())
        self.id: UUID = made.id

    def execute(self) -> State[Any]:
        """Run the flow as a worker would, in a process that remembers nothing."""
        parameters = {"ask": self.ask, "world": self.world}
        # A suspended flow ends its process by this signal; whoever runs it there lets it go.
        with suppress(Pause):
            run_flow(
                train,
                flow_run=self.client.read_flow_run(self.id),
                parameters=parameters,
                return_type="state",
            )
        return self.state

    @property
    def state(self) -> State[Any]:
        state = self.client.read_flow_run(self.id).state
        assert state is not None
        return state

    def answer(self, **fields: Any) -> None:
        """Answer the form as the UI does."""
        given = {"approve": True, "limit_usd": 0.01, "reason": "a paper is due", "who": "Ada"}
        Scheduler().answer(str(self.id), {**given, **fields})

    def form(self) -> dict[str, Any]:
        """Return the form's fields as the UI gets them."""
        keyset = self.state.state_details.run_input_keyset
        assert keyset is not None
        schema = self.client.read_flow_run_input(self.id, keyset["schema"])
        fields: dict[str, Any] = json.loads(schema)["properties"]
        return fields

    def message(self) -> str:
        row = self.world.ledger.run(self.run)
        assert row is not None
        return row.message


@pytest.fixture
def asked(client: SyncPrefectClient, world: World, tmp_path: Path) -> Asked:
    return Asked(client, world, f"asked-{tmp_path}", "lab")


def nothing_is_held(world: World) -> bool:
    return all(budget.held_usd == 0 for budget in world.ledger.budgets(world.now()))


def test_a_refused_run_waits_with_a_form_holds_nothing_and_goes_on_once_approved(
    asked: Asked, world: World
) -> None:
    first = asked.execute()
    assert first.name == "Suspended"
    assert nothing_is_held(world)
    form = asked.form()
    assert form["limit_usd"]["exclusiveMinimum"] == 0
    assert {field["title"] for field in form.values()} == {
        "Approve",
        "New limit, USD",
        "Reason",
        "Who",
    }

    asked.answer()
    asked.answer(limit_usd=900, who="Eve")
    last = asked.execute()

    assert last.is_completed(), last.message
    assert len(world.ledger.holds(asked.run)) == 1
    assert len(world.ledger.legs(asked.run)) == 1
    [lifted] = [
        line for line in world.ledger.journal(run=asked.run) if line.kind is LineKind.OVERRIDE
    ]
    assert lifted.actor == "Ada (as claimed)"
    assert "a paper is due" in lifted.reason
    assert lifted.amount_usd == Decimal("0.009")


def test_a_run_that_was_declined_is_refused_and_says_by_whom_and_why(
    asked: Asked, world: World
) -> None:
    asked.execute()

    asked.answer(approve=False, reason="not this month")
    state = asked.execute()

    assert state.name == "Refused"
    assert "Ada (as claimed) said no: not this month" in asked.message()
    assert nothing_is_held(world)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"limit_usd": 0.002}, "was approved"),
        ({"limit_usd": 0.5}, "`approvals.max_usd` of budget 'lab'"),
        ({"who": " "}, "who: String should have at least 2 characters"),
    ],
    ids=["too little", "more than an approval may", "nobody's name"],
)
def test_an_answer_that_cannot_be_used_changes_nothing_and_is_asked_for_again(
    answer: dict[str, Any], words: str, asked: Asked, world: World
) -> None:
    asked.execute()

    asked.answer(**answer)
    again = asked.execute()

    assert again.name == "Suspended"
    assert nothing_is_held(world)
    [noted] = world.ledger.events(asked.run, kind="approval")
    assert words in noted.body["outcome"]
    asked.answer()
    assert asked.execute().is_completed()


def test_a_form_that_the_schema_refuses_leaves_the_run_waiting(asked: Asked) -> None:
    asked.execute()

    asked.answer(limit_usd=-1)

    assert asked.state.name == "Suspended"


def test_a_budget_without_approvals_is_not_lifted_by_any_answer(
    client: SyncPrefectClient, world: World, tmp_path: Path
) -> None:
    asked = Asked(client, world, f"strict-{tmp_path}", "strict")
    states = [asked.execute().name]
    for _ in range(3):
        asked.answer()
        states.append(asked.execute().name)

    assert states == ["Suspended", "Suspended", "Suspended", "Refused"]
    assert nothing_is_held(world)


def test_an_approval_that_nobody_gives_ends_in_a_refusal_when_reconcile_comes_by(
    asked: Asked, world: World, client: SyncPrefectClient
) -> None:
    asked.execute()
    waiting = settle_unwatched(world, ReconcileAsk(adopt=False))
    # What Prefect's own service does with a suspended flow run whose time is over.
    expired = Failed(message="The flow was paused and never resumed.")
    client.set_flow_run_state(asked.id, expired, force=True)

    found = settle_unwatched(world, ReconcileAsk(adopt=False))

    assert [item.done for item in waiting] == [
        "waits for an approval; its form is in Prefect's UI"
    ]
    assert [item.done for item in found] == ["refused: nobody approved it in time"]
    row = world.ledger.run(asked.run)
    assert row is not None
    assert row.state is RunState.REFUSED
    assert nothing_is_held(world)


def test_without_a_deployment_nobody_can_be_asked_and_the_run_is_refused(
    world: World, tmp_path: Path
) -> None:
    job = digits(budget={"name": "lab"}, on_refusal="ask")

    ask = TrainAsk(job=job, key=f"alone-{tmp_path}")
    state = train(ask, world, return_state=True)  # ty: ignore[no-matching-overload] - ty loses Prefect's parameters here

    assert state.name == "Refused"
