"""The time that a run still takes, from the best evidence there is.

Its own finished epochs; before the first, past runs of the same job; without those, what the job
says itself. Where none is there, there is no forecast: an unknown time is never taken for none.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from lowtide.errors import BadInputError
from lowtide.forecast.calibration import RUNS_MIN, PastErrors, PastRun, past_errors
from lowtide.forecast.pace import Pace, pace
from lowtide.forecast.ranges import Range
from lowtide.verdict import RefusalReason, Refused

BasedOn: TypeAlias = Literal["epochs", "history", "expected"]

UNCALIBRATED_SCALES = 6.0
"""P10 and P90 lie so many scales off while past runs are too few to know."""
UNMEASURED_FACTOR = 1.5
"""P90 over P50, and P50 over P10, where no epoch of the run was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeForecast:
    """What a run still takes.

    Attributes:
        epochs_done: Epochs finished.
        epochs_remaining: Epochs still to come.
        epoch_s: Mean of the epochs still to come, seconds.
        time_remaining_s: Their sum, seconds.
        calibrated: Whether the range comes from the errors on past runs, or from a stated factor.
        based_on: What the middle comes from.
        explanation: Both in one sentence for a person.
    """

    epochs_done: int
    epochs_remaining: int
    epoch_s: Range
    time_remaining_s: Range
    calibrated: bool
    based_on: BasedOn
    explanation: str


def forecast_time(
    progress_epoch_s: Sequence[float],
    *,
    epochs_total: int,
    expected_epoch_s: float | None = None,
    history: Sequence[PastRun] = (),
    epochs_done: int | None = None,
    warm_ups: Sequence[int] = (0,),
    slow_every: int | None = None,
) -> TimeForecast | Refused:
    """Forecast the time that a run still takes.

    Args:
        progress_epoch_s: Seconds of each finished epoch, oldest first, finite and >= 0.
        epochs_total: Epochs of the job, >= 1.
        expected_epoch_s: Seconds of one epoch as the job states it.
        history: Past runs, newest first.
        epochs_done: Epochs finished; None: as many as have a duration.
        warm_ups: Positions of the epochs that a leg began with.
        slow_every: Every so many epochs one is known to be slow; None: found out.

    Returns:
        The forecast, or `Refused` when nothing at all is known.

    Raises:
        BadInputError: a duration is negative, infinite or not a number.

    Examples:
        >>> forecast = forecast_time([90.0, 60.0, 60.0], epochs_total=13)
        >>> forecast.time_remaining_s.p50, forecast.calibrated, forecast.based_on
        (600.0, False, 'epochs')
        >>> forecast_time([], epochs_total=13).reason
        <RefusalReason.FORECAST_UNKNOWN: 'forecast-unknown'>
    """
    _check(progress_epoch_s)
    done = len(progress_epoch_s) if epochs_done is None else epochs_done
    left = max(0, epochs_total - done)
    if progress_epoch_s:
        guess = pace(
            np.asarray(progress_epoch_s, dtype=np.float64),
            epochs_left=max(1, left),
            warm_ups=warm_ups,
            slow_every=slow_every,
        )
        epoch = _measured(guess, past_errors(history, share_done=done / max(1, done + left)))
    elif past_s := [run.mean_epoch_s for run in history if run.same_job and run.epoch_s]:
        epoch = _remembered(past_s)
    elif expected_epoch_s is not None:
        epoch = _stated(expected_epoch_s)
    else:
        return _UNKNOWN
    return TimeForecast(
        epochs_done=done,
        epochs_remaining=left,
        epoch_s=epoch.range_s,
        time_remaining_s=epoch.range_s.times(left),
        calibrated=epoch.calibrated,
        based_on=epoch.based_on,
        explanation=epoch.explanation,
    )


_UNKNOWN = Refused(
    reason=RefusalReason.FORECAST_UNKNOWN,
    message="no epoch was measured, no past run of the job is known, and it states no time",
    remedy="set expected_epoch_s in the job file to the seconds that one epoch may take",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Epoch:
    """The mean of the epochs to come, and how it is known."""

    range_s: Range
    calibrated: bool
    based_on: BasedOn
    explanation: str


def _check(epoch_s: Sequence[float]) -> None:
    for number, duration_s in enumerate(epoch_s, 1):
        if not (math.isfinite(duration_s) and duration_s >= 0):
            msg = "the duration of an epoch cannot be used; nothing was forecast"
            raise BadInputError(
                msg, where=f"epoch {number}", expected="finite and >= 0", got=str(duration_s)
            )


def _measured(guess: Pace, errors: PastErrors | None) -> _Epoch:
    if errors is None:
        low, high = -UNCALIBRATED_SCALES, UNCALIBRATED_SCALES
        doubt = f"doubt is a stated factor, fewer than {RUNS_MIN} past runs are known"
    else:
        low, high = errors.at(0.1), errors.at(0.9)
        whose = "the job's" if errors.same_job else "all jobs'"
        doubt = f"doubt is that of {errors.scores.size} of {whose} past runs at this point"
    return _Epoch(
        range_s=_around(
            guess.epoch_s,
            low_s=guess.epoch_s + low * guess.error_s,
            high_s=guess.epoch_s + high * guess.error_s,
        ),
        calibrated=errors is not None,
        based_on="epochs",
        explanation=f"{guess.saw}; {doubt}",
    )


def _remembered(past_s: Sequence[float]) -> _Epoch:
    calibrated = len(past_s) >= RUNS_MIN
    if calibrated:
        low_s, high_s = (float(x) for x in np.quantile(past_s, (0.1, 0.9), method="weibull"))
        doubt = "doubt is how they differ"
    else:
        low_s, high_s = min(past_s) / UNMEASURED_FACTOR, max(past_s) * UNMEASURED_FACTOR
        doubt = f"doubt is a stated factor of {UNMEASURED_FACTOR:g} about them"
    return _Epoch(
        range_s=_around(float(np.median(past_s)), low_s=low_s, high_s=high_s),
        calibrated=calibrated,
        based_on="history",
        explanation=f"no epoch was measured; {len(past_s)} past runs of the job; {doubt}",
    )


def _stated(expected_epoch_s: float) -> _Epoch:
    return _Epoch(
        range_s=_around(
            expected_epoch_s,
            low_s=expected_epoch_s / UNMEASURED_FACTOR,
            high_s=expected_epoch_s * UNMEASURED_FACTOR,
        ),
        calibrated=False,
        based_on="expected",
        explanation=(
            f"no epoch was measured; the job states {expected_epoch_s:g} s an epoch; "
            f"doubt is a stated factor of {UNMEASURED_FACTOR:g}"
        ),
    )


def _around(middle_s: float, *, low_s: float, high_s: float) -> Range:
    """Return a range that holds its middle: errors on past runs may all be of one sign."""
    return Range(p10=max(0.0, min(low_s, middle_s)), p50=middle_s, p90=max(high_s, middle_s))
