from datetime import timedelta
from decimal import Decimal

import pytest

from lowtide.advice import AdviceKind
from lowtide.legs import Capacity
from lowtide.progress import EpochPoint, read_progress
from lowtide.recommend import PastLeg, RunRecord, Signals
from lowtide.recommend.checkpointing import time_per_work
from tests.lowtide.recommend.records import HOUR_S, NOON, advice, found, job, only, record

KIND = AdviceKind.CHECKPOINTING


def on_spot(
    *, interval: str | int = 3600, lifetime_s: float | None = 4 * HOUR_S, saves_s: float = 10.0
) -> RunRecord:
    return record(
        of=job(checkpoint={"interval": interval}),
        capacity=Capacity.SPOT,
        spot_lifetime_s=lifetime_s,
        signals=Signals(checkpoint_s=(saves_s,) * 10 if saves_s else ()),
    )


def test_an_hour_between_cheap_saves_is_too_long_on_spot() -> None:
    item = only(advice(on_spot()), KIND)

    assert item.evidence["best_interval_s"] == pytest.approx(
        (2 * 10 * 4 * HOUR_S) ** 0.5, rel=0.02
    )
    assert item.evidence["time_per_work"] > item.evidence["best_time_per_work"]
    assert 0 == item.saving_usd.p10 < item.saving_usd.p50 < item.saving_usd.p90
    assert item.action == "lowtide train r-000000000001 --set checkpoint.interval=auto"


@pytest.mark.parametrize(
    "run",
    [
        on_spot(interval="auto"),
        on_spot(interval=540),
        on_spot(lifetime_s=None),
        on_spot(saves_s=0),
        record(of=job(checkpoint={"interval": 3600}), spot_lifetime_s=4 * HOUR_S,
               signals=Signals(checkpoint_s=(10.0,))),
        record(of=job(checkpoint={"interval": 3600}), spot_lifetime_s=4 * HOUR_S,
               capacity=Capacity.SPOT, signals=Signals(checkpoint_s=(0.0,))),
    ],
    ids=[
        "auto is the best already", "it is about right", "the lifetime is unknown",
        "the cost of a save is unknown", "nobody takes it away on demand", "a save costs nothing",
    ],
)  # fmt: skip
def test_otherwise_the_interval_is_left_alone(run: RunRecord) -> None:
    assert found(advice(run), KIND) == []


def test_a_program_that_starts_again_is_told_what_that_cost() -> None:
    """Five hours done, taken away, all done again: half of the ten hours."""
    points = [
        EpochPoint(epoch=epoch, value=0.5, at=NOON + timedelta(hours=hour))
        for epoch, hour in [*((n, n) for n in range(1, 6)), *((n, 6 + n) for n in range(1, 6))]
    ]
    starts = [NOON, NOON + timedelta(hours=6)]
    run = record(
        legs=tuple(
            PastLeg(started_at=start, ended_at=start + timedelta(hours=5)) for start in starts
        ),
        progress=read_progress(points, leg_starts=starts, epochs=10, goal="maximize"),
    )

    item = only(advice(run), KIND)

    assert item.evidence["redone_s"] == 5 * HOUR_S
    assert item.confidence == "high"
    assert item.saving_usd.p50 > Decimal("0.9")
    assert "done again" in item.description
    assert only(advice(run), AdviceKind.SPOT).confidence == "low"


def test_a_save_that_never_fits_takes_for_ever_without_an_overflow() -> None:
    assert time_per_work(1e9, checkpoint_s=10, lifetime_s=60) > 1e10


@pytest.mark.parametrize("lifetime_s", [3600.0, 14_400.0])
@pytest.mark.parametrize("checkpoint_s", [5.0, 60.0])
def test_the_least_time_per_work_lies_near_youngs_interval(
    checkpoint_s: float, lifetime_s: float
) -> None:
    """By search over whole seconds, without the formula."""
    best = min(
        range(1, 5000),
        key=lambda s: time_per_work(s, checkpoint_s=checkpoint_s, lifetime_s=lifetime_s),
    )

    assert best == pytest.approx((2 * checkpoint_s * lifetime_s) ** 0.5, rel=0.15)
