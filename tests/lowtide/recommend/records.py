"""Finished runs, as tests need them: ten epochs of an hour at noon, unless told otherwise."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from lowtide.advice import AdviceKind, Recommendation
from lowtide.checkpointing import best_interval_s
from lowtide.forecast import PastRun
from lowtide.job import TrainingJob, parse_job
from lowtide.legs import Capacity, LegEnd
from lowtide.prices import PriceBook
from lowtide.progress import EpochPoint, Progress, read_progress
from lowtide.recommend import Advice, PastLeg, RunRecord, recommend
from lowtide.steps import Outcome
from tests.lowtide.books import book

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR_S = 3600.0


def job(**changes: Any) -> TrainingJob:
    return parse_job({"name": "digits", "command": ["train"], "epochs": 10, **changes})


def rising(epochs: int) -> list[float]:
    """A metric that gets better to the last epoch."""
    return [0.5 + 0.4 * epoch / epochs for epoch in range(1, epochs + 1)]


def flat_from(epoch: int, epochs: int) -> list[float]:
    """A metric that rises to an epoch and stays there."""
    return [min(0.9, 0.5 + 0.4 * n / epoch) for n in range(1, epochs + 1)]


def progress(
    epoch_s: Sequence[float],
    *,
    values: Sequence[float] | None = None,
    start: datetime = NOON,
    of: TrainingJob | None = None,
) -> Progress:
    """The progress of one unbroken leg."""
    at, points = start, list[EpochPoint]()
    for epoch, (duration_s, value) in enumerate(
        zip(epoch_s, values or rising(len(epoch_s)), strict=True), 1
    ):
        at += timedelta(seconds=duration_s)
        points.append(EpochPoint(epoch=epoch, value=value, at=at))
    goal = "maximize" if of is None else of.metric.goal
    return read_progress(points, leg_starts=[start], epochs=None, goal=goal)


def record(
    *,
    epoch_s: Sequence[float] = (HOUR_S,) * 10,
    values: Sequence[float] | None = None,
    of: TrainingJob | None = None,
    start: datetime = NOON,
    capacity: Capacity = Capacity.ON_DEMAND,
    **more: Any,
) -> RunRecord:
    """A run of one leg that completed."""
    asked = of or job()
    leg = PastLeg(
        started_at=start,
        ended_at=start + timedelta(seconds=sum(epoch_s)),
        capacity=capacity,
        end=LegEnd.COMPLETED,
    )
    facts: dict[str, Any] = {
        "run": "r-000000000001",
        "job": asked,
        "outcome": Outcome.COMPLETED,
        "legs": (leg,),
        "progress": progress(epoch_s, values=values, start=start, of=asked),
        **more,
    }
    return RunRecord(**facts)


def advice(
    run: RunRecord, *, prices: PriceBook | None = None, history: Sequence[PastRun] = ()
) -> Advice:
    return recommend(run, book=prices or book(), history=history, best_interval_s=best_interval_s)


def found(of: Advice, kind: AdviceKind) -> list[Recommendation]:
    return [item for item in of.recommendations if item.kind is kind]


def only(of: Advice, kind: AdviceKind) -> Recommendation:
    (item,) = found(of, kind)
    return item
