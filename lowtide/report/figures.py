"""What is worked out about one run: the counterfactual, the waste, the wait.

None of it is billed: the journal alone says what a run cost. These are estimates, named so wherever
they are shown.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from statistics import median
from typing import Any

from lowtide.errors import BadInputError
from lowtide.job import Priority
from lowtide.legs import Capacity
from lowtide.money import ZERO_USD, quantize_usd
from lowtide.prices import Demand, PriceBook, PriceUnknownError, price
from lowtide.report.records import EpochSeen, LegFigures, RunFacts, RunFigures, Wasted

_NOTHING_CAME_OF_IT = frozenset({"failed", "lost"})


def figures(facts: RunFacts, *, book: PriceBook | None) -> RunFigures:
    """Work out what can be said about a run.

    Args:
        facts: What the ledger knows.
        book: The prices; None: nobody knows them, and so no counterfactual.

    Returns:
        The run with its figures.
    """
    lost = lost_s(facts.legs, facts.epochs)
    return RunFigures(
        facts=facts,
        counterfactual_usd=None if book is None else counterfactual_usd(facts, lost, book=book),
        wasted=wasted(facts, lost),
        waited_s=waited_s(facts),
    )


def counterfactual_usd(facts: RunFacts, lost: float, *, book: PriceBook) -> Decimal | None:
    """Return what a run's work would have cost on demand, at once and unbroken.

    Args:
        facts: The run.
        lost: Seconds of it that were work done twice; an unbroken run does not have them.
        book: The prices.

    Returns:
        US dollars; None where it has not ended, never ran, or has no known price.
    """
    if not facts.finished or not facts.used_s:
        return None
    duration = timedelta(seconds=max(facts.used_s - lost, 0.0))
    start = facts.created_at
    try:
        pinned = book.pinned(facts.legs[0].price_version)
        exact = price(pinned, _demand(facts), start=start, end=start + duration)
    except (PriceUnknownError, BadInputError):
        return None
    return quantize_usd(exact)


def lost_s(legs: Sequence[LegFigures], epochs: Sequence[EpochSeen]) -> float:
    """Estimate the seconds of work that interruptions made a run do twice.

    From one epoch's end to the next, a run that is not interrupted runs for one epoch. Whatever it
    ran longer across an interruption was lost: an unsaved part of an epoch, epochs done again where
    there was no checkpoint, and starting again.

    Args:
        legs: Its legs, oldest first.
        epochs: The epochs that were seen to end, oldest first.

    Returns:
        Seconds; 0 where nothing was interrupted or too little was seen.

    Examples:
        Half of the second epoch is lost at 1:30 and done again:

        >>> from datetime import UTC
        >>> from lowtide.legs import LegEnd
        >>> noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
        >>> def leg(number: int, start_s: int, end_s: int) -> LegFigures:
        ...     return LegFigures(
        ...         leg=number,
        ...         flavor="t4",
        ...         capacity=Capacity.SPOT,
        ...         price_version="1",
        ...         started_at=noon + timedelta(seconds=start_s),
        ...         ended_at=noon + timedelta(seconds=end_s),
        ...         end=LegEnd.PREEMPTED,
        ...         charged_usd=Decimal(1),
        ...     )
        >>> seen = [EpochSeen(at=noon + timedelta(seconds=s), epoch_s=60) for s in (60, 360)]
        >>> lost_s([leg(1, 0, 90), leg(2, 300, 360)], seen)
        30.0
    """
    ran = [leg for leg in legs if leg.started_at is not None and leg.ended_at is not None]
    known = [epoch.epoch_s for epoch in epochs if epoch.epoch_s is not None]
    if len(ran) < 2 or not known:  # noqa: PLR2004 - one leg is not interrupted
        return 0.0
    typical_s = median(known)
    lost = 0.0
    for broken, following in pairwise(ran):
        before = max((e.at for e in epochs if e.at <= _end(broken)), default=_start(ran[0]))
        after = min((e.at for e in epochs if e.at >= _start(following)), default=_end(ran[-1]))
        if before >= _start(broken):
            lost += max(_running_s(ran, before, after) - typical_s, 0.0)
    return lost


def wasted(facts: RunFacts, lost: float) -> Wasted:
    """Say what part of a run's money bought nothing.

    Args:
        facts: The run.
        lost: Seconds of work that it did twice.
    """
    total, idle = facts.total_usd, facts.gpu_utilization
    if facts.state in _NOTHING_CAME_OF_IT:
        return Wasted(failed_usd=total)
    used = facts.used_s if lost else 0.0
    lost_usd = quantize_usd(total * Decimal(lost / used)) if used and lost else ZERO_USD
    return Wasted(
        lost_usd=lost_usd,
        idle_usd=None if idle is None else quantize_usd((total - lost_usd) * Decimal(1 - idle)),
    )


def waited_s(facts: RunFacts) -> float | None:
    """Return the seconds in which a run was not finished and did not run; None: not started."""
    ran = [leg for leg in facts.legs if leg.started_at is not None]
    if not ran:
        return None
    until = ran[-1].ended_at or _start(ran[-1])
    return max((until - facts.created_at).total_seconds() - facts.used_s, 0.0)


def _demand(facts: RunFacts) -> Demand:
    resources: Mapping[str, Any] = facts.document.get("resources") or {}
    return Demand(
        flavor=facts.legs[0].flavor,
        capacity=Capacity.ON_DEMAND,
        gpus=int(resources.get("gpus", 1)),
        cpus=Decimal(str(resources.get("cpus", 0))),
        memory_gib=Decimal(str(resources.get("memory_gib", 0))),
        priority=Priority(facts.priority),
    )


def _running_s(legs: Sequence[LegFigures], start: datetime, end: datetime) -> float:
    return sum(
        max((min(_end(leg), end) - max(_start(leg), start)).total_seconds(), 0.0) for leg in legs
    )


def _start(leg: LegFigures) -> datetime:
    assert leg.started_at is not None  # noqa: S101 - only legs that ran come here
    return leg.started_at


def _end(leg: LegFigures) -> datetime:
    return leg.ended_at or _start(leg)
