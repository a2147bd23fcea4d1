"""How wrong the forecast was on past runs: split-conformal scores.

No noise model holds for epoch times (they drift, jump and come in stretches), so the doubt is not
computed from one. Each past run is forecast as it stood at the same share of its epochs, and the
quantiles of these errors, each divided by its own scale, are the quantiles of the next one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lowtide.forecast.pace import pace

RUNS_MIN = 20
RUNS_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """A run that is over and trained all its epochs.

    Attributes:
        epoch_s: Seconds of each epoch, oldest first.
        same_job: Whether it was a run of the job that is forecast, or of another one.
        batch_size: Samples in one step; None where nobody knows.
    """

    epoch_s: tuple[float, ...]
    same_job: bool = True
    batch_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Quantiles of the forecast's error per epoch, in units of its scale."""

    p10: float
    p90: float
    runs: int


def calibrate(history: Sequence[PastRun], *, share_done: float) -> Errors | None:
    """Return the errors that past runs had at the same share of their epochs.

    Runs of the same job count alone when there are enough of them, else all runs do.

    Args:
        history: Past runs, newest first; the newest `RUNS_MAX` count.
        share_done: Share of the epochs that is done, in (0, 1).

    Returns:
        The quantiles, or None with fewer than `RUNS_MIN` usable runs.
    """
    same = [run for run in history if run.same_job]
    for runs in (same, history):
        scores = [
            score
            for run in runs[:RUNS_MAX]
            if (score := _score(run, share_done=share_done)) is not None
        ]
        if len(scores) >= RUNS_MIN:
            # The (n + 1) p-th smallest, interpolated: exchangeable runs are covered in just p.
            p10, p90 = np.quantile(scores, (0.1, 0.9), method="weibull")
            return Errors(p10=float(p10), p90=float(p90), runs=len(scores))
    return None


def _score(run: PastRun, *, share_done: float) -> float | None:
    done = max(2, round(share_done * len(run.epoch_s)))
    left = len(run.epoch_s) - done
    if left < 1:
        return None
    epoch_s = np.asarray(run.epoch_s)
    guess = pace(epoch_s[1:done], epochs_left=left)
    return float((epoch_s[done:].mean() - guess.epoch_s) / guess.error_s)
