"""Draws what may come: futures of a zone, for plans that must say what spot may cost."""

import numpy as np
from numpy.typing import NDArray

from lowtide.policy.zone import AGES_S, MEMORY_S, SHARES, Zone

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
    kept = np.exp(-gap_s / MEMORY_S)
    up = generator.random(paths) < zone.share
    age_s, share = np.zeros(paths), np.full(paths, zone.share)
    drawn = np.empty((paths, ticks), bool)
    for tick in range(ticks):
        drawn[:, tick] = up
        age = np.searchsorted(AGES_S, age_s, side="right") - 1
        of_share = np.searchsorted(SHARES, share, side="right") - 1
        chance = 1 - np.exp(-ends_per_h[up.astype(np.intp), age, of_share] * gap_s / _HOUR_S)
        changed = generator.random(paths) < chance
        share = share * kept + (1 - kept) * up
        age_s = np.where(changed, 0.0, age_s + gap_s)
        up = up ^ changed
    return drawn
