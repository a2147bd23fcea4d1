"""Progress: the epochs that a program logged, as a clean series, and what is wrong with it.

The training contract asks for one value of the job's metric per epoch, its step the epoch, from 1.
What comes may be anything: nothing, NaN, steps twice or backwards, a second leg that resumes or
that starts from nothing. One walk over the points in time order tells these apart. A step that
comes again at the start of a later leg is work done again, and no fault; the same within one leg
is one. Time between two legs belongs to no epoch.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, TypeAlias

Goal: TypeAlias = Literal["maximize", "minimize"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPoint:
    """One logged value of the job's metric.

    Attributes:
        epoch: The step it was logged with.
        value: The value; may be anything that a float can be.
        at: When it was logged, UTC.
    """

    epoch: int
    value: float
    at: datetime


class Fault(StrEnum):
    """What can be wrong with the logged epochs. The values are a contract."""

    NO_METRIC = "no-metric"
    NOT_A_NUMBER = "not-a-number"
    OUT_OF_ORDER = "out-of-order"
    REPEATED = "repeated"
    MISSING = "missing"
    OUT_OF_RANGE = "out-of-range"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is, and how it got there.

    Attributes:
        epochs_done: The last finished epoch of the newest leg that finished one. A leg that starts
            from nothing sets it back.
        epoch_s: Seconds of each finished epoch whose duration is known, in order of epochs;
            waiting between legs is in none of them.
        warm_ups: Positions in `epoch_s` of the epochs that a leg began with; start-up is in them.
        values: The metric after epochs 1 to `epochs_done`; None where no finite value was logged.
        best: The best value, None before there is one.
        best_epoch: The epoch that first reached it.
        last_at: When the newest usable point was logged.
        redone_s: Seconds spent on epochs that a later leg had to do again.
        faults: What is wrong with the series, each once.
    """

    epochs_done: int
    epoch_s: tuple[float, ...]
    warm_ups: tuple[int, ...]
    values: tuple[float | None, ...]
    best: float | None
    best_epoch: int | None
    last_at: datetime | None
    redone_s: float
    faults: tuple[Fault, ...]


def read_progress(
    points: Sequence[EpochPoint],
    *,
    leg_starts: Sequence[datetime],
    epochs: int | None,
    goal: Goal,
) -> Progress:
    """Read a run's progress from what its program logged.

    Args:
        points: Logged values, in any order; their times decide.
        leg_starts: When each leg's program started, UTC; empty where nobody knows, then the
            duration of the first epoch is unknown too.
        epochs: Epochs that the job asked for; None where nobody knows.
        goal: Whether more or less of the metric is better.

    Returns:
        The series and its faults.

    Examples:
        >>> from datetime import UTC, timedelta
        >>> start = datetime(2026, 1, 1, tzinfo=UTC)
        >>> points = [
        ...     EpochPoint(epoch=n, value=0.5 + n / 10, at=start + n * timedelta(minutes=1))
        ...     for n in (1, 2, 3)
        ... ]
        >>> progress = read_progress(points, leg_starts=[start], epochs=20, goal="maximize")
        >>> progress.epochs_done, progress.epoch_s, progress.best
        (3, (60.0, 60.0, 60.0), 0.8)
    """
    walk = _Walk(starts=sorted(leg_starts), epochs=epochs)
    # A stable sort: points of one millisecond stay in the order in which they were logged.
    for point in sorted(points, key=lambda point: point.at):
        walk.step(point)
    return walk.progress(goal)


def fault_message(fault: Fault) -> str:
    """Say what is wrong and what to do about it, one sentence for a person.

    Examples:
        >>> fault_message(Fault.NOT_A_NUMBER)
        'the metric is NaN or infinite in some epochs; ...'
    """
    return _MESSAGES[fault]


_MESSAGES = {
    Fault.NO_METRIC: (
        "no value of the job's metric was logged; log metric.name to the run in MLFLOW_RUN_ID "
        "as each epoch ends, with step = epoch"
    ),
    Fault.NOT_A_NUMBER: (
        "the metric is NaN or infinite in some epochs; they count as progress and their values "
        "are left out; look for a diverged loss or an empty validation set"
    ),
    Fault.OUT_OF_ORDER: (
        "epochs were logged out of order within one leg; the earlier numbers are left out of "
        "the timing; log each epoch once, as it ends, with step = epoch"
    ),
    Fault.REPEATED: (
        "an epoch was logged more than once within one leg; its first time and its last value "
        "count; log the metric once per epoch, not once per batch"
    ),
    Fault.MISSING: (
        "some epochs were not logged; their time is spread evenly or left out; log the metric "
        "at every epoch"
    ),
    Fault.OUT_OF_RANGE: (
        "steps outside 1 to the job's epochs were logged and are left out; log step = epoch, "
        "counted from 1, not the optimiser's step"
    ),
}


