"""Recorded spot capacity, played for legs of this machine: there, gone, and taken away."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from blocks.local.cluster import LocalCluster
from lowtide.backtest import Values
from lowtide.job import Where
from lowtide.legs import Capacity, LegEnd
from tests.blocks.local.rigs import LocalRig
from tests.fakes.runner_contract import RUN, Work

TICK_S = 1.0
LONG = Work(works_s=60.0)


def rig_playing(*there: int, home: Path) -> LocalRig:
    """Return a rig whose cluster plays a recording, a second a tick, from now on."""
    path = home / "zone.json"
    body = {"metadata": {"gap_seconds": 600.0}, "data": there}
    path.write_text(json.dumps(body), encoding="utf-8")
    rig = LocalRig(home)
    rig.runner = rig.cluster = LocalCluster(
        home=home / "legs",
        spot_trace=path,
        spot_values=Values.AVAILABLE,
        spot_speed=600.0 / TICK_S,
        spot_start=datetime.now(UTC),
    )
    return rig


@pytest.mark.slow
def test_a_leg_on_spot_is_preempted_when_the_recording_takes_its_capacity_away(
    tmp_path: Path,
) -> None:
    rig = rig_playing(1, *[0] * 1000, home=tmp_path)

    rig.start(LONG, capacity=Capacity.SPOT)
    ended = rig.ended()

    assert ended.end is LegEnd.PREEMPTED
    assert ended.measured


@pytest.mark.slow
def test_a_leg_on_demand_does_not_heed_the_recording(tmp_path: Path) -> None:
    rig = rig_playing(1, *[0] * 1000, home=tmp_path)

    rig.start(Work(works_s=2.5 * TICK_S), capacity=Capacity.ON_DEMAND)

    assert rig.ended().end is LegEnd.COMPLETED


def test_while_capacity_is_gone_no_leg_starts_on_it(tmp_path: Path) -> None:
    rig = rig_playing(*[0] * 1000, 1, home=tmp_path)

    rig.start(LONG, capacity=Capacity.SPOT)

    assert rig.runner.has_spot(Where.LOCAL, now=rig.now()) is False
    assert rig.status().phase == "waiting"
    assert rig.programs_started() == 0
    rig.runner.stop(RUN, 1)
    assert rig.ended().end is LegEnd.WITHDRAWN
