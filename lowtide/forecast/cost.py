"""What the remaining time costs, and how likely that is more than there is."""

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from lowtide.forecast.remaining import TimeForecast
from lowtide.money import UsdRange, quantize_usd

_P90_DEVIATIONS = 1.2815515655446004
"""How many standard deviations above its mean a normal quantity's 90th percentile lies."""


class HasMiddle(Protocol):
    """Anything with a 50th percentile: a time, a cost."""

    @property
    def p50(self) -> float | Decimal:
        """The middle."""
        ...


def forecast_cost(time: TimeForecast, *, price: Callable[[float], Fraction]) -> UsdRange:
    """Price a remaining time along the planned schedule.

    Each percentile of the time is priced by itself: a longer run may reach into another tariff
    window, so cost is no multiple of time. It grows with it, so percentiles stay percentiles.

    Args:
        time: The remaining time.
        price: US dollars of the next so many seconds of the plan.

    Returns:
        The cost, US dollars.

    Examples:
        >>> from lowtide.forecast.remaining import forecast_time
        >>> time = forecast_time([], epochs_total=5, expected_epoch_s=18720)
        >>> forecast_cost(time, price=lambda s: Fraction(s) / 3600 / 4).p50
        Decimal('6.500000')
    """
    remaining_s = time.time_remaining_s
    return UsdRange(
        p10=quantize_usd(price(remaining_s.p10)),
        p50=quantize_usd(price(remaining_s.p50)),
        p90=quantize_usd(price(remaining_s.p90)),
    )


def moved(previous: HasMiddle | None, latest: HasMiddle, threshold: float = 0.05) -> bool:
    """Say whether a forecast's middle moved enough to tell anybody.

    Args:
        previous: What was told last; None: nothing yet.
        latest: What is forecast now.
        threshold: Share of the previous middle that counts as a move.

    Examples:
        >>> usd = lambda p50: UsdRange(p10=p50, p50=p50, p90=p50)
        >>> (
        ...     moved(usd(Decimal(100)), usd(Decimal(105))),
        ...     moved(usd(Decimal(100)), usd(Decimal(106))),
        ... )
        (False, True)
    """
    if previous is None:
        return True
    before, after = float(previous.p50), float(latest.p50)
    return abs(after - before) > threshold * abs(before)


def breach_probability(cost: UsdRange, *, budget_usd: Decimal) -> float:
    """Return the probability that the cost exceeds what there is.

    Between and beyond its three percentiles the cost is taken as normal, with one scale below the
    middle and another above it, so that each percentile has just its own probability.

    Args:
        cost: The forecast, US dollars.
        budget_usd: What there is, US dollars.

    Returns:
        A probability.

    Examples:
        >>> cost = UsdRange(p10=Decimal(8), p50=Decimal(10), p90=Decimal(15))
        >>> [round(breach_probability(cost, budget_usd=Decimal(b)), 3) for b in (8, 10, 15)]
        [0.9, 0.5, 0.1]
    """
    beyond_usd = budget_usd - cost.p50
    side_usd = cost.p90 - cost.p50 if beyond_usd >= 0 else cost.p50 - cost.p10
    if side_usd <= 0:
        return 0.0 if beyond_usd >= 0 else 1.0
    deviations = float(beyond_usd / side_usd) * _P90_DEVIATIONS
    return 0.5 * math.erfc(deviations / math.sqrt(2))
