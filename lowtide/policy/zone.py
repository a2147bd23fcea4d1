"""How spot capacity comes and goes: the chance that a stretch ends, by its age and by those before.

Two facts hold in every public recording. The longer spot capacity has lasted, or has been absent,
the longer it will go on: both hazards fall with age. And it keeps a rhythm for a while: after short
stretches come short ones, after long ones long ones. So a zone is two tables of hazards, by the age
of the stretch and by whether the last absence and the last presence were short. That is how a run
learns what its zone is like today, no faster than the recordings say that it should.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Hazards: TypeAlias = tuple[tuple[float, ...], ...]
"""Ends per hour of a stretch; a row for each age, a column for each rhythm."""

AGES_S = (0.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0)
"""Where each class of age begins, seconds."""
SHORT_S = (1800.0, 3600.0)
"""An absence, and a presence, is short if it ended before this age, where a class of age begins."""
RHYTHMS = 4
"""Neither the last absence nor the last presence was short; the absence; the presence; both."""

NEXT_RHYTHM = np.array(
    [
        [[before & ~(1 << up) | short << up for before in range(RHYTHMS)] for short in (0, 1)]
        for up in (0, 1)
    ]
)
"""The rhythm after a stretch has ended: by whether it was a presence, whether it was short, and the
rhythm during it. It takes the place of the last one of its kind."""

_SHRINK_EVENTS = 5.0
_HOUR_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """How spot capacity of one kind comes and goes.

    Attributes:
        up_ends_per_h: Hazard that available capacity goes, per hour.
        down_ends_per_h: Hazard that absent capacity comes, per hour.
        share: Share of time in which it is there, 0 to 1.
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


def rhythm(*, absence_s: float | None, presence_s: float | None) -> int:
    """Return the class of what was seen last, `RHYTHMS` says in which order.

    Args:
        absence_s: How long the last absence that ended had lasted; None: none was seen.
        presence_s: How long the last presence that ended had lasted; None: none was seen.

    Examples:
        >>> rhythm(absence_s=None, presence_s=None), rhythm(absence_s=600, presence_s=7200)
        (0, 1)
    """
    short_absence = absence_s is not None and absence_s < SHORT_S[0]
    short_presence = presence_s is not None and presence_s < SHORT_S[1]
    return short_absence + 2 * short_presence


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

    Ends are counted against the time at risk in each cell of (age, rhythm). A cell counts for
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
    cells = (2, len(AGES_S), RHYTHMS)
    ends, risk_h = np.zeros(cells), np.zeros(cells)
    for one in recordings:
        _count(one, ends=ends, risk_h=risk_h)
    by_age_per_h = (ends.sum(2) + 0.5) / (risk_h.sum(2) + 0.5)
    per_h = (ends + _SHRINK_EVENTS) / (risk_h + _SHRINK_EVENTS / by_age_per_h[:, :, None])
    down, up = per_h.tolist()
    return Zone(
        up_ends_per_h=tuple(map(tuple, up)),
        down_ends_per_h=tuple(map(tuple, down)),
        share=float(np.mean([one.available.mean() for one in recordings])),
    )


def _count(one: Recording, *, ends: NDArray[np.float64], risk_h: NDArray[np.float64]) -> None:
    # The first stretch began before the recording did, so its age is a lower bound; leaving it out
    # would lose the zones that hardly ever change.
    began = 0
    lasted_s: dict[bool, float | None] = {False: None, True: None}
    for tick, (up, then) in enumerate(pairwise(one.available.tolist())):
        age_s = (tick - began) * one.gap_s
        cell = (
            int(up),
            age_class(age_s),
            rhythm(absence_s=lasted_s[False], presence_s=lasted_s[True]),
        )
        # An end lies somewhere within its tick: in the middle, on average.
        risk_h[cell] += (1.0 if up == then else 0.5) * one.gap_s / _HOUR_S
        if up != then:
            ends[cell] += 1
            began, lasted_s[up] = tick + 1, age_s + one.gap_s


# One line for each age, one column for each rhythm.
PRIOR = Zone(
    up_ends_per_h=(
        (1.7, 1.4, 3.3, 2.7),
        (1.3, 0.95, 1.8, 1.6),
        (1.1, 0.48, 1.4, 1.2),
        (0.68, 0.51, 0.87, 1.1),
        (0.41, 0.38, 0.5, 0.56),
        (0.25, 0.24, 0.35, 0.39),
        (0.15, 0.2, 0.2, 0.19),
        (0.086, 0.13, 0.11, 0.13),
    ),
    down_ends_per_h=(
        (2.7, 5.0, 2.0, 4.5),
        (1.5, 2.1, 1.3, 1.9),
        (0.86, 0.86, 1.2, 1.5),
        (0.84, 0.87, 0.98, 1.1),
        (0.53, 0.64, 0.55, 0.49),
        (0.36, 0.3, 0.3, 0.36),
        (0.23, 0.24, 0.15, 0.27),
        (0.064, 0.076, 0.11, 0.027),
    ),
    share=0.6,
)
"""What is assumed of a zone that nothing is known of.

`fit_zone` of fifteen public recordings of AWS zones, to two digits: the eight of October 2022 (600 s
apart, 27 days) and the seven single-node ones of April 2023 (32 and 34 s apart, 7 days) of
skypilot-org/spot-traces. The two sets were made in different ways and agree within their noise.
"""

NO_SPOT = Zone(
    up_ends_per_h=((1e9,) * RHYTHMS,) * len(AGES_S),
    down_ends_per_h=((0.0,) * RHYTHMS,) * len(AGES_S),
    share=0.0,
)
"""A zone that never has spot capacity: what is left is to choose the hours on demand."""
