"""When a run that money is short for is tried again, in real books and by the shipped prices."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from blocks.ledger import Books, Lease
from blocks.prices import Prices
from blocks.tracking import Tracking
from blocks.world import World
from lowtide.another_start import Chance
from lowtide.ledger.budgets import parse_budgets
from lowtide.verdict import RefusalReason, Refused
from tasks.chance import chance_of
from tasks.claim import Owned
from tests.blocks.ledger import acts
from tests.blocks.local.rigs import HandClock
from tests.fakes.runner import FakeRunner
from tests.flows.jobs import digits

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
OFF_PEAK = datetime(2026, 11, 23, 22, tzinfo=UTC)
RUN = "r-0123456789ab"
# Half a minute is held for: 0.0028 USD by day, and half of it off-peak.
BUDGETS = [
    {"name": "watched", "limit_usd": 0.0001, "period": "total", "mode": "warn"},
    {"name": "lab", "parent": "watched", "limit_usd": 0.002, "period": "month", "mode": "block"},
    {"name": "spent", "limit_usd": 0.003, "period": "month", "mode": "block"},
]
SHORT = Refused(
    reason=RefusalReason.BUDGET, message="too little", remedy="wait", gap_usd=Decimal(1)
)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    opened = Books(url=f"sqlite:///{tmp_path / 'ledger.db'}")
    opened.migrate()
    opened.set_budgets(
        parse_budgets(BUDGETS, source="test"), actor="test", reason="test", now=NOON
    )
    yield opened
    opened.close()


def asked(
    books: Books, folder: Path, *, budget: str, on_refusal: str = "defer", days: int = 0
) -> Chance | Refused:
    """Ask for a run's chance so many days after it was asked for."""
    clock = HandClock()
    clock._time = NOON + timedelta(days=days)
    world = World(
        ledger=books,
        tracking=Tracking(uri="http://127.0.0.1:9"),
        runner=FakeRunner(clock=clock),
        prices=Prices(),
        clock=clock,
        checkpoints=folder / "checkpoints",
        reports=folder / "reports",
    )
    job = digits(budget={"name": budget}, on_refusal=on_refusal, checkpoint={"grace_s": 5})
    acts.open_run(books, RUN, budget=budget, now=NOON)
    lease = books.take_lease(RUN, owner="test", now=clock.now())
    assert isinstance(lease, Lease)
    return chance_of(world, Owned(run=RUN, job=job, lease=lease), SHORT)


def test_a_budget_above_that_only_warns_keeps_nobody_waiting(books: Books, tmp_path: Path) -> None:
    found = asked(books, tmp_path, budget="lab")

    assert isinstance(found, Chance)
    assert found.at == OFF_PEAK


def test_no_run_waits_longer_than_a_hundred_days(books: Books, tmp_path: Path) -> None:
    now = NOON + timedelta(days=99)
    acts.held(books, "r-other", "0.0029", budget="spent", now=now)

    found = asked(books, tmp_path, budget="spent", days=99)

    assert isinstance(found, Refused)
    assert found.message.endswith(
        "the money would be there at 2027-04-01 00:00 UTC, and a run that waits 100 days at "
        "most needs a start by 2027-03-03 12:00 UTC"
    )


@pytest.mark.parametrize("on_refusal", ["refuse", "ask"])
def test_a_job_that_does_not_ask_for_it_is_not_put_off(
    books: Books, tmp_path: Path, on_refusal: str
) -> None:
    assert asked(books, tmp_path, budget="lab", on_refusal=on_refusal) is SHORT
