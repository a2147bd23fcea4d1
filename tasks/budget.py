"""The gate: money is set aside before anything is planned, or the run is refused."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from blocks.ledger import Hold
from blocks.world import World
from lowtide.announcements import EventName
from lowtide.approval import may_be_approved
from lowtide.job import CapacityAsk, OnRefusal, TrainingJob
from lowtide.ledger.records import RunState
from lowtide.legs import Capacity
from lowtide.limits import RUN_TIME_MIN, hold_price
from lowtide.money import quantize_usd, show_usd
from lowtide.prices import Demand, PriceUnknownError
from lowtide.verdict import RefusalReason, Refused
from tasks import log
from tasks.accept import promise
from tasks.announce import announce, announce_thresholds
from tasks.claim import Owned
from tasks.effect import effect
from tasks.forecast import Outlook, outlook, progress_of

ACTOR = "train"
# How long a leg may wait for its start before it is planned again, and how long a hold outlives
# the time it pays for before the sweeper may ask whether its leg is gone.
START_WITHIN = timedelta(minutes=10)
HOLD_SLACK = timedelta(minutes=10)


@effect(name="check_budget")
def check_budget(world: World, owned: Owned, *, may_ask: bool = False) -> Hold | Refused:
    """Set the run's upper forecast aside on every budget above it, or say what is short.

    Args:
        world: The outside world.
        owned: The run.
        may_ask: Whether a person can be asked where money is short and the job wants that: the
            run then waits for an approval instead of being refused.
    """
    verdict = hold_money(world, owned)
    if not isinstance(verdict, Refused):
        state, message = RunState.HELD, f"{show_usd(verdict.amount_usd)} held"
    elif may_ask and owned.job.on_refusal is OnRefusal.ASK and may_be_approved(verdict):
        state, message = RunState.AWAITING_APPROVAL, f"waits for an approval: {verdict.message}"
    else:
        state, message = RunState.REFUSED, f"{verdict.message}; {verdict.remedy}"
    world.ledger.set_run_state(
        owned.lease, owned.run, state=state, message=message, now=world.now()
    )
    if isinstance(verdict, Refused):
        announce(
            world,
            owned,
            EventName.RUN_REFUSED,
            occurrence=f"hold-{owned.lease.fencing}",
            body=refusal_body(verdict),
        )
    announce_thresholds(world)
    return verdict


def refusal_body(refused: Refused) -> dict[str, Any]:
    """Return a refusal as a document: what is short, why, and what to do about it."""
    return {
        "reason": refused.reason.value,
        "message": refused.message,
        "remedy": refused.remedy,
        "short_of": refused.budget,
        "gap_usd": None if refused.gap_usd is None else str(refused.gap_usd),
    }


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
    version = book.sheet_at(now).version
    ahead = outlook(world.ledger, job, book=book, capacity=Capacity.ON_DEMAND, now=now)
    if isinstance(ahead, Refused):
        return ahead
    late = promise(world, owned, ahead.time)
    if late is not None:
        return late
    duration = _planned(ahead)
    try:
        amount, _ = hold_price(
            book.pinned(version),
            Demand.of(job, dearest(job)),
            duration=duration,
            now=now,
            start_by=now + START_WITHIN,
            grace_s=job.checkpoint.grace_s,
        )
    except PriceUnknownError as error:
        return Refused(
            reason=RefusalReason.PRICE_UNKNOWN,
            message=str(error),
            remedy=error.remedy or "give the price book a price for that time",
        )
    return Need(amount_usd=quantize_usd(amount), duration=duration, price_version=version)


def hold_money(world: World, owned: Owned) -> Hold | Refused:
    """Set the run's upper forecast aside, or say what is short; nothing else is written down.

    Args:
        world: The outside world.
        owned: The run; its job's `budget.max_usd` bounds what is held.
    """
    need, job, now = need_of(world, owned), owned.job, world.now()
    if isinstance(need, Refused):
        return need
    cap_usd = job.budget.max_usd
    if cap_usd is not None and need.amount_usd > cap_usd:
        return Refused(
            reason=RefusalReason.JOB_LIMIT,
            gap_usd=need.amount_usd - cap_usd,
            message=(
                f"run {owned.run!r} may cost at most {show_usd(cap_usd)} by its job file, and its "
                f"upper forecast (P90) is {show_usd(need.amount_usd)}"
            ),
            remedy=f"raise budget.max_usd to {need.amount_usd}, or train fewer epochs",
        )
    return world.ledger.hold(
        key=f"{owned.run}/hold-{owned.lease.fencing}",
        run=owned.run,
        budget=job.budget.name,
        amount_usd=need.amount_usd,
        expires_at=now + START_WITHIN + need.duration + HOLD_SLACK,
        price_version=need.price_version,
        actor=ACTOR,
        reason=f"upper forecast of {job.epochs} epochs",
        now=now,
    )


def _planned(ahead: Outlook) -> timedelta:
    return max(timedelta(seconds=ahead.time.time_remaining_s.p90), RUN_TIME_MIN)


def fund_leg(world: World, owned: Owned, hold: Hold, *, number: int) -> Hold:
    """Return the hold, topped up to pay for what is left of the run, as far as there is money.

    The first leg runs on what `check_budget` held. A later one follows a leg that used a part of
    it, and may have lost work.

    Args:
        world: The outside world.
        owned: The run.
        hold: Its open hold.
        number: Number of the leg that is to start, from 1.
    """
    if number == 1:
        return hold
    job, now = owned.job, world.now()
    book = world.prices.book().pinned(hold.price_version)
    ahead = outlook(
        world.ledger,
        job,
        book=book,
        capacity=Capacity.ON_DEMAND,
        now=now,
        progress=progress_of(world, owned.run, job),
    )
    if isinstance(ahead, Refused):
        return hold
    duration = _planned(ahead)
    needed_usd, _ = hold_price(
        book,
        Demand.of(job, dearest(job)),
        duration=duration,
        now=now,
        start_by=now + START_WITHIN,
        grace_s=job.checkpoint.grace_s,
    )
    total_usd = hold.charged_usd + quantize_usd(needed_usd)
    if job.budget.max_usd is not None:
        total_usd = min(total_usd, job.budget.max_usd)
    if total_usd <= hold.amount_usd:
        return hold
    verdict = world.ledger.top_up(
        key=f"{owned.run}/leg-{number}/fund-{total_usd}",
        run=owned.run,
        amount_usd=total_usd - hold.amount_usd,
        expires_at=now + START_WITHIN + duration + HOLD_SLACK,
        actor=ACTOR,
        reason=f"what is left, for leg {number}",
        now=now,
    )
    if isinstance(verdict, Refused):
        log.warn(f"no more money for leg {number}: {verdict.message}")
        return hold
    return verdict
