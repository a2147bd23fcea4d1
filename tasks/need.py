"""What a run has to hold before it may start: its upper forecast, at the dearest start allowed."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from blocks.world import World
from lowtide.job import CapacityAsk, TrainingJob
from lowtide.legs import Capacity
from lowtide.limits import RUN_TIME_MIN, hold_price
from lowtide.money import quantize_usd
from lowtide.prices import Demand, PriceBook, PriceUnknownError
from lowtide.verdict import RefusalReason, Refused
from tasks.accept import promise
from tasks.claim import Owned
from tasks.forecast import Outlook, outlook

# How long a leg may wait for its start before it is planned again.
START_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a run has to hold before it may start.

    Attributes:
        amount_usd: Its upper forecast, at the dearest start still allowed.
        duration: How long it runs, by the upper forecast.
        price_version: Price-book version that it is billed by.
    """

    amount_usd: Decimal
    duration: timedelta
    price_version: str


def dearest(job: TrainingJob) -> Capacity:
    """Return the dearest terms that a job accepts: what it may have to pay for."""
    return Capacity.SPOT if job.capacity is CapacityAsk.SPOT else Capacity.ON_DEMAND


def need_of(world: World, owned: Owned) -> Need | Refused:
    """Work out what a run has to hold, or say why nobody can."""
    job, now = owned.job, world.now()
    book = world.prices.book()
    ahead = outlook(world.ledger, job, book=book, capacity=Capacity.ON_DEMAND, now=now)
    if isinstance(ahead, Refused):
        return ahead
    late = promise(world, owned, ahead.time)
    if late is not None:
        return late
    return need_at(now, job, book=book, duration=planned(ahead))


def need_at(
    start: datetime, job: TrainingJob, *, book: PriceBook, duration: timedelta
) -> Need | Refused:
    """Work out what a run has to hold if it starts at a given time, now or later.

    Args:
        start: When; aware.
        job: What is trained.
        book: The prices.
        duration: How long it runs, by the upper forecast.

    Returns:
        The need; a refusal where that time has no price.
    """
    try:
        version = book.sheet_at(start).version
        amount, _ = hold_price(
            book.pinned(version),
            Demand.of(job, dearest(job)),
            duration=duration,
            now=start,
            start_by=start + START_WITHIN,
            grace_s=job.checkpoint.grace_s,
        )
    except PriceUnknownError as error:
        return Refused(
            reason=RefusalReason.PRICE_UNKNOWN,
            message=str(error),
            remedy=error.remedy or "give the price book a price for that time",
        )
    return Need(amount_usd=quantize_usd(amount), duration=duration, price_version=version)


def planned(ahead: Outlook) -> timedelta:
    """Return how long a run is planned for: its upper forecast, and no less than a start takes."""
    return max(timedelta(seconds=ahead.time.time_remaining_s.p90), RUN_TIME_MIN)