@dataclass(slots=True, kw_only=True)
class _Walk:
    """The state of one walk over the points in time order."""

    starts: list[datetime]
    epochs: int | None
    leg: int | None = None
    epoch: int = 0
    mark: datetime | None = None
    last_at: datetime | None = None
    redone_s: float = 0.0
    durations_s: dict[int, float] = field(default_factory=dict[int, float])
    warm_ups: set[int] = field(default_factory=set[int])
    values: dict[int, float] = field(default_factory=dict[int, float])
    faults: set[Fault] = field(default_factory=set[Fault])

    def step(self, point: EpochPoint) -> None:
        if point.epoch < 1 or (self.epochs is not None and point.epoch > self.epochs):
            self.faults.add(Fault.OUT_OF_RANGE)
            return
        leg = max(0, bisect_right(self.starts, point.at) - 1)
        if leg != self.leg:
            self._begin_leg(point, leg)
        elif point.epoch == self.epoch:
            self.faults.add(Fault.REPEATED)
        elif point.epoch < self.epoch:
            self.faults.add(Fault.OUT_OF_ORDER)
        else:
            self._advance(point)
        self._note_value(point)
        self.last_at = point.at

    def progress(self, goal: Goal) -> Progress:
        values = tuple(self.values.get(epoch) for epoch in range(1, self.epoch + 1))
        known = [(value, -epoch) for epoch, value in enumerate(values, 1) if value is not None]
        best = _best(known, goal)
        timed = [epoch for epoch in sorted(self.durations_s) if epoch <= self.epoch]
        return Progress(
            epochs_done=self.epoch,
            epoch_s=tuple(self.durations_s[epoch] for epoch in timed),
            warm_ups=tuple(n for n, epoch in enumerate(timed) if epoch in self.warm_ups),
            values=values,
            best=best[0] if best else None,
            best_epoch=-best[1] if best else None,
            last_at=self.last_at,
            redone_s=self.redone_s,
            faults=tuple(
                fault
                for fault in Fault
                if fault in self.faults or (fault is Fault.NO_METRIC and self.epoch == 0)
            ),
        )

    def _begin_leg(self, point: EpochPoint, leg: int) -> None:
        if point.epoch > self.epoch + 1:
            self.faults.add(Fault.MISSING)
        self._forget_from(point.epoch)
        # A clock that runs behind may log before the leg is said to have started.
        if self.starts:
            self.durations_s[point.epoch] = max(0.0, (point.at - self.starts[leg]).total_seconds())
            self.warm_ups.add(point.epoch)
        self.leg, self.epoch, self.mark = leg, point.epoch, point.at

    def _advance(self, point: EpochPoint) -> None:
        assert self.mark is not None  # noqa: S101 - the leg's first point set it
        span = point.epoch - self.epoch
        if span > 1:
            self.faults.add(Fault.MISSING)
        each_s = (point.at - self.mark).total_seconds() / span
        self.durations_s |= dict.fromkeys(range(self.epoch + 1, point.epoch + 1), each_s)
        self.epoch, self.mark = point.epoch, point.at

    def _forget_from(self, first: int) -> None:
        """Take back what an earlier leg did and this one does again."""
        again = [epoch for epoch in self.durations_s if epoch >= first]
        self.redone_s += sum(self.durations_s.pop(epoch) for epoch in again)
        self.warm_ups.difference_update(again)
        self.values = {epoch: value for epoch, value in self.values.items() if epoch < first}

    def _note_value(self, point: EpochPoint) -> None:
        if math.isfinite(point.value):
            self.values[point.epoch] = point.value
        else:
            self.faults.add(Fault.NOT_A_NUMBER)


def _best(known: Iterable[tuple[float, int]], goal: Goal) -> tuple[float, int] | None:
    """Return the best (value, minus its epoch); among equals the earliest epoch."""
    if goal == "maximize":
        return max(known, default=None)
    return min(known, key=lambda item: (item[0], -item[1]), default=None)
