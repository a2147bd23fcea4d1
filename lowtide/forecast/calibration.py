"""How wrong the forecast was on past runs: split-conformal scores.

No noise model holds for epoch times (they drift, jump and come in stretches), so the doubt is not
computed from one. Each past run is forecast as it stood at the same share of its epochs, and the
quantiles of these errors, each divided by its own scale, are the quantiles of the next one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowtide.forecast.pace import pace

RUNS_MIN = 20
RUNS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """A run that is over and trained all its epochs.

    Attributes:
        epoch_s: Seconds of each epoch, oldest first.
        same_job: Whether it was a run of the job that is forecast, or of another one.
        batch_size: Samples in one step; None where nobody knows.
        values: The metric after each epoch; None where no finite value was logged.
    """

    epoch_s: tuple[float, ...]
    same_job: bool = True
    batch_size: int | None = None
    values: tuple[float | None, ...] = ()

    @property
    def mean_epoch_s(self) -> float:
        """Mean of its epochs, seconds; it needs at least one."""
        return sum(self.epoch_s) / len(self.epoch_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastErrors:
    """The forecast's errors on past runs.

    Attributes:
        scores: Actual minus forecast mean epoch, each divided by its forecast's scale; shape (n,).
        same_job: Whether all of them are of the job that is forecast.
    """

    scores: NDArray[np.float64]
    same_job: bool

    def at(self, probability: float) -> float:
        """Return the error that the next run exceeds with probability 1 - `probability`.

        The (n + 1) p-th smallest of n scores, interpolated: if the runs are exchangeable, the next
        one's score lies below the k-th smallest of n with probability k / (n + 1).

        Source:
            Vovk, Gammerman, Shafer (2005), "Algorithmic Learning in a Random World", chapter 2.

        Examples:
            >>> errors = PastErrors(scores=np.arange(1.0, 20.0), same_job=True)
            >>> errors.at(0.1), errors.at(0.9)
            (2.0, 18.0)
        """
        return float(np.quantile(self.scores, probability, method="weibull"))


def past_errors(history: Sequence[PastRun], *, share_done: float) -> PastErrors | None:
    """Return the errors that past runs had at the same share of their epochs.

    Runs of the same job count alone where there are enough of them, else all runs do.

    Args:
        history: Past runs, newest first; the newest `RUNS_MAX` of each kind count.
        share_done: Share of the epochs that is done, in (0, 1).

    Returns:
        The errors, or None with fewer than `RUNS_MIN` usable runs.
    """
    for runs, same_job in (([run for run in history if run.same_job], True), (history, False)):
        scores = [
            score
            for run in runs[:RUNS_MAX]
            if (score := _score(run, share_done=share_done)) is not None
        ]
        if len(scores) >= RUNS_MIN:
            return PastErrors(scores=np.array(scores), same_job=same_job)
    return None


def _score(run: PastRun, *, share_done: float) -> float | None:
    done = max(1, round(share_done * len(run.epoch_s)))
    left = len(run.epoch_s) - done
    if left < 1:
        return None
    epoch_s = np.asarray(run.epoch_s)
    guess = pace(epoch_s[:done], epochs_left=left)
    wrong_s = float(epoch_s[done:].mean()) - guess.epoch_s
    return wrong_s / guess.error_s if guess.error_s > 0 else None
