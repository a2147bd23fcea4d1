"""Public recordings of spot capacity, cut into windows, and policies replayed on them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.public_series import Floats
from blocks.traces import read_traces, read_windows
from lowtide.backtest import Ask, Market, Trace, Values, cut, simulate
from lowtide.job import PolicyName
from lowtide.policy import PRIOR, Zone

ON_DEMAND_USD, SPOT_USD = 3.06, 0.9731
"""A p3.2xlarge in October 2022, as the recordings' publishers used it; US dollars per hour."""
WORK_H = 48.0
DEADLINES_H, CHANGEOVERS_H = (52.0, 60.0, 70.0), (0.05, 0.2, 0.5)

HOUR_S = 3600.0
_LATER_WINDOWS = 40


class Recordings:
    """The recordings, and windows into them."""

    def __init__(self, folder: Path, *, every: int = 1) -> None:
        self._every = every
        self._windows = folder / "cant_be_late_frontiercs" / "windows.json"
        recorded = folder / "spot_traces"
        self.traces = read_traces(
            recorded / "availability" / "1-node" / "aws-10-26-2022", values=Values.AVAILABLE
        )
        self.later = tuple(
            trace
            for of_days in sorted((recorded / "preemption" / "1-node").iterdir())
            for trace in read_traces(of_days, values=Values.AVAILABLE)
            if len(trace.available) * trace.gap_s > max(DEADLINES_H) * HOUR_S
        )

    def markets(self, deadline_h: float) -> dict[str, tuple[Market, ...]]:
        """Return the windows, by the name of their recording."""
        windows = read_windows(self._windows, self.traces, deadline_s=deadline_h * HOUR_S)
        return {
            trace.name: cut(
                trace,
                windows[trace.name][:: self._every],
                on_demand_usd_per_h=ON_DEMAND_USD,
                spot_usd_per_h=SPOT_USD,
            )
            for trace in self.traces
        }

    def later_markets(self, deadline_h: float) -> dict[str, tuple[Market, ...]]:
        """Return evenly spread windows of the recordings of 2023 that are long enough, by name."""
        found: dict[str, tuple[Market, ...]] = {}
        for trace in self.later:
            ticks = math.ceil(deadline_h * HOUR_S / trace.gap_s)
            firsts = np.linspace(0, len(trace.available) - ticks, _LATER_WINDOWS)
            found[trace.name] = cut(
                trace,
                [(int(first), int(first) + ticks) for first in firsts[:: self._every]],
                on_demand_usd_per_h=ON_DEMAND_USD,
                spot_usd_per_h=SPOT_USD,
            )
        return found

    def halves(self) -> tuple[Sequence[Trace], Sequence[Trace]]:
        """Return every second recording by name, and the others."""
        return self.traces[::2], self.traces[1::2]


def ask_of(deadline_h: float, changeover_h: float, **estimate: float) -> Ask:
    """Return what the policies are asked to do."""
    return Ask(
        work_s=WORK_H * HOUR_S,
        deadline_s=deadline_h * HOUR_S,
        changeover_s=changeover_h * HOUR_S,
        **estimate,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One policy on some windows.

    Attributes:
        usd: Cost of each window.
        missed: How many were late.
    """

    usd: Floats
    missed: int

    @property
    def saving_pct(self) -> float:
        """Saving against the work on demand, without a changeover."""
        return 100 * (1 - float(self.usd.mean()) / (ON_DEMAND_USD * WORK_H))


def replay(
    markets: Sequence[Market], ask: Ask, policy: PolicyName, *, zone: Zone = PRIOR
) -> Replayed:
    """Replay a policy on every window."""
    results = [simulate(market, ask, policy=policy, zone=zone) for market in markets]
    return Replayed(
        usd=np.array([one.cost_usd for one in results]),
        missed=sum(one.missed(ask.deadline_s) for one in results),
    )


def everything(markets: Mapping[str, Sequence[Market]]) -> list[Market]:
    """Return all windows of all recordings."""
    return [market for windows in markets.values() for market in windows]
