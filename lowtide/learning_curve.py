"""Where a learning curve ends: one robust look ahead, for advice and never for an automatic kill.

Early on a smooth curve through the values says most; late, the best value so far does, because
schedules of the learning rate make jumps that no smooth curve foresees. The range is stated, not
computed from the fit: residuals of a smooth curve say nothing about a jump to come.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from lowtide.progress import Goal

_Floats: TypeAlias = NDArray[np.float64]

VALUES_MIN = 4
_LATE_SHARE = 0.5
_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_DOUBTS = (0.6, 0.4, 0.2, 0.12, 0.04, 0.0)
"""Doubt at these shares of the epochs, as a share of what the metric has moved so far.

Source: errors of such forecasts on recorded curves of three programs, rounded up.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveForecast:
    """The best value that a metric will have reached at the end.

    Attributes:
        p10: It is less in one case of ten.
        p50: The middle.
        p90: It is more in one case of ten.
        based_on: A curve through the values, or the best of them.
    """

    p10: float
    p50: float
    p90: float
    based_on: Literal["curve", "best-so-far"]


def forecast_best(
    values: Sequence[float | None], *, epochs: int, goal: Goal
) -> CurveForecast | None:
    """Forecast the best value that a metric will have reached after the last epoch.

    Args:
        values: The metric after each epoch so far; None where none was logged.
        epochs: Epochs of the whole run, at least as many as values.
        goal: Whether more or less of it is better.

    Returns:
        The forecast; None with fewer than `VALUES_MIN` values.

    Source:
        pow3 and exp3 of Domhan, Springenberg, Hutter (2015), "Speeding up Automatic Hyperparameter
        Optimization of Deep Neural Networks by Extrapolation of Learning Curves"; their mean.

    Examples:
        >>> curve = [0.9 - 0.5 / epoch for epoch in range(1, 11)]
        >>> forecast = forecast_best(curve, epochs=40, goal="maximize")
        >>> forecast.based_on, round(forecast.p50, 2)
        ('curve', 0.86)
    """
    at = np.array([epoch for epoch, value in enumerate(values, 1) if value is not None], float)
    if at.size < VALUES_MIN:
        return None
    sign = 1.0 if goal == "maximize" else -1.0
    seen = sign * np.array([value for value in values if value is not None])
    best, span = float(seen.max()), float(np.ptp(seen))
    share = min(1.0, len(values) / epochs)
    early = share < _LATE_SHARE and span > 0
    middle = max(best, _ahead(at, seen, epochs)) if early else best
    doubt = span * float(np.interp(share, _SHARES, _DOUBTS))
    # A best value so far is a floor: the best at the end cannot be worse.
    ends = sorted((sign * max(best, middle - doubt), sign * (middle + doubt)))
    return CurveForecast(
        p10=ends[0],
        p50=sign * middle,
        p90=ends[1],
        based_on="curve" if early else "best-so-far",
    )


def _ahead(at: _Floats, seen: _Floats, epochs: int) -> float:
    """Return the mean of two robust curves at the last epoch."""
    low, span = float(seen.min()), float(np.ptp(seen))
    scaled = (seen - low) / span
    curves: tuple[Callable[[_Floats, float], _Floats], ...] = (_power, _exponential)
    ends = [_fitted(curve, at, scaled, epochs) for curve in curves]
    return low + span * float(np.mean(ends))


def _power(at: _Floats, rate: float) -> _Floats:
    return np.power(at, -rate)


def _exponential(at: _Floats, rate: float) -> _Floats:
    return np.exp(-rate * at)


def _fitted(
    curve: Callable[[_Floats, float], _Floats], at: _Floats, scaled: _Floats, epochs: int
) -> float:
    """Fit end - drop * curve(epoch; rate) with a loss that forgives outliers; its last value."""

    def residuals(x: _Floats) -> _Floats:
        return x[0] - x[1] * curve(at, float(x[2])) - scaled

    fit = least_squares(
        residuals,
        x0=np.array([1.0, 1.0, 0.5 if curve is _power else 2 / at.size]),
        bounds=([0.0, 0.0, 1e-3], [2.0, 10.0, 5.0]),
        loss="soft_l1",
        f_scale=0.05,
    )
    end, drop, rate = (float(value) for value in fit.x)
    return end - drop * float(curve(np.array([float(epochs)]), rate)[0])
