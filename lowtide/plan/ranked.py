"""Gathers the options and puts them in order."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from lowtide.job import CapacityAsk
from lowtide.plan.drawn import spot_options
from lowtide.plan.known import now_option, off_peak_options
from lowtide.plan.records import Plan, PlanAsk, PlanOption

PATHS = 40
"""Futures that are drawn for each spot option."""


def make_plan(ask: PlanAsk, *, paths: int = PATHS, seed: int = 0) -> Plan:
    """Return the ways to run a job, ranked.

    Args:
        ask: The job.
        paths: Futures to draw for each spot option, >= 10.
        seed: The same seed draws the same futures, so the same job has the same plan.

    Examples:
        >>> from fractions import Fraction
        >>> from lowtide.forecast import Range
        >>> from lowtide.planning import Offer
        >>> from lowtide.prices import PricedSegment
        >>> def rate(start: str, end: str, usd_per_h: str) -> PricedSegment:
        ...     return PricedSegment(
        ...         start=datetime.fromisoformat(start),
        ...         end=datetime.fromisoformat(end),
        ...         window="",
        ...         version="",
        ...         usd_per_h=Fraction(usd_per_h),
        ...         usd=Fraction(0),
        ...     )
        >>> t4 = Offer(
        ...     name="t4",
        ...     rates=[
        ...         rate("2026-11-23T12:00:00Z", "2026-11-23T22:00:00Z", "0.25"),
        ...         rate("2026-11-23T22:00:00Z", "2026-11-24T06:00:00Z", "0.125"),
        ...     ],
        ... )
        >>> plan = make_plan(
        ...     PlanAsk(
        ...         time=Range(p10=10_800, p50=14_400, p90=18_000),
        ...         now=datetime.fromisoformat("2026-11-23T12:00:00Z"),
        ...         deadline=datetime.fromisoformat("2026-11-24T06:00:00Z"),
        ...         offers=[t4],
        ...     )
        ... )
        >>> [(option.kind.value, str(option.cost_usd.p50)) for option in plan.options]
        [('off-peak', '0.500000'), ('now', '1.000000')]
    """
    now = now_option(ask)
    options = [] if ask.terms is CapacityAsk.SPOT else [now]
    if ask.terms is not CapacityAsk.SPOT and not ask.urgent:
        options += off_peak_options(ask)
    if ask.spot is not None and ask.terms is not CapacityAsk.ON_DEMAND:
        options += spot_options(ask, ask.spot, paths=paths, seed=seed)
    base_usd = now.cost_usd.p50
    saving = [replace(one, saves_usd=base_usd - one.cost_usd.p50) for one in options]
    return Plan(ask=ask, options=tuple(sorted(saving, key=_order)))


def _order(option: PlanOption) -> tuple[bool, Decimal, datetime]:
    return not option.feasible, option.cost_usd.p50, option.finish.p50
