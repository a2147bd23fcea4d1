"""How spot capacity comes and goes: the chance that a stretch ends, by its age and by recent days.

Two facts hold in every public recording. The longer spot capacity has lasted, or has been absent,
the longer it will go on: both hazards fall with age. And zones differ, and change from day to day.
So a zone is two tables of hazards, by the age of the stretch and by the recent share of time in
which capacity was there. The share starts at the zone's usual one and follows what the run sees:
that is how a run learns the zone it is in, no faster than the recordings say that it should.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Hazards: TypeAlias = tuple[tuple[float, ...], ...]
"""Ends per hour of a stretch; a row for each age, a column for each share."""

AGES_S = (0.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0)
"""Where each class of age begins, seconds."""
SHARES = (0.0, 0.25, 0.5, 0.75)
"""Where each class of the recent share begins."""
MEMORY_S = 12 * 3600.0
"""A sighting's weight in the recent share falls to 1/e in this time."""

_SHRINK_EVENTS = 5.0
_HOUR_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """How spot capacity of one kind comes and goes.

    Attributes:
        up_ends_per_h: Hazard that available capacity goes, per hour.
        down_ends_per_h: Hazard that absent capacity comes, per hour.
        share: Share of time in which it is there, before anything was seen; 0 to 1.
    """

    up_ends_per_h: Hazards
    down_ends_per_h: Hazards
    share: float


def age_class(age_s: float) -> int:
    """Return the class of an age.

    Examples:
        >>> age_class(0), age_class(599), age_class(600), age_class(1e6)
        (0, 0, 1, 7)
    """
    return bisect_right(AGES_S, age_s) - 1


def share_class(share: float) -> int:
    """Return the class of a recent share.

    Examples:
        >>> share_class(0), share_class(0.6), share_class(1)
        (0, 2, 3)
    """
    return bisect_right(SHARES, share) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """When capacity was there, tick by tick.

    Attributes:
        available: Whether it was there; shape (ticks,).
        gap_s: Seconds between two ticks, > 0.
    """

    available: NDArray[np.bool_]
    gap_s: float


def fit_zone(recordings: Sequence[Recording]) -> Zone:
    """Learn a zone from recordings, shrinking what was seldom seen to what was seen often.

    Ends are counted against the time at risk in each cell of (age, share). A cell counts for
    itself as far as it has ends of its own; for five more it takes the hazard of its age alone.

    Args:
        recordings: At least one, of any gaps.

    Returns:
        The zone that they have in common.

    Examples:
        >>> steady = Recording(available=np.arange(600) % 6 < 3, gap_s=600.0)
        >>> zone = fit_zone([steady])
        >>> round(zone.share, 2), zone.up_ends_per_h[0][2] < zone.up_ends_per_h[2][2]
        (0.5, True)
    """
    share = float(np.mean([one.available.mean() for one in recordings]))
    cells = (2, len(AGES_S), len(SHARES))
    ends, risk_h = np.zeros(cells), np.zeros(cells)
    for one in recordings:
        _count(one, share=share, ends=ends, risk_h=risk_h)
    by_age_per_h = (ends.sum(2) + 0.5) / (risk_h.sum(2) + 0.5)
    per_h = (ends + _SHRINK_EVENTS) / (risk_h + _SHRINK_EVENTS / by_age_per_h[:, :, None])
    down, up = per_h.tolist()
    return Zone(
        up_ends_per_h=tuple(map(tuple, up)),
        down_ends_per_h=tuple(map(tuple, down)),
        share=share,
    )


def _count(
    one: Recording, *, share: float, ends: NDArray[np.float64], risk_h: NDArray[np.float64]
) -> None:
    available, gap_s = one.available, one.gap_s
    kept = np.exp(-gap_s / MEMORY_S)
    # A stretch's age at a tick: ticks since it began. The first began before the recording did,
    # so its age is a lower bound; leaving it out would lose the zones that hardly ever change.
    ticks = np.arange(len(available))
    began = np.maximum.accumulate(np.where(np.diff(available, prepend=available[0]), ticks, 0))
    ages = np.searchsorted(AGES_S, (ticks - began) * gap_s, side="right") - 1
    changes = available[1:] != available[:-1]
    past, aged = available[:-1].tolist(), ages[:-1].tolist()
    for up, age, changed in zip(past, aged, changes.tolist(), strict=True):
        cell = (int(up), age, share_class(share))
        ends[cell] += changed
        # An end lies somewhere within its tick: in the middle, on average.
        risk_h[cell] += (0.5 if changed else 1.0) * gap_s / _HOUR_S
        share = share * kept + (1 - kept) * up


# One line for each age, one column for each share.
PRIOR = Zone(
    up_ends_per_h=(
        (3.4, 3.0, 2.2, 1.5),
        (2.1, 1.8, 1.3, 0.98),
        (1.4, 1.2, 0.82, 0.94),
        (1.3, 1.1, 0.92, 0.41),
        (0.39, 0.55, 0.52, 0.39),
        (0.31, 0.48, 0.38, 0.22),
        (0.19, 0.29, 0.20, 0.17),
        (0.12, 0.12, 0.11, 0.12),
    ),
    down_ends_per_h=(
        (2.4, 2.6, 3.9, 4.9),
        (1.3, 1.3, 1.8, 2.4),
        (1.0, 1.1, 1.2, 1.4),
        (0.86, 0.95, 1.1, 0.97),
        (0.47, 0.50, 0.54, 0.85),
        (0.27, 0.31, 0.44, 0.38),
        (0.15, 0.26, 0.30, 0.21),
        (0.06, 0.08, 0.06, 0.06),
    ),
    share=0.6,
)
"""What is assumed of a zone that nothing is known of.

`fit_zone` of fifteen public recordings of AWS zones, to two digits: the eight of October 2022 (600 s
apart, 27 days) and the seven single-node ones of April 2023 (32 and 34 s apart, 7 days) of
skypilot-org/spot-traces. The two sets were made in different ways and agree within their noise.
"""

NO_SPOT = Zone(
    up_ends_per_h=((1e9,) * len(SHARES),) * len(AGES_S),
    down_ends_per_h=((0.0,) * len(SHARES),) * len(AGES_S),
    share=0.0,
)
"""A zone that never has spot capacity: what is left is to choose the hours on demand."""
