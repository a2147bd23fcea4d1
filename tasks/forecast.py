"""What a run will still take and cost, from what is known now."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from blocks.history import past_runs
from blocks.ledger.book import Operations
from blocks.world import World
from lowtide.errors import UnavailableError
from lowtide.forecast import TimeForecast, forecast_cost, forecast_time
from lowtide.job import TrainingJob
from lowtide.legs import Capacity
from lowtide.money import UsdRange
from lowtide.prices import Demand, PriceBook, price
from lowtide.progress import Progress, read_progress
from lowtide.verdict import Refused
from tasks import log
from tasks.look import leg_starts


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What the run will still take and cost, had it to run from now on without a break.

    Attributes:
        time: What it will still take.
        cost_usd: What that will cost, US dollars.
        at: When this was known.
    """

    time: TimeForecast
    cost_usd: UsdRange
    at: datetime


def outlook(
    ledger: Operations,
    job: TrainingJob,
    *,
    book: PriceBook,
    capacity: Capacity,
    now: datetime,
    progress: Progress | None = None,
) -> Outlook | Refused:
    """Forecast a run's remaining time and cost.

    Args:
        ledger: Where past runs are.
        job: What is trained.
        book: The prices.
        capacity: On which terms it runs.
        now: The time.
        progress: How far it is; None before it started.

    Returns:
        The forecast, or why there can be none.
    """
    time = forecast_time(
        () if progress is None else progress.epoch_s,
        epochs_total=job.epochs,
        epochs_done=0 if progress is None else progress.epochs_done,
        warm_ups=(0,) if progress is None else progress.warm_ups,
        expected_epoch_s=job.expected_epoch_s,
        history=past_runs(ledger, job),
    )
    if isinstance(time, Refused):
        return time
    demand = Demand.of(job, capacity)

    def price_of(duration_s: float) -> Fraction:
        return price(book, demand, start=now, end=now + timedelta(seconds=duration_s))

    return Outlook(time=time, cost_usd=forecast_cost(time, price=price_of), at=now)


def progress_of(world: World, run: str, job: TrainingJob) -> Progress | None:
    """Return how far a run is.

    Args:
        world: Where its epochs are.
        run: Id of the run.
        job: What it trains.

    Returns:
        Its epochs; None when MLflow is silent or never heard of it. Then what was known goes on.
    """
    row = world.ledger.run(run)
    if row is None or row.mlflow_run_id is None:
        return None
    metric = job.metric
    try:
        points = world.tracking.history([row.mlflow_run_id], metric=metric.name)
    except UnavailableError as error:
        log.warn(f"epochs are not to be had: {error}")
        return None
    return read_progress(
        points[row.mlflow_run_id],
        leg_starts=leg_starts(world, run),
        epochs=job.epochs,
        goal=metric.goal,
    )
