"""Spot: its price, less what interruptions cost this run."""

import math
from collections.abc import Iterator

from lowtide.advice import AdviceKind
from lowtide.legs import Capacity
from lowtide.prices import Flavor
from lowtide.recommend.case import Case, Change, Proposal
from lowtide.recommend.shape import Shape
from lowtide.words import show_duration


def propose(case: Case) -> Iterator[Proposal]:
    """Yield spot where it is offered, was not used, and its interruptions are known."""
    flavor = case.book.flavor(case.record.job.resources.flavor)
    if flavor.spot is None or not _ran_on_demand(case):
        return
    interruptions = _interruptions(case, flavor)
    lost_s = _lost_s(case)
    if interruptions is None or lost_s is None:
        return
    likely_s = interruptions * lost_s
    # At least one, so that the worse case is never the case of no interruption at all.
    worse_s = max(1, _poisson_p90(interruptions)) * lost_s
    yield Proposal(
        kind=AdviceKind.SPOT,
        description=(
            f"Run it on spot: {interruptions:.2g} interruptions to expect, "
            f"each losing {show_duration(lost_s)}."
        ),
        likely=_on_spot(likely_s),
        cautious=_on_spot(worse_s),
        hopeful=_on_spot(0.0),
        confidence="medium" if case.record.progress.redone_s == 0 else "low",
        confidence_reason=(
            "the prices are exact; how often spot is taken away is the book's figure"
            if case.record.spot_lifetime_s is None
            else "the prices are exact; how long spot lives was measured"
        )
        + (
            ""
            if case.record.progress.redone_s == 0
            else "; but this program did work again after an interruption"
        ),
        evidence={
            "duration_s": case.shape.duration_s,
            "interruption_rate": (
                None if flavor.interruption_rate is None else float(flavor.interruption_rate)
            ),
            "spot_lifetime_s": case.record.spot_lifetime_s,
            "interruptions": interruptions,
            "lost_s_each": lost_s,
            "restart_s": case.restart_s,
        },
        risk=(
            "an interrupted run finishes later, and a program that does not resume from a "
            "checkpoint starts again"
        ),
        action=case.command(capacity="spot"),
    )


def _ran_on_demand(case: Case) -> bool:
    return any(
        stretch.capacity is Capacity.ON_DEMAND and stretch.duration_s > 0
        for stretch in case.shape.stretches
    )


def _interruptions(case: Case, flavor: Flavor) -> float | None:
    """Return how many interruptions to expect, from the measured lifetime or the book's rate."""
    if case.record.spot_lifetime_s:
        return case.shape.duration_s / case.record.spot_lifetime_s
    rate = flavor.interruption_rate
    # The rate is the share of runs with at least one.
    return None if rate is None or rate >= 1 else -math.log1p(-float(rate))


def _lost_s(case: Case) -> float | None:
    """Return what one interruption costs this run: its restart, and the work since the save."""
    progress, interval = case.record.progress, case.record.job.checkpoint.interval
    if case.restart_s is None or case.typical_epoch_s is None:
        return None
    interrupted = len(progress.warm_ups) - 1
    if progress.redone_s > 0 and interrupted > 0:
        return case.restart_s + progress.redone_s / interrupted
    between_s = case.typical_epoch_s if interval == "auto" else interval
    return case.restart_s + between_s / 2


def _poisson_p90(mean: float) -> int:
    """Return the 90th percentile of a Poisson distribution, searched up to what it can be."""
    term = total = math.exp(-mean)
    for count in range(1, int(10 * mean) + 10):
        if total >= 0.9:  # noqa: PLR2004 - the percentile that the name says
            return count - 1
        term *= mean / count
        total += term
    return math.ceil(mean)


def _on_spot(longer_s: float) -> Change:
    def change(shape: Shape) -> Shape:
        return shape.longer(longer_s).on_spot()

    return change
