"""The gate: money is set aside before anything is planned, or the run is refused."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from blocks.ledger import Hold
from blocks.world import World
from lowtide.announcements import EventName
from lowtide.another_start import Chance
from lowtide.approval import is_about_money
from lowtide.job import OnRefusal
from lowtide.ledger.records import RunState
from lowtide.legs import Capacity
from lowtide.limits import hold_price
from lowtide.money import quantize_usd, show_usd
from lowtide.prices import Demand
from lowtide.verdict import RefusalReason, Refused
from tasks import log
from tasks.announce import announce, announce_thresholds
from tasks.chance import chance_of
from tasks.claim import Owned
from tasks.effect import effect
from tasks.forecast import outlook, progress_of
from tasks.need import START_WITHIN, dearest, need_of, planned

ACTOR = "train"
# How long a hold outlives the time it pays for before the sweeper may ask whether its leg is gone.
HOLD_SLACK = timedelta(minutes=10)


@effect(name="check_budget")
def check_budget(
    world: World, owned: Owned, *, may_ask: bool = False, may_wait: bool = False
) -> Hold | Chance | Refused:
    """Set the run's upper forecast aside on every budget above it, or say what is short.

    Args:
        world: The outside world.
        owned: The run.
        may_ask: Whether a person can be asked where money is short and the job wants that: the
            run then waits for an approval instead of being refused.
        may_wait: Whether the run can be put off where money is short and the job wants that.

    Returns:
        What is held; when the run is to be put off to, holding nothing; or the refusal.
    """
    verdict = hold_money(world, owned)
    if may_wait and isinstance(verdict, Refused):
        verdict = chance_of(world, owned, verdict)
    if isinstance(verdict, Hold):
        state, message = RunState.HELD, f"{show_usd(verdict.amount_usd)} held"
    elif isinstance(verdict, Chance):
        # Not deferred before somebody is there to start it again: until then it is as it was.
        state, message = RunState.CREATED, f"waits for money: {verdict.reason}"
    elif may_ask and owned.job.on_refusal is OnRefusal.ASK and is_about_money(verdict):
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
        return _beyond(owned, cap_usd=cap_usd, needed_usd=need.amount_usd)
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


def _beyond(owned: Owned, *, cap_usd: Decimal, needed_usd: Decimal) -> Refused:
    """Refuse a run that would cost more than its job file allows, or than those it shares with left."""
    upper = f"its upper forecast (P90) is {show_usd(needed_usd)}"
    if owned.shared is not None and owned.shared.left_usd() <= cap_usd:
        message = (
            f"{show_usd(cap_usd)} is left of {owned.shared.whose} money for run {owned.run!r}, "
            f"and {upper}"
        )
        remedy = f"give it {needed_usd - cap_usd} more, or train fewer epochs"
    else:
        message = (
            f"run {owned.run!r} may cost at most {show_usd(cap_usd)} by its job file, and {upper}"
        )
        remedy = f"raise budget.max_usd to {needed_usd}, or train fewer epochs"
    return Refused(
        reason=RefusalReason.JOB_LIMIT,
        gap_usd=needed_usd - cap_usd,
        message=message,
        remedy=remedy,
    )


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
    duration = planned(ahead)
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
    verdict = hold_more(
        world,
        owned,
        hold,
        to_usd=total_usd,
        key=f"leg-{number}/fund",
        expires_at=now + START_WITHIN + duration + HOLD_SLACK,
        actor=ACTOR,
        reason=f"what is left, for leg {number}",
    )
    if isinstance(verdict, Refused):
        log.warn(f"no more money for leg {number}: {verdict.message}")
        return hold
    return verdict


def hold_more(
    world: World,
    owned: Owned,
    hold: Hold,
    *,
    to_usd: Decimal,
    key: str,
    expires_at: datetime,
    actor: str,
    reason: str,
) -> Hold | Refused:
    """Raise a run's hold, as far as what it shares with other runs allows, or say what is short.

    Args:
        world: The outside world.
        owned: The run.
        hold: Its open hold.
        to_usd: What it is to hold in all, charged or not.
        key: What the money is for.
        expires_at: Until when it is held.
        actor: Who does it, for the journal.
        reason: Why, for the journal.
    """
    now = world.now()

    def take(total_usd: Decimal) -> Hold | Refused:
        # A hold may rise to the same sum again after it fell. What it is now says what is missing,
        # not the key: who dies here finds the risen hold, and takes nothing twice.
        return world.ledger.top_up(
            key=f"{owned.run}/{key}-to-{total_usd}-at-{now.isoformat()}",
            run=owned.run,
            amount_usd=total_usd - hold.amount_usd,
            expires_at=expires_at,
            actor=actor,
            reason=reason,
            now=now,
        )

    if owned.shared is None:
        return take(to_usd)
    more_usd = to_usd - hold.amount_usd
    with owned.shared.left() as left_usd:
        if left_usd > 0:
            return take(hold.amount_usd + min(more_usd, left_usd))
    return Refused(
        reason=RefusalReason.JOB_LIMIT,
        gap_usd=more_usd,
        message=f"{owned.shared.whose} money is all used or held",
        remedy="give it more money, or fewer runs at once",
    )
