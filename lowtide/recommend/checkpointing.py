"""Checkpoints: as often as their cost and the life of spot capacity ask for.

Saving too rarely loses work at each interruption, saving too often loses the time of saving. Where
capacity is taken away at random, once in M seconds on average, and a save takes C, a stretch of T
seconds of work takes M (exp((T + C) / M) - 1) seconds; per second of work that has one least value.
"""

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from lowtide.advice import AdviceKind
from lowtide.legs import Capacity
from lowtide.recommend.case import Case, Proposal, scaled, unchanged
from lowtide.words import show_duration

_WORTH_SHARE = 0.01


class BestInterval(Protocol):
    """The interval between checkpoints that wastes least."""

    def __call__(self, checkpoint_s: float, mean_lifetime_s: float) -> float:
        """Return seconds of work between two saves."""
        ...


def time_per_work(interval_s: float, *, checkpoint_s: float, lifetime_s: float) -> float:
    """Return the seconds that one second of work takes, saves and repeated work included.

    Args:
        interval_s: Seconds of work between two saves, > 0.
        checkpoint_s: Seconds of one save.
        lifetime_s: Mean seconds until the capacity is taken away.

    Source:
        Daly (2006), "A higher order estimate of the optimum checkpoint interval for restart dumps".

    Examples:
        >>> time_per_work(600, checkpoint_s=0, lifetime_s=1e9)
        1.0000003...
    """
    # A stretch that is never finished takes for ever; a large number says so without an overflow.
    exponent = min(50.0, (interval_s + checkpoint_s) / lifetime_s)
    return lifetime_s * math.expm1(exponent) / interval_s


def propose(case: Case, *, best_interval_s: BestInterval) -> Iterator[Proposal]:
    """Yield a better interval, and what was done twice for want of a checkpoint."""
    yield from _redone(case)
    yield from _interval(case, best_interval_s)


def _redone(case: Case) -> Iterator[Proposal]:
    redone_s = case.record.progress.redone_s
    share = redone_s / case.shape.duration_s if case.shape.duration_s > 0 else 0.0
    if share < _WORTH_SHARE:
        return
    yield Proposal(
        kind=AdviceKind.CHECKPOINTING,
        description=(
            f"{show_duration(redone_s)} of epochs were done again after interruptions: save a "
            "checkpoint on SIGTERM and resume from the newest one."
        ),
        likely=scaled(1 - share),
        cautious=scaled(1 - share / 2),
        hopeful=scaled(1 - share),
        confidence="high",
        confidence_reason="measured: these epochs were logged twice",
        evidence={"redone_s": redone_s, "legs": len(case.record.legs)},
        risk="resuming must restore the optimiser and the order of the data as well as the model",
        action=(
            f"make {' '.join(case.record.job.command)!r} resume from LOWTIDE_CHECKPOINT_DIR, "
            f"then {case.command()}"
        ),
    )


def _interval(case: Case, best_interval_s: BestInterval) -> Iterator[Proposal]:
    record = case.record
    interval, saves_s = record.job.checkpoint.interval, record.signals.checkpoint_s
    on_spot = any(stretch.capacity is Capacity.SPOT for stretch in case.shape.stretches)
    # `auto` is the best interval already.
    if interval == "auto" or not saves_s or not record.spot_lifetime_s or not on_spot:
        return
    checkpoint_s, lifetime_s = float(np.median(saves_s)), record.spot_lifetime_s
    if checkpoint_s <= 0:
        return
    best_s = best_interval_s(checkpoint_s, lifetime_s)
    now, then = (
        time_per_work(each_s, checkpoint_s=checkpoint_s, lifetime_s=lifetime_s)
        for each_s in (float(interval), best_s)
    )
    share = 1 - then / now
    if share < _WORTH_SHARE:
        return
    yield Proposal(
        kind=AdviceKind.CHECKPOINTING,
        description=(
            f"Save every {show_duration(best_s)} instead of every {show_duration(interval)}: a "
            f"save takes {show_duration(checkpoint_s)}, spot lives {show_duration(lifetime_s)}."
        ),
        likely=scaled(1 - share),
        cautious=unchanged,
        hopeful=scaled(1 - min(1.0, 2 * share)),
        confidence="medium",
        confidence_reason="save and lifetime were measured; when spot is taken away is chance",
        evidence={
            "checkpoint_s": checkpoint_s,
            "spot_lifetime_s": lifetime_s,
            "interval_s": float(interval),
            "best_interval_s": best_s,
            "time_per_work": now,
            "best_time_per_work": then,
        },
        risk="a run that is not interrupted gains or loses only the time of its saves",
        action=case.command(checkpoint__interval="auto"),
    )
