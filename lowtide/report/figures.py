"""What is worked out about one run: the counterfactual, the waste, the wait.

None of it is billed: the journal alone says what a run cost. These are estimates, named so wherever
they are shown.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from statistics import median
from typing import Any

from lowtide.errors import BadInputError
from lowtide.job import Priority
from lowtide.legs import Capacity
from lowtide.money import ZERO_USD, from_micro, quantize_usd
from lowtide.prices import Demand, PriceBook, PriceUnknownError, price_micro
from lowtide.prices.instants import MICROSECOND, SECOND_US
from lowtide.report.records import (
    NOTHING_WASTED,
    EpochSeen,
    LegFigures,
    RunFacts,
    RunFigures,
    Wasted,
)

_NOTHING_CAME_OF_IT = frozenset({"failed", "lost"})


def figures(facts: RunFacts, *, book: PriceBook | None) -> RunFigures:
    """Work out what can be said about a run.

    Args:
        facts: What the ledger knows.
        book: The prices; None: nobody knows them, and so no counterfactual.

    Returns:
        The run with its figures.
    """
    used_us, total = facts.used_us, facts.total_micro_usd
    lost = lost_s(facts.legs, facts.epochs) if facts.epochs else 0.0
    return RunFigures(
        facts,
        used_us,
        total,
        None if book is None else _counterfactual(facts, used_us, lost, book=book),
        _wasted(facts, used_us, total, lost),
        _waited_us(facts, used_us),
    )


def _counterfactual(facts: RunFacts, used_us: int, lost: float, *, book: PriceBook) -> int | None:
    """Return what a run's work would have cost on demand, at once and unbroken, micro-dollars.

    Args:
        facts: The run.
        used_us: Microseconds that it ran.
        lost: Seconds of it that were work done twice; an unbroken run does not have them.
        book: The prices.

    Returns:
        None where it has not ended, never ran, or has no known price.
    """
    if not facts.finished or not used_us:
        return None
    if lost:
        used_us = timedelta(seconds=max(used_us / SECOND_US - lost, 0.0)) // MICROSECOND
    first, start_us = facts.legs[0], facts.created_us
    try:
        pinned = book.pinned(first.price_version)
        demand = _demand(facts.document_json, first.flavor, facts.priority)
        return price_micro(pinned, demand, start_us=start_us, end_us=start_us + used_us)
    except (PriceUnknownError, BadInputError):
        return None


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

        >>> def leg(start_s: int, end_s: int) -> LegFigures:
        ...     return LegFigures("t4", "1", start_s * SECOND_US, end_s * SECOND_US, 1)
        >>> seen = [EpochSeen(at_us=s * SECOND_US, epoch_s=60) for s in (60, 360)]
        >>> lost_s([leg(0, 90), leg(300, 360)], seen)
        30.0
    """
    ran = [leg for leg in legs if leg.started_us is not None and leg.ended_us is not None]
    known = [epoch.epoch_s for epoch in epochs if epoch.epoch_s is not None]
    if len(ran) < 2 or not known:  # noqa: PLR2004 - one leg is not interrupted
        return 0.0
    typical_s = median(known)
    lost = 0.0
    for broken, following in pairwise(ran):
        before = max((e.at_us for e in epochs if e.at_us <= _end(broken)), default=_start(ran[0]))
        after = min(
            (e.at_us for e in epochs if e.at_us >= _start(following)), default=_end(ran[-1])
        )
        if before >= _start(broken):
            lost += max(_running_us(ran, before, after) / SECOND_US - typical_s, 0.0)
    return lost


def _wasted(facts: RunFacts, used_us: int, total: int, lost: float) -> Wasted:
    """Say what part of a run's money bought nothing.

    Args:
        facts: The run.
        used_us: Microseconds that it ran.
        total: What was charged for it in all, micro-dollars.
        lost: Seconds of work that it did twice.
    """
    idle = facts.gpu_utilization
    if facts.state in _NOTHING_CAME_OF_IT:
        return Wasted(failed_usd=from_micro(total))
    if idle is None and not lost:
        return NOTHING_WASTED
    total_usd, lost_usd = from_micro(total), ZERO_USD
    if used_us and lost:
        lost_usd = quantize_usd(total_usd * Decimal(lost / (used_us / SECOND_US)))
    return Wasted(
        lost_usd=lost_usd,
        idle_usd=None
        if idle is None
        else quantize_usd((total_usd - lost_usd) * Decimal(1 - idle)),
    )


def _waited_us(facts: RunFacts, used_us: int) -> int | None:
    """Return for how long a run was not finished and did not run; None: not started."""
    for leg in reversed(facts.legs):
        if leg.started_us is not None:
            return max((leg.ended_us or leg.started_us) - facts.created_us - used_us, 0)
    return None


# Many runs are of the same job: what it demands is then the same object, which caches find at once.
@lru_cache(maxsize=1024)
def _demand(document_json: str, flavor: str, priority: str) -> Demand:
    resources: Mapping[str, Any] = json.loads(document_json).get("resources") or {}
    return Demand(
        flavor=flavor,
        capacity=Capacity.ON_DEMAND,
        gpus=int(resources.get("gpus", 1)),
        cpus=Decimal(str(resources.get("cpus", 0))),
        memory_gib=Decimal(str(resources.get("memory_gib", 0))),
        priority=Priority(priority),
    )


def _running_us(legs: Sequence[LegFigures], start_us: int, end_us: int) -> int:
    return sum(max(min(_end(leg), end_us) - max(_start(leg), start_us), 0) for leg in legs)


def _start(leg: LegFigures) -> int:
    assert leg.started_us is not None  # noqa: S101 - only legs that ran come here
    return leg.started_us


def _end(leg: LegFigures) -> int:
    return leg.ended_us or _start(leg)
