"""What a short series of durations shows: slow ones, a change of level, a trend, a slide.

Each question has one answer in closed form, with a stated threshold, so a forecast can say what it
saw. Noise that comes in stretches (autocorrelation) looks like change to a naive test, so the tests
widen by the factor that an autoregression of the residuals asks for.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Series = NDArray[np.float64]

_SLOW_DEVIATIONS = 6.5
_SLOW_SHARE_MAX = 0.25
_NOISE_SHARE_MIN = 0.01
_CHANGE_DEVIATIONS = 7.0
_CHANGE_EPOCHS_MIN = 2
_CHANGE_WINDOW_MIN = 8
_TREND_EPOCHS_MIN = 20
_TREND_DEVIATIONS = 6.0
_BEND_DEVIATIONS = 2.5
_TREND_ECHO_MAX = 0.1
_TREND_FALL_MAX = 0.7
_SLIDE_DEVIATIONS = 1.6
_SLIDE_SHARE = 0.05


def mean_of(values: _Series) -> float:
    """Return the mean of a series, n >= 1; a forecast takes thousands, and `np.mean` is slow to begin.

    Examples:
        >>> mean_of(np.array([1.0, 2.0]))
        1.5
    """
    return _sum(values) / values.size


def median_of(values: _Series) -> float:
    """Return the median of a series, n >= 1, likewise.

    Examples:
        >>> median_of(np.array([9.0, 1.0, 2.0])), median_of(np.array([1.0, 2.0]))
        (2.0, 1.5)
    """
    ordered, middle = np.sort(values), values.size // 2
    if values.size % 2:
        return float(ordered[middle])
    return float(ordered[middle - 1] + ordered[middle]) / 2


def _sum(values: _Series) -> float:
    return float(np.add.reduce(values))


def slow_epochs(epoch_s: _Series) -> NDArray[np.bool_]:
    """Mark the epochs that are much slower than their neighbours.

    The neighbours and not the whole series decide, so an epoch is not slow for lying before a
    change of level. More than a quarter is no exception any more, and none is marked.

    Args:
        epoch_s: Durations, seconds, shape (n,).

    Returns:
        A mask, shape (n,).

    Examples:
        >>> slow_epochs(np.array([60.0, 61, 180, 60, 59, 60])).nonzero()[0]
        array([2])
    """
    if epoch_s.size < 3:  # noqa: PLR2004 - an epoch needs two neighbours
        return np.zeros(epoch_s.size, dtype=np.bool_)
    around_s = np.maximum(neighbourhood(epoch_s), 1e-9)
    # A share of the neighbours, because a longer epoch scatters more.
    excess = epoch_s / around_s - 1
    noise = max(1.4826 * median_of(np.abs(excess)), _NOISE_SHARE_MIN)
    slow = excess > _SLOW_DEVIATIONS * noise
    if np.count_nonzero(slow) > _SLOW_SHARE_MAX * epoch_s.size:
        slow[:] = False
    return slow


def neighbourhood(epoch_s: _Series) -> _Series:
    """Return the median of each epoch and its neighbours, one or two on each side.

    Args:
        epoch_s: Durations, seconds, shape (n,), n >= 3.

    Returns:
        Seconds, shape (n,).

    At its end the series is taken to go on as its mirror image, so that the newest epoch has
    others about it; at its start as it began, since a series that slides begins with its highest.

    Examples:
        >>> neighbourhood(np.array([60.0, 61, 180, 62, 60]))
        array([60., 61., 62., 62., 62.])
    """
    reach = 2 if epoch_s.size >= 8 else 1  # noqa: PLR2004 - two need enough epochs
    before_s, after_s = epoch_s[:1].repeat(reach), epoch_s[-2 : -2 - reach : -1]
    padded_s = np.concatenate((before_s, epoch_s, after_s))
    shifted_s = [padded_s[at : at + epoch_s.size] for at in range(2 * reach + 1)]
    return np.sort(np.stack(shifted_s), axis=0)[reach]


def last_change(epoch_s: _Series) -> int:
    """Return where the newest level begins; 0 where the level never changed.

    Looks at the newest epochs first and then at more and more of them, so that an older change
    does not hide a newer one.

    Args:
        epoch_s: Durations without slow ones, seconds, shape (n,).

    Returns:
        Position of the first epoch of the newest level.

    Examples:
        >>> last_change(np.array([60.0, 61, 60, 59, 60, 80, 81, 80, 79, 80]))
        5
    """
    length = _CHANGE_WINDOW_MIN
    while length < 2 * epoch_s.size:
        newest_s = epoch_s[-length:]
        step = _best_step(newest_s)
        if step is not None and _is_change(newest_s[:step], newest_s[step:]):
            return epoch_s.size - newest_s.size + step
        length *= 2
    return 0


def _is_change(before_s: _Series, after_s: _Series) -> bool:
    """Say whether two levels differ by more than the noise could make them."""
    before_mean_s, after_mean_s = mean_of(before_s), mean_of(after_s)
    residuals_s = np.concatenate((before_s - before_mean_s, after_s - after_mean_s))
    noise_s = _noise(residuals_s, parameters=2, level_s=after_mean_s)
    doubt_s = noise_s * math.sqrt(1 / before_s.size + 1 / after_s.size)
    height_s = abs(after_mean_s - before_mean_s)
    # The step is the best of many, and few epochs make a poor estimate of their noise.
    return height_s > _CHANGE_DEVIATIONS * (1 + 6 / residuals_s.size) * doubt_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A straight line through the durations.

    Attributes:
        now_s: Its value at the newest epoch, seconds.
        slope_s: Its change per epoch, seconds.
    """

    now_s: float
    slope_s: float

    def ahead(self, epochs: int) -> float:
        """Return the mean of the next epochs on the line, seconds; a fall ends before zero.

        Args:
            epochs: How many, >= 1.
        """
        ahead_s = self.now_s + self.slope_s * (epochs + 1) / 2
        return max(ahead_s, (1 - _TREND_FALL_MAX) * self.now_s)


