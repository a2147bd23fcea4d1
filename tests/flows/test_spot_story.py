"""A training lives through a recording of spot capacity, on real processes of this machine."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from prefect.client.schemas.objects import State
from pydantic import PrivateAttr
from typing_extensions import override

from apps.answers import show_document
from blocks.ledger import Books
from blocks.ledger.book import Operations
from blocks.local.cluster import LocalCluster
from blocks.world import World
from flows.train import train
from lowtide.ask import TrainAsk
from lowtide.backtest import Values
from lowtide.events import EventKind
from lowtide.identity import run_id
from lowtide.job import Where
from lowtide.ledger.records import RunState
from lowtide.legs import Capacity, LegEnd, LegSpec, LegStatus
from tasks.decide import decided_again
from tasks.forecast import progress_of
from tests.flows.jobs import digits

pytestmark = [pytest.mark.stack, pytest.mark.slow]

# A recorded tick passes with four epochs: there for twelve epochs, gone, twice, then there for long.
GAP_S, EPOCHS_A_TICK = 600.0, 4
THERE = [1, 1, 1, 0, 1, 1, 1, 0, *[1] * 60, 0]
# In the future: what the recording takes away is taken when its turn comes, not by the clock.
FIRST_TICK = datetime(2100, 1, 1, tzinfo=UTC)


class ByEpochs(LocalCluster):
    """Plays the recording by the epochs that were seen of the run, however long they take."""

    _block_type_slug: ClassVar[str | None] = "by-epochs"
    _books: Operations | None = PrivateAttr(default=None)
    _ticks: int = PrivateAttr(default=0)
    _epochs: int = PrivateAttr(default=0)

    @override
    def start(self, spec: LegSpec, *, now: datetime) -> str:
        return super().start(spec, now=self._recorded())

    @override
    def has_spot(self, where: Where, *, now: datetime) -> bool | None:
        is_there = super().has_spot(where, now=self._recorded())
        # While capacity is gone no epoch passes: it is gone until somebody has seen that.
        self._ticks += 0 if is_there else 1
        return is_there

    @override
    def status(self, run: str, leg: int, *, now: datetime) -> LegStatus:
        assert self._books is not None
        row = self._books.legs(run)[leg - 1]
        if row.end is None and row.capacity is Capacity.SPOT:
            self._pass(seen=epochs_seen(self._books, run))
            if not super().has_spot(Where.LOCAL, now=self._recorded()):
                self.stop(run, leg, cause="preempt")
        return super().status(run, leg, now=now)

    def _pass(self, *, seen: int) -> None:
        """Let the ticks pass whose epochs were seen, up to the first without capacity."""
        while seen - self._epochs >= EPOCHS_A_TICK and THERE[self._ticks]:
            self._ticks += 1
            self._epochs += EPOCHS_A_TICK

    def _recorded(self) -> datetime:
        return FIRST_TICK + timedelta(seconds=self._ticks * GAP_S)


def epochs_seen(books: Operations, run: str) -> int:
    events = books.events(run, kind=EventKind.EPOCH)
    return max((int(event.key.rpartition("-")[2]) for event in events), default=0)


@pytest.fixture
def recorded(world: World, tmp_path: Path) -> World:
    trace = tmp_path / "zone.json"
    body = {"metadata": {"gap_seconds": GAP_S}, "data": THERE}
    trace.write_text(json.dumps(body), encoding="utf-8")
    runner = ByEpochs(
        home=tmp_path / "legs",
        spot_trace=trace,
        spot_values=Values.AVAILABLE,
        spot_start=FIRST_TICK,
    )
    runner._books = world.ledger
    return world.model_copy(update={"runner": runner})


@pytest.mark.timeout(480)
def test_digits_is_preempted_twice_resumes_and_costs_less_than_on_demand(
    recorded: World, tmp_path: Path
) -> None:
    key = f"spot-story-{tmp_path}"  # a run of its own, also where MLflow is kept between tests
    deadline = datetime.now(UTC) + timedelta(hours=1)
    job = digits(
        epochs=60,
        policy="uniform-progress",
        deadline=deadline.isoformat(),
        expected_epoch_s=1,
        params={"copies": 25, "hidden": 256},
    )

    state: State[Any] = train(TrainAsk(job=job, key=key), recorded, return_state=True)  # ty: ignore[no-matching-overload] - ty loses Prefect's parameters here

    assert state.is_completed(), state.message
    run = run_id(key)
    row = recorded.ledger.run(run)
    assert row is not None
    assert row.state is RunState.COMPLETED
    legs = recorded.ledger.legs(run)
    preempted = [leg for leg in legs if leg.end is LegEnd.PREEMPTED]
    assert len(preempted) == 2
    assert {leg.capacity for leg in preempted} == {Capacity.SPOT}
    assert legs[-1].ended_at is not None
    assert legs[-1].ended_at < deadline
    progress = progress_of(recorded, run, job)
    assert progress is not None
    # Each leg went on where the one before it had saved: no epoch was done twice.
    assert (progress.epochs_done, progress.redone_s) == (60, 0.0)
    # On demand it would have paid for its epochs at the least, on this very machine.
    charged_usd = sum((leg.charged_usd for leg in legs), Decimal(0))
    on_demand_usd = Decimal(sum(progress.epoch_s)) / 3600 * Decimal("0.25")
    assert charged_usd < on_demand_usd
    assert isinstance(recorded.ledger, Books)
    decisions = show_document(recorded.ledger, row)["decisions"]
    assert len(decisions) >= len(legs)
    for decision in decisions:
        again = decided_again(decision)
        assert again is not None
        assert (again.action.value, again.reason) == (decision["decision"], decision["reason"])
