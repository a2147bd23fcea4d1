"""Turns a job, a price book and past runs into what a plan is made from."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from lowtide.changeover import changeover_of
from lowtide.forecast import PastRun, Range, unstarted
from lowtide.job import CapacityAsk, Priority, TrainingJob
from lowtide.legs import Capacity
from lowtide.limits import SKEW_S
from lowtide.plan.records import PlanAsk, Spot, horizon_of
from lowtide.planning import Offer
from lowtide.policy import PRIOR, Zone
from lowtide.prices import Demand, PriceBook, PriceUnknownError, segments
from lowtide.verdict import RefusalReason, Refused


def plan_ask(
    job: TrainingJob,
    *,
    book: PriceBook,
    now: datetime,
    budget_usd: Decimal | None = None,
    history: Sequence[PastRun] = (),
    zone: Zone = PRIOR,
) -> PlanAsk | Refused:
    """Return what a plan of a job that has not started needs, or why there can be none.

    Args:
        job: What is to be trained.
        book: The prices.
        now: Aware.
        budget_usd: What there is, US dollars; None: no limit.
        history: Past runs, newest first.
        zone: How spot capacity comes and goes.

    Raises:
        BadInputError: the book does not have the flavor, or not on the terms that the job accepts.
    """
    known = unstarted(job, history=history)
    if isinstance(known, Refused):
        return known
    forecast = known.time(epochs=job.epochs, batch_size=job.batch_size)
    try:
        return _ask(
            job,
            book,
            time=forecast.time_remaining_s,
            epoch_s=forecast.epoch_s.p50,
            now=now,
            budget_usd=budget_usd,
            zone=zone,
        )
    except PriceUnknownError as error:
        return Refused(
            reason=RefusalReason.PRICE_UNKNOWN,
            message=error.message,
            remedy=error.remedy or "complete the price book",
        )


def _ask(
    job: TrainingJob,
    book: PriceBook,
    *,
    time: Range,
    epoch_s: float,
    now: datetime,
    budget_usd: Decimal | None,
    zone: Zone,
) -> PlanAsk:
    until = horizon_of(time, now=now, deadline=job.deadline)
    rates = segments(book, Demand.of(job, Capacity.ON_DEMAND), start=now, end=until)
    return PlanAsk(
        time=time,
        now=now,
        offers=[Offer(name=job.resources.flavor, rates=rates)],
        deadline=job.deadline,
        budget_usd=budget_usd,
        spot=_spot(job, book, now=now, zone=zone),
        terms=job.capacity,
        urgent=job.priority is Priority.URGENT,
        changeover_s=changeover_of(job.where, epoch_s=epoch_s).usual_s,
        margin_s=job.checkpoint.grace_s + SKEW_S,
    )


def _spot(job: TrainingJob, book: PriceBook, *, now: datetime, zone: Zone) -> Spot | None:
    is_sold = book.flavor(job.resources.flavor).spot is not None
    if job.capacity is CapacityAsk.ON_DEMAND or not (is_sold or job.capacity is CapacityAsk.SPOT):
        return None
    soon = now + timedelta(seconds=1)
    present = segments(book, Demand.of(job, Capacity.SPOT), start=now, end=soon)[0]
    return Spot(usd_per_h=present.usd_per_h, zone=zone)
