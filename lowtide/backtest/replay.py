"""A recording played against the clock: whether spot capacity is there now, and until when.

It repeats for ever, so any process that knows its first moment and its speed sees the same, and
nothing has to be remembered.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor

import numpy as np

from lowtide.backtest.market import MIDNIGHT
from lowtide.backtest.traces import Trace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replay:
    """A recording in real time, or faster.

    Attributes:
        trace: The recording.
        speed: Recorded seconds that pass in a second, > 0.
        start: When its first tick is; aware.

    Examples:
        >>> there = np.array([True, True, False])
        >>> trace = Trace(name="z", gap_s=600.0, available=there)
        >>> replay = Replay(trace=trace, speed=60.0)
        >>> replay.available(MIDNIGHT), (replay.gone_at(MIDNIGHT) - MIDNIGHT).total_seconds()
        (True, 20.0)
    """

    trace: Trace
    speed: float
    start: datetime = MIDNIGHT

    def available(self, now: datetime) -> bool:
        """Return whether capacity is there."""
        return bool(self.trace.available[self._tick(now) % len(self.trace.available)])

    def gone_at(self, now: datetime) -> datetime | None:
        """Return when capacity goes, `now` where there is none; None where it never does."""
        tick = self._tick(now)
        ahead = np.roll(self.trace.available, -(tick % len(self.trace.available)))
        if ahead.all():
            return None
        ticks = int(np.argmin(ahead))
        return now if ticks == 0 else self._moment(tick + ticks)

    def _tick(self, now: datetime) -> int:
        return floor((now - self.start).total_seconds() * self.speed / self.trace.gap_s)

    def _moment(self, tick: int) -> datetime:
        return self.start + timedelta(seconds=tick * self.trace.gap_s / self.speed)
