"""Looks for a later start that there will be money for, where a job asks to be put off."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from blocks.world import World
from lowtide.another_start import Chance, Limit, Start, next_chance
from lowtide.approval import is_about_money
from lowtide.job import OnRefusal
from lowtide.ledger.periods import PeriodKind
from lowtide.ledger.states import path_to
from lowtide.legs import Capacity
from lowtide.money import ZERO_USD
from lowtide.prices import Demand, PriceBook, PriceUnknownError, segments
from lowtide.verdict import Refused
from tasks.claim import Owned
from tasks.forecast import outlook
from tasks.need import Need, dearest, need_at, planned

WAIT_MAX = timedelta(days=100)
"""No run waits longer for money; every quarter ends before."""

# Tariffs repeat weekly.
_LOOK_AHEAD = timedelta(days=8)
_STARTS_MAX = 500


def chance_of(world: World, owned: Owned, refused: Refused) -> Chance | Refused:
    """Say when a refused run is tried again, or why it is not.

    Args:
        world: The outside world.
        owned: The run; it holds nothing.
        refused: What the gate said.

    Returns:
        The next start that there will be money for. The refusal where the job does not ask for
        that, where waiting brings no money, or where it comes too late.
    """
    job, now = owned.job, world.now()
    if job.on_refusal is not OnRefusal.DEFER or not is_about_money(refused):
        return refused
    book = world.prices.book()
    ahead = outlook(world.ledger, job, book=book, capacity=Capacity.ON_DEMAND, now=now)
    if isinstance(ahead, Refused):
        return refused
    duration = planned(ahead)
    last_start, last_why = _last_start(world, owned, duration=duration)
    limits = tuple(_limits(world, owned, now=now))
    renewals = {limit.renewed_at for limit in limits if limit.renewed_at is not None}
    demand = Demand.of(job, dearest(job))
    moments = {
        edge
        for start in (now, *renewals)
        for edge in _edges(book.held(), demand, start=start, end=start + _LOOK_AHEAD)
    }
    later = sorted(moment for moment in moments | renewals if moment > now)[:_STARTS_MAX]
    needs = ((at, need_at(at, job, book=book, duration=duration)) for at in later)
    return next_chance(
        refused,
        limits=limits,
        starts=[
            Start(at=at, needed_usd=need.amount_usd)
            for at, need in needs
            if isinstance(need, Need)
        ],
        last_start=last_start,
        last_why=last_why,
    )


def _last_start(world: World, owned: Owned, *, duration: timedelta) -> tuple[datetime, str]:
    row = world.ledger.run(owned.run)
    asked_at = world.now() if row is None else row.created_at
    patience = asked_at + WAIT_MAX
    deadline = owned.job.deadline
    if deadline is not None and deadline - duration < patience:
        return deadline - duration, "its deadline needs a start"
    return patience, f"a run that waits {WAIT_MAX.days} days at most needs a start"


def _limits(world: World, owned: Owned, *, now: datetime) -> Iterator[Limit]:
    """Yield what limits the run: its job file, and the budgets from the root down."""
    cap_usd = owned.job.budget.max_usd
    if cap_usd is not None:
        yield Limit(name=f"run {owned.run!r}", left_usd=cap_usd, whole_usd=cap_usd)
    for state in path_to(world.ledger.budgets(now), owned.job.budget.name):
        if state.mode.blocks:
            yield Limit(
                name=f"budget {state.name!r}",
                left_usd=ZERO_USD if state.closed else state.available_usd,
                whole_usd=state.limit_usd - state.adjusted_usd,
                renewed_at=None if state.kind is PeriodKind.TOTAL else state.period.end,
            )


def _edges(book: PriceBook, demand: Demand, *, start: datetime, end: datetime) -> list[datetime]:
    """Return where the rate changes, as far as prices are known."""
    try:
        found = segments(book, demand, start=start, end=end)
    except PriceUnknownError as error:
        if error.at <= start:
            return []
        found = segments(book, demand, start=start, end=error.at)
    return [segment.start for segment in found[1:]]
