"""Runs policies over windows, and says what each cost on each trace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from statistics import fmean
from typing import Any

from lowtide.backtest.market import Market
from lowtide.backtest.optimum import offline_optimum
from lowtide.backtest.simulate import Ask, Result, simulate
from lowtide.job import PolicyName
from lowtide.money import quantize_usd
from lowtide.policy import PRIOR, Zone

_HOUR_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One policy on the windows of one trace, or of all of them.

    Attributes:
        trace: Name of the trace; "all" in a total.
        policy: The rule that decided.
        windows: How many.
        cost_mean_usd: Mean cost of a window, US dollars.
        saving_pct: How much less than the same work on demand without a changeover, per cent.
        missed: Windows that were late.
        on_demand_h: Mean hours on demand, changeovers included.
        spot_h: Mean hours on spot, likewise.
        idle_h: Mean hours without capacity.
        changeovers: Mean number of legs.
        optimum_cost_mean_usd: Mean of the cheapest costs in hindsight; None where not asked for.
    """

    trace: str
    policy: PolicyName
    windows: int
    cost_mean_usd: float
    saving_pct: float
    missed: int
    on_demand_h: float
    spot_h: float
    idle_h: float
    changeovers: float
    optimum_cost_mean_usd: float | None

    def document(self) -> dict[str, Any]:
        """Return the cell as design §8 names its keys."""
        optimum_usd = self.optimum_cost_mean_usd
        return {
            "trace": self.trace,
            "policy": self.policy.value,
            "windows": self.windows,
            "cost_mean": _plain_usd(self.cost_mean_usd),
            "saving_pct": round(self.saving_pct, 3),
            "missed": self.missed,
            "on_demand_h": round(self.on_demand_h, 3),
            "spot_h": round(self.spot_h, 3),
            "idle_h": round(self.idle_h, 3),
            "changeovers": round(self.changeovers, 3),
            "optimum_cost_mean": None if optimum_usd is None else _plain_usd(optimum_usd),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What a back-test found.

    Attributes:
        cells: One for each trace and policy.
        totals: One for each policy, over all windows of all traces.
    """

    cells: tuple[Cell, ...]
    totals: tuple[Cell, ...]

    def document(self) -> dict[str, Any]:
        """Return the body of design §8's `backtest`."""
        return {
            "cells": [cell.document() for cell in self.cells],
            "totals": [cell.document() for cell in self.totals],
        }


def score(
    markets: Mapping[str, Sequence[Market]],
    ask: Ask,
    *,
    policies: Sequence[PolicyName],
    zone: Zone = PRIOR,
    optimum: bool = False,
) -> Scores:
    """Replay a job on every window with every policy.

    Args:
        markets: Windows by the name of their trace.
        ask: What must be done.
        policies: The rules to compare.
        zone: What the adaptive policy assumes of each zone.
        optimum: Whether the cheapest cost in hindsight is wanted beside.
    """
    everything = [market for windows in markets.values() for market in windows]
    names = [name for name, windows in markets.items() for _ in windows]
    best_usd = _optima(everything, ask) if optimum else None
    cells: list[Cell] = []
    totals: list[Cell] = []
    for policy in policies:
        replays = [
            _Replay(
                market=market,
                result=simulate(market, ask, policy=policy, zone=zone),
                best_usd=None if best_usd is None else best_usd[number],
            )
            for number, market in enumerate(everything)
        ]
        of_traces = groupby(range(len(replays)), key=names.__getitem__)
        for name, numbers in of_traces:
            of_trace = [replays[number] for number in numbers]
            cells.append(_cell(of_trace, ask, trace=name, policy=policy))
        totals.append(_cell(replays, ask, trace="all", policy=policy))
    return Scores(cells=tuple(cells), totals=tuple(totals))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Replay:
    market: Market
    result: Result
    best_usd: float | None


def _optima(markets: Sequence[Market], ask: Ask) -> list[float]:
    def alike(number: int) -> tuple[float, int]:
        return markets[number].gap_s, len(markets[number].available)

    best_usd = [0.0] * len(markets)
    for _, group in groupby(sorted(range(len(markets)), key=alike), key=alike):
        numbers = list(group)
        costs = offline_optimum([markets[number] for number in numbers], ask).tolist()
        for number, usd in zip(numbers, costs, strict=True):
            best_usd[number] = usd
    return best_usd


def _cell(replays: Sequence[_Replay], ask: Ask, *, trace: str, policy: PolicyName) -> Cell:
    results = [replay.result for replay in replays]
    cost_usd = fmean(result.cost_usd for result in results)
    plain_usd = fmean(replay.market.on_demand_usd(ask.work_s) for replay in replays)
    best_usd = [replay.best_usd for replay in replays if replay.best_usd is not None]
    return Cell(
        trace=trace,
        policy=policy,
        windows=len(replays),
        cost_mean_usd=cost_usd,
        saving_pct=100 * (1 - cost_usd / plain_usd),
        missed=sum(result.missed(ask.deadline_s) for result in results),
        on_demand_h=fmean(result.on_demand_s for result in results) / _HOUR_S,
        spot_h=fmean(result.spot_s for result in results) / _HOUR_S,
        idle_h=fmean(result.idle_s for result in results) / _HOUR_S,
        changeovers=fmean(result.changeovers for result in results),
        optimum_cost_mean_usd=fmean(best_usd) if best_usd else None,
    )


def _plain_usd(usd: float) -> str:
    return f"{quantize_usd(Decimal(repr(usd))):f}"
