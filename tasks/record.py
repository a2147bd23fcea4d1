"""Gathers what is known of a run, as advice needs it: the ledger's part and the tracking's."""

import math

from blocks.world import World
from lowtide.errors import UnavailableError
from lowtide.job import TrainingJob
from lowtide.recommend import PastLeg, RunRecord, Signals
from lowtide.steps import Outcome
from tasks import log
from tasks.forecast import progress_of

_SIGNALS = {
    "throughput": "throughput",
    "gpu_utilization": "gpu_utilization",
    "noise_scale": "gradient_noise_scale",
    "checkpoint_s": "checkpoint_s",
}


def record_of(world: World, run: str, job: TrainingJob) -> RunRecord | None:
    """Return what is known of a run.

    Args:
        world: The outside world.
        run: Id of the run.
        job: What it trained.

    Returns:
        The record; None when MLflow is silent, for nothing can be said without the epochs.
    """
    row = world.ledger.run(run)
    progress = progress_of(world, run, job)
    if row is None or row.mlflow_run_id is None or progress is None:
        return None
    legs = world.ledger.legs(run)
    first = legs[0] if legs else None
    return RunRecord(
        run=run,
        job=job,
        outcome=Outcome(row.state.value) if row.state.value in set(Outcome) else None,
        legs=tuple(
            PastLeg(
                started_at=leg.started_at,
                ended_at=leg.ended_at,
                capacity=leg.capacity,
                end=leg.end,
                charged_usd=leg.charged_usd,
            )
            for leg in legs
            if leg.started_at is not None and leg.ended_at is not None
        ),
        progress=progress,
        signals=signals_of(world, row.mlflow_run_id),
        waited_s=None
        if first is None or first.started_at is None
        else first.queued_s(now=first.started_at),
    )


def signals_of(world: World, mlflow_run: str) -> Signals:
    """Return what a run logged beside its metric; nothing where MLflow is silent.

    Args:
        world: The outside world.
        mlflow_run: Id of the MLflow run.
    """

    def values(metric: str) -> tuple[float, ...]:
        points = world.tracking.history([mlflow_run], metric=metric)[mlflow_run]
        return tuple(point.value for point in points if math.isfinite(point.value))

    try:
        return Signals(**{field: values(metric) for field, metric in _SIGNALS.items()})
    except UnavailableError as error:
        log.warn(f"what else the run logged is not to be had: {error}")
        return Signals()
