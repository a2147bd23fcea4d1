"""The time of an epoch at other batch sizes.

An epoch is so many samples and so many steps; a sample takes its time whatever the batch, a step
has a fixed cost. So an epoch takes a + c / B seconds at batch size B. Two measured batch sizes give
both; from one, nothing about the other is known, and a stated assumption takes its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowtide.forecast.calibration import PastRun
from lowtide.forecast.ranges import Range

FASTER_PER_DOUBLING = 1.2
"""Assumed: with the batch doubled an epoch is so many times faster, the specification's figure."""
_SPREAD_SHARE_MIN = 0.05
_P90_DEVIATIONS = 1.2815515655446004

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchModel:
    """Seconds of an epoch by batch size.

    Attributes:
        sample_s: Seconds of an epoch that no batch size saves; None: not known.
        step_s: Seconds of an epoch in steps, times the batch size; None: not known.
        batch_size: The batch size that `epoch_s` was measured or stated at.
        epoch_s: Mean epoch at that batch size.
        batch_sizes: All that were measured, ascending.
    """

    sample_s: float | None = None
    step_s: float | None = None
    batch_size: int
    epoch_s: Range
    batch_sizes: tuple[int, ...] = ()

    @property
    def measured(self) -> bool:
        """Whether the effect of the batch size was measured, or is assumed."""
        return self.sample_s is not None

    def ratio(self, batch_sizes: _Floats) -> _Floats:
        """Return the epoch's length relative to that at `batch_size`.

        Args:
            batch_sizes: Samples in one step, > 0, shape (n,).

        Returns:
            Factors, shape (n,).

        Examples:
            >>> assumed = BatchModel(batch_size=64, epoch_s=Range(p10=50, p50=60, p90=90))
            >>> assumed.ratio(np.array([32.0, 64.0, 128.0])).round(3)
            array([1.2  , 1.   , 0.833])
        """
        if self.sample_s is None or self.step_s is None:
            return np.asarray(FASTER_PER_DOUBLING ** -np.log2(batch_sizes / self.batch_size))
        here_s = self.sample_s + self.step_s / self.batch_size
        return (self.sample_s + self.step_s / batch_sizes) / here_s

    def at(self, batch_size: int) -> Range:
        """Return the mean epoch at a batch size, seconds.

        Args:
            batch_size: Samples in one step, >= 1.
        """
        return self.epoch_s.times(float(self.ratio(np.array([float(batch_size)]))[0]))

    def stated(self, batch_size: int) -> str | None:
        """Say on what assumption the time at a batch size rests; None: it was measured.

        Examples:
            >>> assumed = BatchModel(batch_size=64, epoch_s=Range(p10=50, p50=60, p90=90))
            >>> assumed.stated(64)
            >>> assumed.stated(128)
            'assumes that an epoch is 1.2 times faster with each doubling of the batch, ...'
        """
        if batch_size == self.batch_size or batch_size in self.batch_sizes:
            return None
        if not self.measured:
            return (
                f"assumes that an epoch is {FASTER_PER_DOUBLING:g} times faster with each "
                f"doubling of the batch, from {self.batch_size} on; nobody measured it"
            )
        sizes = f"{self.batch_sizes[0]} to {self.batch_sizes[-1]}"
        if self.batch_sizes[0] <= batch_size <= self.batch_sizes[-1]:
            return f"from a line through the measured batch sizes {sizes}"
        return f"beyond the measured batch sizes {sizes}"


def batch_model(
    history: Sequence[PastRun], *, batch_size: int, epoch_s: Range | None = None
) -> BatchModel | None:
    """Learn the time of an epoch by batch size.

    Args:
        history: Past runs; those of the same job with a known batch size count.
        batch_size: Batch size of the job.
        epoch_s: Mean epoch at that batch size where it is known otherwise.

    Returns:
        The model; None where no time at all is known.

    Examples:
        >>> past = [
        ...     PastRun(epoch_s=(50.0,), batch_size=32),
        ...     PastRun(epoch_s=(40.0,), batch_size=64),
        ... ]
        >>> round(batch_model(past, batch_size=64).at(128).p50, 6)
        35.0
    """
    known = [
        (run.batch_size, run.mean_epoch_s)
        for run in history
        if run.same_job and run.batch_size and run.epoch_s
    ]
    sizes = np.array([size for size, _ in known], dtype=np.float64)
    times_s = np.array([time_s for _, time_s in known], dtype=np.float64)
    distinct = tuple(int(size) for size in np.unique(sizes))
    if len(distinct) > 1:
        sample_s, step_s = _fit(sizes, times_s)
        fitted_s = sample_s + step_s / sizes
        spread = max(_SPREAD_SHARE_MIN, float(np.std(np.log(times_s / fitted_s))))
        middle_s = sample_s + step_s / batch_size
        factor = float(np.exp(_P90_DEVIATIONS * spread))
        return BatchModel(
            sample_s=sample_s,
            step_s=step_s,
            batch_size=batch_size,
            epoch_s=epoch_s or Range(p10=middle_s / factor, p50=middle_s, p90=middle_s * factor),
            batch_sizes=distinct,
        )
    if epoch_s is not None:
        return BatchModel(batch_size=batch_size, epoch_s=epoch_s, batch_sizes=distinct)
    if not distinct:
        return None
    return BatchModel(
        batch_size=distinct[0],
        epoch_s=Range(
            p10=float(times_s.min()), p50=float(np.median(times_s)), p90=float(times_s.max())
        ),
        batch_sizes=distinct,
    )


def _fit(sizes: _Floats, times_s: _Floats) -> tuple[float, float]:
    """Return the two parts of an epoch, neither below 0, by relative least squares."""
    design = np.column_stack((1 / times_s, 1 / (sizes * times_s)))
    sample_s, step_s = np.linalg.lstsq(design, np.ones(sizes.size), rcond=None)[0]
    if step_s < 0:
        return float(np.median(times_s)), 0.0
    if sample_s < 0:
        return 0.0, float(np.median(times_s * sizes))
    return float(sample_s), float(step_s)
