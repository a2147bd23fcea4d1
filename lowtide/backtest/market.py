"""What there is to be had in a window of a recording, and what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lowtide.backtest.traces import Trace
from lowtide.policy import Tariff

Window: TypeAlias = tuple[int, int]
"""First tick, and the tick after the last."""
UsdPerHour: TypeAlias = float | NDArray[np.float64]
"""One rate for all ticks, or one for each."""

MIDNIGHT = datetime(2026, 1, 5, tzinfo=UTC)
"""When a recording begins where nobody says: a Monday."""

_HOUR_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Market:
    """What there is to be had, tick by tick, from the moment a job may run.

    Attributes:
        gap_s: Seconds between two ticks.
        available: Whether spot capacity is there; shape (ticks,).
        spot_usd_per_h: What it costs; shape (ticks,).
        on_demand_usd_per_h: What on demand costs; shape (ticks,).
        start: Moment of the first tick; aware.
    """

    gap_s: float
    available: NDArray[np.bool_]
    spot_usd_per_h: NDArray[np.float64]
    on_demand_usd_per_h: NDArray[np.float64]
    start: datetime = MIDNIGHT

    def moment(self, tick: int) -> datetime:
        """Return when a tick is."""
        return self.start + timedelta(seconds=tick * self.gap_s)

    def tariffs(self) -> tuple[Tariff, ...]:
        """Return the on-demand rates as stretches."""
        rates = self.on_demand_usd_per_h
        begins = [0, *(np.flatnonzero(np.diff(rates)) + 1).tolist()]
        ends = [*begins[1:], len(rates)]
        return tuple(
            Tariff(start=self.moment(begin), end=self.moment(end), usd_per_h=float(rates[begin]))
            for begin, end in zip(begins, ends, strict=True)
        )

    def changes(self) -> list[int]:
        """Return the ticks at which anything differs from the tick before, and the end."""
        changed = np.zeros(len(self.available), bool)
        for series in (self.available, self.spot_usd_per_h, self.on_demand_usd_per_h):
            changed[1:] |= series[1:] != series[:-1]
        return [*np.flatnonzero(changed).tolist(), len(self.available)]

    def on_demand_usd(self, work_s: float) -> float:
        """Return what so much work costs on demand from the first tick on, changeovers left out."""
        left_s = work_s - np.arange(len(self.available)) * self.gap_s
        used_s = np.clip(left_s, 0.0, self.gap_s)
        return float(used_s @ self.on_demand_usd_per_h) / _HOUR_S


def cut(
    trace: Trace,
    windows: Sequence[Window],
    *,
    on_demand_usd_per_h: UsdPerHour,
    spot_usd_per_h: UsdPerHour,
    start: datetime = MIDNIGHT,
) -> tuple[Market, ...]:
    """Cut a recording into windows.

    Args:
        trace: The recording.
        windows: Which stretches.
        on_demand_usd_per_h: Rate for all ticks of the trace, or one for each.
        spot_usd_per_h: Likewise.
        start: When the recording begins; aware.
    """
    ticks = len(trace.available)
    spot = np.broadcast_to(np.asarray(spot_usd_per_h, np.float64), (ticks,))
    on_demand = np.broadcast_to(np.asarray(on_demand_usd_per_h, np.float64), (ticks,))
    return tuple(
        Market(
            gap_s=trace.gap_s,
            available=trace.available[first:end],
            spot_usd_per_h=spot[first:end],
            on_demand_usd_per_h=on_demand[first:end],
            start=start + timedelta(seconds=first * trace.gap_s),
        )
        for first, end in windows
    )
