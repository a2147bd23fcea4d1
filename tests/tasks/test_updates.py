"""What is told when an epoch has ended: only what changed, and once."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from blocks.ledger import Books, Hold, Lease, LegRow
from blocks.prices import Prices
from blocks.tracking import Tracking
from blocks.world import World
from lowtide.announcements import Announcement, EventName
from lowtide.forecast import TimeForecast, forecast_cost, forecast_time
from lowtide.legs import Capacity
from lowtide.prices import Demand, price
from lowtide.progress import Progress
from tasks.claim import Owned
from tasks.forecast import Outlook
from tasks.updates import Updates, standing_of
from tests.blocks.ledger.acts import NOON, held, set_tree
from tests.blocks.local.rigs import HandClock
from tests.fakes.events import NotedEvents
from tests.fakes.runner import FakeRunner
from tests.lowtide.recommend.records import HOUR_S, job, progress

RUN = "r-000000000001"
EPOCHS = 10


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    books = Books(url=f"sqlite:///{tmp_path / 'ledger.db'}")
    books.migrate()
    clock = HandClock()
    yield World(
        ledger=books,
        # Nobody answers there: what cannot be told to MLflow breaks nothing.
        tracking=Tracking(uri="http://127.0.0.1:9"),
        runner=FakeRunner(clock=clock),
        prices=Prices(),
        clock=clock,
        events=NotedEvents(),
        checkpoints=tmp_path,
        reports=tmp_path,
    )
    books.close()


class Rig:
    """A run of ten epochs of an hour by day, at 0.25 an hour, that holds three dollars."""

    def __init__(
        self,
        world: World,
        *,
        limit_usd: str = "10",
        max_usd: str | None = None,
        held_usd: str = "3",
    ) -> None:
        set_tree(
            world.ledger,
            {"name": "org", "limit_usd": 100, "period": "total"},
            {"name": "team", "limit_usd": limit_usd, "parent": "org", "period": "total"},
        )
        assert isinstance(world.ledger, Books)
        held(world.ledger, RUN, held_usd)
        lease = world.ledger.take_lease(RUN, owner="test", now=NOON)
        assert isinstance(lease, Lease)
        self.job = job(epochs=EPOCHS, budget={"name": "team", "max_usd": max_usd})
        self.world, self.owned = world, Owned(run=RUN, job=self.job, lease=lease)
        self.updates = Updates(world=world, owned=self.owned)
        self.version = world.prices.book().sheet_at(NOON).version
        world.ledger.open_leg(
            lease,
            leg=1,
            where="local",
            flavor="t4",
            capacity="on-demand",
            price_version=self.version,
            limit_s=36_000,
            start_by=NOON,
            now=NOON,
        )
        self.row: LegRow = world.ledger.update_leg(RUN, 1, started_at=NOON)

    def outlook(self, seen: Progress) -> Outlook:
        time = forecast_time(seen.epoch_s, epochs_total=EPOCHS)
        assert isinstance(time, TimeForecast)
        now = NOON + timedelta(seconds=sum(seen.epoch_s))
        book = self.world.prices.book().pinned(self.version)
        demand = Demand.of(self.job, Capacity.ON_DEMAND)
        cost = forecast_cost(
            time, price=lambda s: price(book, demand, start=now, end=now + timedelta(seconds=s))
        )
        return Outlook(time=time, cost_usd=cost, at=now)

    def tell(self, *epoch_s: float) -> None:
        seen = progress(epoch_s)
        self.updates.tell(self.row, seen, self.outlook(seen), hold=self.hold)

    @property
    def hold(self) -> Hold:
        hold = self.world.ledger.hold_of(RUN)
        assert hold is not None
        return hold

    def told(self, event: EventName) -> tuple[Announcement, ...]:
        assert isinstance(self.world.events, NotedEvents)
        return self.world.events.of(event)


def test_epochs_that_go_as_forecast_are_told_once(world: World) -> None:
    rig = Rig(world)

    for done in range(1, 9):
        rig.tell(*[HOUR_S / 2] * done)

    [update] = rig.told(EventName.FORECAST_UPDATED)
    assert update.body["epochs_done"] == 1
    assert update.body["total_usd"]["p50"] == "1.250000"
    assert update.body["breaches"] is False


def test_epochs_that_take_longer_are_told_with_the_whole_cost(world: World) -> None:
    rig = Rig(world)

    rig.tell(HOUR_S / 4)
    rig.tell(HOUR_S / 4, HOUR_S / 2, HOUR_S / 2)

    first, second = rig.told(EventName.FORECAST_UPDATED)
    assert Decimal(second.body["total_usd"]["p50"]) > Decimal(first.body["total_usd"]["p50"])
    assert second.resource == f"lowtide.run.{RUN}"


def test_the_same_epoch_told_again_by_another_process_has_the_same_id(world: World) -> None:
    rig = Rig(world)
    rig.tell(HOUR_S / 4)

    rig.updates = Updates(world=world, owned=rig.owned)
    rig.tell(HOUR_S / 4)

    assert len(rig.told(EventName.FORECAST_UPDATED)) == 1


def test_a_breach_is_told_when_it_is_first_seen_and_not_at_each_epoch(world: World) -> None:
    rig = Rig(world, limit_usd="3")

    for done in range(2, 6):
        rig.tell(*[2 * HOUR_S] * done)

    [breach] = rig.told(EventName.FORECAST_BREACH)
    assert breach.body["breaches"] is True
    assert breach.body["breach_probability"] > 0.5
    assert breach.body["limited_by"] == "budget team"


def test_a_verdict_that_changes_is_told_though_the_forecast_did_not_move(world: World) -> None:
    """The middle is 2.50, the upper end a little more than the 2.55 that it holds."""
    rig = Rig(world, held_usd="2.55")
    rig.tell(HOUR_S, HOUR_S)

    set_tree(
        world.ledger,
        {"name": "org", "limit_usd": 100, "period": "total"},
        {"name": "team", "limit_usd": 2.55, "parent": "org", "period": "total"},
    )
    rig.tell(HOUR_S, HOUR_S, HOUR_S)

    assert [each.body["breaches"] for each in rig.told(EventName.FORECAST_UPDATED)] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("limit_usd", "max_usd", "most", "by"),
    [
        ("10", None, "10", "budget team"),
        ("1000", None, "100", "budget org"),
        ("10", "4", "4", "the job's budget.max_usd"),
    ],
)
def test_the_tightest_limit_above_the_run_is_the_one_it_can_breach(
    limit_usd: str, max_usd: str | None, most: str, by: str, world: World
) -> None:
    rig = Rig(world, limit_usd=limit_usd, max_usd=max_usd)
    ahead = rig.outlook(progress([HOUR_S]))

    standing = standing_of(world, rig.owned, rig.row, ahead, hold=rig.hold)

    assert standing.limit_usd == Decimal(most)
    assert standing.limited_by == by
    assert standing.spent_usd == Decimal("0.25")