def trend(epoch_s: _Series) -> Trend | None:
    """Return the straight line that the durations follow, if they clearly follow one.

    Clearly: enough epochs, a slope far beyond the noise, no bend, residuals that are noise, and no
    single step that explains as much. A line is carried on for as long as it has been seen and
    longer, so a false one costs far more than a missed one.

    Args:
        epoch_s: Durations without slow ones, seconds, shape (n,).

    Returns:
        The line, or None.

    Examples:
        >>> line = trend(60 + np.arange(30.0) + np.tile([0.0, 1.0, -1.0], 10))
        >>> round(line.slope_s, 1)
        1.0
    """
    count = epoch_s.size
    if count < _TREND_EPOCHS_MIN:
        return None
    level_s = mean_of(epoch_s)
    at = np.arange(count, dtype=np.float64) - (count - 1) / 2
    slope_s, residuals_s = _regress(epoch_s - level_s, at)
    bow = at * at - mean_of(at * at)
    bend_s, bent_s = _regress(residuals_s, bow)
    step = _best_step(epoch_s)
    stepped = np.inf if step is None else _squares(epoch_s[:step]) + _squares(epoch_s[step:])
    follows = (
        abs(slope_s) * _norm(at) > _TREND_DEVIATIONS * _noise(residuals_s, 2, level_s)
        and abs(bend_s) * _norm(bow) < _BEND_DEVIATIONS * _noise(bent_s, 3, level_s)
        and _echo(residuals_s) < _TREND_ECHO_MAX + 1 / math.sqrt(count)
        # The step chose its place: that is worth some of what it explains.
        and float(residuals_s @ residuals_s) < stepped * (1 + 5 / count)
    )
    return Trend(now_s=level_s + slope_s * float(at[-1]), slope_s=slope_s) if follows else None


