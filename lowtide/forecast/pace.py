"""The mean of the epochs still to come, estimated from those that are done.

The cost of a run is a sum, so what is wanted is a mean: the median forgets the slow epochs that
come back (evaluation, checkpoints, stalled data) and is too low. But a mean of few epochs is at
the mercy of one slow one, so it is shrunk to the median until there are enough.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SHRINK_EPOCHS = 10
_SPREAD_MIN = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The epochs still to come.

    Attributes:
        epoch_s: Their mean, seconds.
        error_s: The scale of what this mean may be wrong by per epoch, seconds, > 0 unless
            every epoch took no time.
    """

    epoch_s: float
    error_s: float


def pace(epoch_s: NDArray[np.float64], *, epochs_left: int) -> Pace:
    """Estimate the mean of the epochs still to come.

    Args:
        epoch_s: Seconds of the finished epochs without those a leg began with, oldest first;
            shape (n,), n >= 1, finite, >= 0.
        epochs_left: Epochs still to come, >= 1.

    Returns:
        Their mean and the scale of its error.

    Examples:
        >>> pace(np.array([60.0, 60.0, 66.0]), epochs_left=10).epoch_s
        60.461538462
    """
    count = epoch_s.size
    mean_s, median_s = float(epoch_s.mean()), float(np.median(epoch_s))
    weight = count / (count + _SHRINK_EPOCHS)
    level_s = median_s + weight * (mean_s - median_s)
    spread_s = float(epoch_s.std(ddof=1)) if count > 1 else 0.0
    spread_s = max(spread_s, _SPREAD_MIN * level_s)
    return Pace(
        epoch_s=round(level_s, 9), error_s=spread_s * math.sqrt(1 / epochs_left + 1 / count)
    )
