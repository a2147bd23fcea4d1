"""A real world for flows: the shared servers, and books, legs and folders of the test's own."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client

from blocks.clock import Clock
from blocks.ledger import Books
from blocks.local.cluster import LocalCluster
from blocks.prices import Prices
from blocks.settings import Settings
from blocks.tracking import Tracking
from blocks.world import World
from lowtide.ledger.budgets import parse_budgets

BUDGETS = [
    {"name": "research", "limit_usd": 100, "period": "month", "zone": "UTC", "mode": "block"},
    {
        "name": "research/vision",
        "parent": "research",
        "limit_usd": 1,
        "period": "month",
        "zone": "UTC",
        "mode": "block",
    },
]


def world_in(folder: Path, settings: Settings) -> World:
    """Return a world whose books, legs and folders lie in one folder."""
    books = Books(url=f"sqlite:///{folder / 'ledger.db'}")
    books.migrate()
    now = datetime.now(UTC)
    if not books.budgets(now):
        tree = parse_budgets(BUDGETS, source="test")
        books.set_budgets(tree, actor="test", reason="test", now=now)
    assert settings.tracking_address is not None
    return World(
        ledger=books,
        tracking=Tracking(uri=settings.tracking_address),
        runner=LocalCluster(home=folder / "legs"),
        prices=Prices(),
        clock=Clock(),
        checkpoints=folder / "checkpoints",
        reports=folder / "reports",
    )


@pytest.fixture
def world(tmp_path: Path, stack: Settings) -> Iterator[World]:
    opened = world_in(tmp_path, stack)
    yield opened
    opened.close()


@pytest.fixture
def client(stack: Settings) -> Iterator[SyncPrefectClient]:
    """A client of the stack's Prefect server."""
    assert stack.prefect_address is not None
    with get_client(sync_client=True) as opened:
        yield opened
