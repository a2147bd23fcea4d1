"""How often to save: the interval that wastes least, saves and repeated work together.

Saving often costs time, saving seldom costs work when the capacity is taken away. For memoryless
preemption the balance has a closed form, and the one number that it needs, the mean lifetime, is
learnt from lifetimes seen so far, starting from a prior that is said aloud.
"""

import math
from collections.abc import Sequence

from scipy.special import lambertw

PRIOR_LIFETIME_S = 2 * 3600.0
"""Mean lifetime of spot capacity before any was seen: public traces have means of 0.7 to 9.7 h."""
PRIOR_WEIGHT = 3
"""How many lifetimes the prior counts for."""

_TINY = 1e-8


def best_interval_s(checkpoint_s: float, mean_lifetime_s: float) -> float:
    """Return the seconds of work between two saves that waste least.

    The interval T solves (1 - T/M) exp((T + C)/M) = 1 for a save of C seconds and a mean lifetime
    of M; Young's sqrt(2 C M) is its first approximation and Daly's formula its second.

    Args:
        checkpoint_s: Seconds of one save, >= 0.
        mean_lifetime_s: Mean seconds until the capacity is taken away, > 0.

    Returns:
        Seconds of work, between 0 and the mean lifetime.

    Source:
        Daly (2006), "A higher order estimate of the optimum checkpoint interval for restart dumps".

    Examples:
        >>> round(best_interval_s(60, 4 * 3600))
        1275
        >>> round(best_interval_s(10, 4 * 3600)), round(best_interval_s(300, 4 * 3600))
        (530, 2743)
    """
    if checkpoint_s < _TINY * mean_lifetime_s:
        # So near the branch point the Lambert function loses its digits, and Young's is exact.
        return math.sqrt(2 * checkpoint_s * mean_lifetime_s)
    branch = lambertw(-math.exp(-1 - checkpoint_s / mean_lifetime_s)).real
    return mean_lifetime_s * (1 + float(branch))


def mean_lifetime_s(lifetimes_s: Sequence[float]) -> float:
    """Return the mean lifetime to plan with, from those seen and the prior.

    Args:
        lifetimes_s: Seconds that spot capacity lived, each > 0; a lifetime that was not ended by a
            preemption is left out.

    Examples:
        >>> mean_lifetime_s([])
        7200.0
        >>> mean_lifetime_s([600.0] * 97)
        798.0
    """
    total_s = PRIOR_WEIGHT * PRIOR_LIFETIME_S + sum(lifetimes_s)
    return total_s / (PRIOR_WEIGHT + len(lifetimes_s))
