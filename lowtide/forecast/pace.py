"""The mean of the epochs still to come, estimated from those that are done.

The cost of a run is a sum, so what is wanted is a mean: a median forgets the slow epochs that come
back (evaluation, checkpoints, stalled data) and is too low. But a mean of few epochs is at the
mercy of one slow one. So the ordinary epochs are averaged, and what the slow ones took beyond them
is added as a rate that is shrunk to nothing while epochs are few. Where the level changed, slides
or follows a line, only what still holds is averaged.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lowtide.forecast.series import (
    best_window,
    last_change,
    mean_of,
    median_of,
    slides,
    slow_epochs,
    trend,
)

_Series = NDArray[np.float64]

_EPOCHS_MAX = 500
_SHRINK_EPOCHS = 10
_FEW_EPOCHS = 8
_VARIED_SHARE = 0.1
_LEVEL_SHARE = 0.02
_GAIN_FEW = 0.7
_GAIN_MANY = 0.5
_WARM_UP_SHARE = 0.05
_CYCLES_MIN = 3
_SPREAD_EPOCHS_MIN = 5

_Cycle: TypeAlias = tuple[int, int]
"""Every how many epochs, and the remainder of the slow one's position, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The epochs still to come.

    Attributes:
        epoch_s: Their mean, seconds.
        error_s: The scale of what this mean may be wrong by, seconds; > 0 unless every epoch took
            no time.
        saw: What the estimate rests on, a phrase for a person.
    """

    epoch_s: float
    error_s: float
    saw: str


def pace(
    epoch_s: _Series,
    *,
    epochs_left: int,
    warm_ups: Sequence[int] = (0,),
    slow_every: int | None = None,
) -> Pace:
    """Estimate the mean of the epochs still to come.

    Args:
        epoch_s: Seconds of the finished epochs, oldest first; shape (n,), n >= 1, finite, >= 0.
        epochs_left: Epochs still to come, >= 1.
        warm_ups: Positions of the epochs that a leg began with; they count only where they look
            like the others.
        slow_every: Every so many epochs one is known to be slow (it evaluates, or saves); None:
            found out, where slow epochs come at equal distances.

    Returns:
        Their mean and the scale of its error.

    Examples:
        >>> pace(np.array([90.0, 60.0, 61.0, 59.0]), epochs_left=10).epoch_s
        60.0
        >>> epoch_s = np.array([60.0, 60, 60, 60, 110] * 4)
        >>> pace(epoch_s, epochs_left=5).epoch_s, pace(epoch_s, epochs_left=4).epoch_s
        (70.0, 60.0)
    """
    kept = _steady(epoch_s, warm_ups)[-_EPOCHS_MAX:]
    steady_s = epoch_s[kept]
    slow, cycle = _slow(steady_s, kept, slow_every)
    usual_s = steady_s[~slow]
    level_s, used, saw = _level(usual_s, whole_s=epoch_s, epochs_left=epochs_left)
    if slow.any():
        beyond_s = steady_s[slow] - np.interp(kept[slow], kept[~slow], usual_s)
        share = _slow_share(
            epoch_s.size, epochs_left, steady=kept.size, slow=beyond_s.size, cycle=cycle
        )
        level_s += mean_of(beyond_s) * share
        saw += f", {beyond_s.size} slow epochs" + (f", one in {cycle[0]}" if cycle else "")
    return Pace(
        epoch_s=level_s,
        error_s=_error(steady_s, level_s=level_s, used=used, epochs_left=epochs_left),
        saw=saw,
    )


def _steady(epoch_s: _Series, warm_ups: Sequence[int]) -> NDArray[np.intp]:
    """Return the positions of all epochs but the warm-ups that look slow beside the others."""
    position = np.arange(epoch_s.size)
    warm = np.zeros(epoch_s.size, dtype=np.bool_)
    warm[[at for at in warm_ups if at < epoch_s.size]] = True
    others_s = epoch_s[~warm]
    if others_s.size == 0:
        return position
    slowest_s = float(others_s.max())
    slack_s = max(slowest_s - float(others_s.min()), _WARM_UP_SHARE * median_of(others_s))
    return position[~warm | (epoch_s <= slowest_s + slack_s)]


def _slow(
    steady_s: _Series, kept: NDArray[np.intp], slow_every: int | None
) -> tuple[NDArray[np.bool_], _Cycle | None]:
    """Return which epochs are slow, and in which cycle they come if in one."""
    slow = slow_epochs(steady_s)
    cycle = _found_cycle(kept[slow]) if slow_every is None else (slow_every, slow_every - 1)
    if cycle is None:
        return slow, None
    due = _due(kept, cycle)
    return (due, cycle) if 0 < np.count_nonzero(due) < due.size else (slow, None)


def _found_cycle(slow: NDArray[np.intp]) -> _Cycle | None:
    gaps = np.unique(np.diff(slow))
    regular = slow.size >= _CYCLES_MIN and gaps.size == 1
    return (int(gaps[0]), int(slow[-1] % gaps[0])) if regular else None


def _due(position: NDArray[np.intp], cycle: _Cycle) -> NDArray[np.bool_]:
    every, phase = cycle
    return position % every == phase


def _slow_share(done: int, left: int, *, steady: int, slow: int, cycle: _Cycle | None) -> float:
    """Return the share of the epochs still to come that will be slow."""
    if cycle is None:
        return slow / (steady + _SHRINK_EPOCHS)
    return int(np.count_nonzero(_due(np.arange(done, done + left), cycle))) / left


def _level(usual_s: _Series, *, whole_s: _Series, epochs_left: int) -> tuple[float, int, str]:
    """Return the mean of the ordinary epochs to come, on how many it rests, and a phrase."""
    count = usual_s.size
    if count < _FEW_EPOCHS:
        # Three sliding epochs can show no more than that the newest is the best guess.
        gain_max = _GAIN_FEW if whole_s.size > 3 else 1.0  # noqa: PLR2004
        if slides(whole_s) and (window := best_window(whole_s, gain_max=gain_max)) < count:
            return mean_of(whole_s[-window:]), window, "the newest of sliding epochs"
        return mean_of(usual_s), count, f"the mean of {count} epochs"
    if (line := trend(usual_s)) is not None:
        phrase = f"a trend of {line.slope_s:+.3g} s an epoch"
        return line.ahead(epochs_left), count, phrase
    window = min(count - last_change(usual_s), best_window(usual_s, gain_max=_GAIN_MANY))
    phrase = f"the mean of {'the newest ' if window < count else ''}{window} epochs"
    return mean_of(usual_s[-window:]), window, phrase


def _error(steady_s: _Series, *, level_s: float, used: int, epochs_left: int) -> float:
    """Return the scale of the error.

    Three parts: the error of a mean of independent epochs; a share of all that the epochs varied,
    since what moved once may move again; and a share of the level, since nothing stays as it is.
    """
    seen_s = steady_s[-max(used, _SPREAD_EPOCHS_MIN) :]
    spread_s = float(seen_s.std(ddof=1)) if seen_s.size > 1 else 0.0
    return (
        spread_s * math.sqrt(1 / epochs_left + 1 / used)
        + _VARIED_SHARE * float(steady_s.std())
        + _LEVEL_SHARE * level_s
    )
