"""The time that a run still takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from lowtide.errors import BadInputError
from lowtide.forecast.calibration import RUNS_MIN, PastRun, calibrate
from lowtide.forecast.pace import pace
from lowtide.forecast.ranges import Range
from lowtide.verdict import RefusalReason, Refused

BasedOn: TypeAlias = Literal["epochs", "history", "expected"]

_UNCALIBRATED_ERRORS = 3.0
_EXPECTED_FACTOR = 1.5


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
        explanation: The same in one sentence for a person.
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
) -> TimeForecast | Refused:
    """Forecast the time that a run still takes.

    Args:
        progress_epoch_s: Seconds of each finished epoch, oldest first, finite and >= 0.
        epochs_total: Epochs of the job, >= 1.
        expected_epoch_s: Seconds of one epoch as the job states it.
        history: Past runs, newest first.
        epochs_done: Epochs finished; None: as many as have a duration.
        warm_ups: Positions of the epochs that a leg began with.

    Returns:
        The forecast, or `Refused` when nothing at all is known.

    Raises:
        BadInputError: an epoch's duration is negative, infinite or not a number.

    Examples:
        >>> forecast = forecast_time([90.0, 60.0, 60.0], epochs_total=13)
        >>> forecast.time_remaining_s.p50, forecast.calibrated, forecast.based_on
        (600.0, False, 'epochs')
    """
    _check(progress_epoch_s)
    done = len(progress_epoch_s) if epochs_done is None else epochs_done
    left = max(0, epochs_total - done)
    if progress_epoch_s:
        return _from_epochs(
            progress_epoch_s, done=done, left=left, history=history, warm_ups=warm_ups
        )
    past_s = [float(np.mean(run.epoch_s)) for run in history if run.same_job and run.epoch_s]
    if past_s:
        return _from_history(past_s, done=done, left=left)
    if expected_epoch_s is not None:
        each = Range(
            p10=expected_epoch_s / _EXPECTED_FACTOR,
            p50=expected_epoch_s,
            p90=expected_epoch_s * _EXPECTED_FACTOR,
        )
        return TimeForecast(
            epochs_done=done,
            epochs_remaining=left,
            epoch_s=each,
            time_remaining_s=each.times(left),
            calibrated=False,
            based_on="expected",
            explanation=(
                f"no epoch was measured: the job's expected_epoch_s of {expected_epoch_s:g} s, "
                f"with {_EXPECTED_FACTOR:g} times as doubt"
            ),
        )
    return Refused(
        reason=RefusalReason.FORECAST_UNKNOWN,
        message="no epoch was measured, no run of this job is known, and it gives no estimate",
        remedy="set expected_epoch_s in the job file to the seconds that one epoch may take",
    )


def _check(epoch_s: Sequence[float]) -> None:
    for number, duration_s in enumerate(epoch_s, 1):
        if not (math.isfinite(duration_s) and duration_s >= 0):
            msg = "the duration of an epoch cannot be used; nothing was forecast"
            raise BadInputError(
                msg, where=f"epoch {number}", expected="finite and >= 0", got=str(duration_s)
            )


def _from_epochs(
    epoch_s: Sequence[float],
    *,
    done: int,
    left: int,
    history: Sequence[PastRun],
    warm_ups: Sequence[int],
) -> TimeForecast:
    steady_s = [value for n, value in enumerate(epoch_s) if n not in set(warm_ups)]
    guess = pace(np.asarray(steady_s or epoch_s, dtype=np.float64), epochs_left=max(1, left))
    errors = calibrate(history, share_done=done / (done + left))
    low, high = (
        (-_UNCALIBRATED_ERRORS, _UNCALIBRATED_ERRORS)
        if errors is None
        else (errors.p10, errors.p90)
    )
    each = Range(
        p10=max(0.0, guess.epoch_s + min(0.0, low) * guess.error_s),
        p50=guess.epoch_s,
        p90=guess.epoch_s + max(0.0, high) * guess.error_s,
    )
    doubt = (
        f"fewer than {RUNS_MIN} past runs: doubt is a stated {_UNCALIBRATED_ERRORS:g} times "
        "the scatter"
        if errors is None
        else f"doubt from the errors on {errors.runs} past runs"
    )
    return TimeForecast(
        epochs_done=done,
        epochs_remaining=left,
        epoch_s=each,
        time_remaining_s=each.times(left),
        calibrated=errors is not None,
        based_on="epochs",
        explanation=f"{len(epoch_s)} measured epochs; {doubt}",
    )


def _from_history(past_s: Sequence[float], *, done: int, left: int) -> TimeForecast:
    middle_s = float(np.median(past_s))
    calibrated = len(past_s) >= RUNS_MIN
    if calibrated:
        low_s, high_s = (float(x) for x in np.quantile(past_s, (0.1, 0.9), method="weibull"))
    else:
        low_s, high_s = min(past_s) / _EXPECTED_FACTOR, max(past_s) * _EXPECTED_FACTOR
    each = Range(p10=low_s, p50=middle_s, p90=high_s)
    return TimeForecast(
        epochs_done=done,
        epochs_remaining=left,
        epoch_s=each,
        time_remaining_s=each.times(left),
        calibrated=calibrated,
        based_on="history",
        explanation=f"no epoch was measured: {len(past_s)} past runs of the same job",
    )
