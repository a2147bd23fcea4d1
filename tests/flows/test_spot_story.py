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
from blocks.local.cluster import LocalCluster
from blocks.world import World
from flows.train import train
from lowtide.ask import TrainAsk
from lowtide.backtest import Values
from lowtide.identity import run_id
from lowtide.job import Where
from lowtide.ledger.records import RunState
from lowtide.legs import Capacity, LegEnd, LegSpec
from tasks.decide import decided_again
from tasks.forecast import progress_of
from tests.flows.jobs import digits

pytestmark = [pytest.mark.stack, pytest.mark.slow]

# Ten recorded minutes pass in four seconds: there for 12 s, gone for 4 s, twice, then there for long.
GAP_S, TICK_S = 600.0, 4.0
THERE = [1, 1, 1, 0, 1, 1, 1, 0, *[1] * 60, 0]


class FromItsFirstLeg(LocalCluster):
    """Plays the recording from the moment of the first leg, however long its flow took to start."""

    _block_type_slug: ClassVar[str | None] = "from-its-first-leg"
    _began: bool = PrivateAttr(default=False)

    @override
    def start(self, spec: LegSpec, *, now: datetime) -> str:
        if not self._began:
            self._began = True
            self.spot_start, self._played = now, None
        return super().start(spec, now=now)

    @override
    def has_spot(self, where: Where, *, now: datetime) -> bool | None:
        return super().has_spot(where, now=now) if self._began else True


@pytest.fixture
def recorded(world: World, tmp_path: Path) -> World:
    trace = tmp_path / "zone.json"
    body = {"metadata": {"gap_seconds": GAP_S}, "data": THERE}
    trace.write_text(json.dumps(body), encoding="utf-8")
    runner = FromItsFirstLeg(
        home=tmp_path / "legs",
        spot_trace=trace,
        spot_values=Values.AVAILABLE,
        spot_speed=GAP_S / TICK_S,
    )
    return world.model_copy(update={"runner": runner})


@pytest.mark.timeout(480)
@pytest.mark.xfail(
    strict=False,
    reason="its preemptions follow the wall clock: not seen twice in every run on a busy machine",
)
def test_digits_is_preempted_twice_resumes_and_costs_less_than_on_demand(
    recorded: World, tmp_path: Path
) -> None:
    key = f"spot-story-{tmp_path}"  # a run of its own, also where MLflow is kept between tests
    deadline = datetime.now(UTC) + timedelta(minutes=20)
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
    assert len(preempted) >= 2
    assert {leg.capacity for leg in preempted} == {Capacity.SPOT}
    assert legs[-1].ended_at is not None
    assert legs[-1].ended_at < deadline
    progress = progress_of(recorded, run, job)
    assert progress is not None
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
