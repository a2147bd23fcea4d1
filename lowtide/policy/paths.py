"""Draws what may come: futures of a zone, for plans that must say what spot may cost."""

import numpy as np
from numpy.typing import NDArray

from lowtide.policy.zone import AGES_S, NEXT_RHYTHM, SHORT_S, Zone

_HOUR_S = 3600


def draw_paths(
    zone: Zone, *, paths: int, ticks: int, gap_s: float, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Return possible futures of a zone of which nothing has been seen yet.

    Args:
        zone: How capacity comes and goes.
        paths: How many futures.
        ticks: How long each is.
        gap_s: Seconds between two ticks, > 0.
        generator: Where chance comes from.

    Returns:
        Whether capacity is there; shape (paths, ticks).

    Examples:
        >>> from lowtide.policy.zone import PRIOR
        >>> paths = draw_paths(
        ...     PRIOR, paths=200, ticks=500, gap_s=600, generator=np.random.default_rng(0)
        ... )
        >>> paths.shape, bool(0.4 < paths.mean() < 0.8)
        ((200, 500), True)
    """
    ends_per_h = np.array([zone.down_ends_per_h, zone.up_ends_per_h])
    up = generator.random(paths) < zone.share
    age_s, rhythm = np.zeros(paths), np.zeros(paths, np.intp)
    drawn = np.empty((paths, ticks), bool)
    for tick in range(ticks):
        drawn[:, tick] = up
        kind = up.astype(np.intp)
        age = np.searchsorted(AGES_S, age_s, side="right") - 1
        chance = 1 - np.exp(-ends_per_h[kind, age, rhythm] * gap_s / _HOUR_S)
        changed = generator.random(paths) < chance
        age_s += gap_s
        short = (age_s < np.array(SHORT_S)[kind]).astype(np.intp)
        rhythm = np.where(changed, NEXT_RHYTHM[kind, short, rhythm], rhythm)
        age_s = np.where(changed, 0.0, age_s)
        up = up ^ changed
    return drawn