def slides(epoch_s: _Series) -> bool:
    """Say whether each duration is so near the one before that they slide and do not scatter.

    Args:
        epoch_s: Durations, seconds, shape (n,).

    Returns:
        Whether the mean squared difference of neighbours is small against the variance, beyond
        what independent durations would show, or each is shorter than the one before by far more
        than epochs scatter.

    Source:
        von Neumann (1941), "Distribution of the ratio of the mean square successive difference to
        the variance", its normal approximation.

    Examples:
        >>> slides(np.array([90.0, 80, 72, 67, 64])), slides(np.array([90.0, 60, 60, 61, 60]))
        (True, False)
    """
    count = epoch_s.size
    if count < 3:  # noqa: PLR2004 - the ratio needs two differences
        return False
    if np.all(epoch_s[1:] < (1 - _SLIDE_SHARE) * epoch_s[:-1]):
        return True
    squares = _squares(epoch_s)
    if squares <= count * (1e-4 * mean_of(epoch_s)) ** 2:
        return False
    ratio = _sum(np.diff(epoch_s) ** 2) / squares
    deviation = math.sqrt((count - 2) / (count**2 - 1))
    return 1 - ratio / 2 > _SLIDE_DEVIATIONS * deviation


def best_window(epoch_s: _Series, *, gain_max: float) -> int:
    """Return how many of the newest epochs forecast best what came after, had they been used.

    Each candidate is tried at every past moment; the whole series stays the choice unless another
    one is clearly better.

    Args:
        epoch_s: Durations without slow ones, seconds, shape (n,), n >= 1.
        gain_max: A window replaces the whole series if its error is below this share of the
            whole's.

    Returns:
        Number of epochs, 1 to n.

    Examples:
        >>> best_window(np.array([90.0, 80, 72, 67, 64, 62, 61]), gain_max=0.7)
        1
    """
    count = epoch_s.size
    if count < 3:  # noqa: PLR2004 - nothing to try them on
        return count
    sums_s = np.concatenate(([0.0], np.cumsum(epoch_s)))
    at = np.arange(max(1, count // 4), count)
    came_s = (sums_s[-1] - sums_s[at]) / (count - at)
    weights = np.sqrt(np.minimum(count - at, at))

    def error_s(window: int) -> float:
        first = np.maximum(at - window, 0)
        guesses_s = (sums_s[at] - sums_s[first]) / (at - first)
        return float(weights @ np.abs(guesses_s - came_s))

    best = min((1, 3, 10), key=error_s)
    return min(best, count) if error_s(best) < gain_max * error_s(count) else count


def _best_step(epoch_s: _Series) -> int | None:
    """Return where to split so that the two means explain most; None with too few epochs."""
    count = epoch_s.size
    at = np.arange(_CHANGE_EPOCHS_MIN, count - _CHANGE_EPOCHS_MIN + 1)
    if at.size == 0:
        return None
    before_s = np.cumsum(epoch_s)[at - 1]
    after_s = _sum(epoch_s) - before_s
    return int(at[np.argmax(before_s**2 / at + after_s**2 / (count - at))])


def _noise(residuals_s: _Series, parameters: int, level_s: float) -> float:
    """Return the standard deviation that a mean of such residuals seems to have, times root n."""
    freedom = max(1, residuals_s.size - parameters)
    deviation_s = math.sqrt(float(residuals_s @ residuals_s) / freedom)
    echo = _echo(residuals_s)
    # An echo estimated from few residuals is too small.
    few = 1.5 / residuals_s.size if echo > 0.2 else 0.0  # noqa: PLR2004
    echo = min(0.95, echo * residuals_s.size / (residuals_s.size + 2) + few)
    return max(deviation_s, 0.003 * level_s) * math.sqrt((1 + echo) / (1 - echo))


def _echo(residuals_s: _Series) -> float:
    """Return the correlation of neighbouring residuals, at least 0."""
    squares = float(residuals_s @ residuals_s)
    return max(0.0, float(residuals_s[1:] @ residuals_s[:-1]) / squares) if squares > 0 else 0.0


def _regress(values: _Series, on: _Series) -> tuple[float, _Series]:
    slope = float(values @ on) / float(on @ on)
    return slope, values - slope * on


def _norm(values: _Series) -> float:
    return math.sqrt(float(values @ values))


def _squares(values: _Series) -> float:
    return _sum((values - mean_of(values)) ** 2)
