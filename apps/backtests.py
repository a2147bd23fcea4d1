"""Gathers what a back-test needs from files and options, runs it, and shows what it found."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from rich.console import Console
from rich.table import Table

from blocks.price_books import book_at
from blocks.traces import read_traces, read_windows
from lowtide.backtest import (
    MIDNIGHT,
    Ask,
    Cell,
    Market,
    Scores,
    Trace,
    Values,
    cut,
    draw_windows,
    score,
)
from lowtide.backtest.market import UsdPerHour, Window
from lowtide.errors import BadInputError
from lowtide.job import PolicyName
from lowtide.legs import Capacity
from lowtide.policy import PRIOR, fit_zone
from lowtide.prices import Demand, segments
from lowtide.verdict import RefusalReason, Refused

Windows: TypeAlias = Mapping[str, Sequence[Window]]

_HOUR_S = 3600.0
_WIDTH = 200
_COLUMNS = (
    "windows",
    "cost, $",
    "saving, %",
    "missed",
    "on demand, h",
    "spot, h",
    "idle, h",
    "legs",
    "optimum, $",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What time costs: from a price book, from options, or from the recording itself.

    Attributes:
        book: Name or file of a price book.
        flavor: Flavor in the book.
        on_demand_usd: Price on demand, US dollars per hour; without a book.
        spot_usd: Price on spot; counts before a recording's own prices, and those before a book's.
    """

    book: str | None
    flavor: str
    on_demand_usd: float | None
    spot_usd: float | None

    def __post_init__(self) -> None:
        if (self.book is None) == (self.on_demand_usd is None):
            msg = "prices are needed once"
            raise BadInputError(
                msg,
                expected="--prices BOOK, or --on-demand-usd X with --spot-usd Y",
                got="neither" if self.book is None else "both",
                remedy="give one of them",
            )
        check_positive(self.on_demand_usd, "--on-demand-usd")
        check_positive(self.spot_usd, "--spot-usd")

    def on_demand(self, trace: Trace) -> UsdPerHour:
        """Return the price on demand, for all ticks or for each."""
        if self.on_demand_usd is not None:
            return self.on_demand_usd
        return self._from_book(trace, Capacity.ON_DEMAND)

    def spot(self, trace: Trace) -> UsdPerHour:
        """Return the price on spot, for all ticks or for each."""
        if self.spot_usd is not None:
            return self.spot_usd
        if trace.spot_usd_per_h is not None:
            return trace.spot_usd_per_h
        if self.book is None:
            msg = "the recording has no prices"
            raise BadInputError(
                msg, where=trace.name, expected="--spot-usd", remedy="give the spot price"
            )
        return self._from_book(trace, Capacity.SPOT)

    def _from_book(self, trace: Trace, capacity: Capacity) -> UsdPerHour:
        ticks = np.arange(len(trace.available)) * trace.gap_s
        book = book_at(str(self.book))
        start = max(MIDNIGHT, *(sheet.effective_from for sheet in book.sheets))
        parts = segments(
            book,
            Demand(flavor=self.flavor, capacity=capacity),
            start=start,
            end=start + timedelta(seconds=len(ticks) * trace.gap_s),
        )
        ends_s = [(part.end - start).total_seconds() for part in parts]
        usd_per_h = np.array([float(part.usd_per_h) for part in parts])
        return usd_per_h[np.searchsorted(ends_s, ticks, side="right")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What is to be replayed.

    Attributes:
        traces: Folder of recordings, or one.
        values: What their numbers mean, where they do not say so.
        nodes: Nodes that must be there at once.
        windows: File of windows; None: drawn at random.
        starts: Windows to draw for each trace.
        seed: Seed of the drawn ones.
        fit: Recordings that `adaptive` learns from; None: the shipped prior.
        rates: What time costs.
        ask: What must be done.
        policies: Who decides.
        optimum: Whether the cheapest cost in hindsight is wanted beside.
    """

    traces: Path
    values: Values | None
    nodes: int
    windows: Path | None
    starts: int
    seed: int
    fit: Path | None
    rates: Rates
    ask: Ask
    policies: Sequence[PolicyName]
    optimum: bool

    def run(self) -> Scores | Refused:
        """Run it, or say by how much the deadline is too tight for anything."""
        late_s = self.ask.work_s + self.ask.changeover_s - self.ask.deadline_s
        if late_s > 0:
            needed_h = (self.ask.work_s + self.ask.changeover_s) / _HOUR_S
            return Refused(
                reason=RefusalReason.DEADLINE,
                message=f"even on demand from the first moment it is {late_s / _HOUR_S:.2f} h late",
                remedy=f"give it {needed_h:g} h, or less work",
            )
        traces = read_traces(self.traces, values=self.values, nodes=self.nodes)
        zone = PRIOR
        if self.fit is not None:
            learnt_from = read_traces(self.fit, values=self.values, nodes=self.nodes)
            zone = fit_zone([trace.recording for trace in learnt_from])
        return score(
            self._markets(traces),
            self.ask,
            policies=self.policies,
            zone=zone,
            optimum=self.optimum,
        )

    def _markets(self, traces: Sequence[Trace]) -> dict[str, tuple[Market, ...]]:
        windows = self._windows(traces)
        return {
            trace.name: cut(
                trace,
                windows[trace.name],
                on_demand_usd_per_h=self.rates.on_demand(trace),
                spot_usd_per_h=self.rates.spot(trace),
            )
            for trace in traces
            if trace.name in windows
        }

    def _windows(self, traces: Sequence[Trace]) -> Windows:
        deadline_s = self.ask.deadline_s
        if self.windows is None:
            return draw_windows(traces, deadline_s=deadline_s, starts=self.starts, seed=self.seed)
        return read_windows(self.windows, traces, deadline_s=deadline_s)


def meaning_of(values: str | None) -> Values | None:
    """Read `--values`."""
    if values is None or values in set(Values):
        return None if values is None else Values(values)
    msg = "unknown meaning of the numbers"
    raise BadInputError(
        msg, where="--values", expected=" or ".join(Values), got=values, remedy="name one of them"
    )


def check_positive(number: float | None, option: str) -> None:
    """Refuse what is no positive number."""
    if number is not None and not 0 < number < float("inf"):
        msg = "the number cannot be used"
        raise BadInputError(
            msg, where=option, expected="> 0", got=str(number), remedy="give a positive number"
        )


def show(scores: Scores) -> None:
    """Print the scores as a table."""
    table = Table()
    for column in ("trace", "policy"):
        table.add_column(column, overflow="fold")  # a name that is cut says nothing
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    for cells in (scores.cells, scores.totals):
        for cell in cells:
            table.add_row(*_row(cell))
        table.add_section()
    # Where no terminal sets the width, the table takes what it needs.
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)


def _row(cell: Cell) -> tuple[str, ...]:
    optimum = cell.optimum_cost_mean_usd
    return (
        cell.trace,
        cell.policy.value,
        str(cell.windows),
        f"{cell.cost_mean_usd:.3f}",
        f"{cell.saving_pct:.1f}",
        str(cell.missed),
        f"{cell.on_demand_h:.1f}",
        f"{cell.spot_h:.1f}",
        f"{cell.idle_h:.1f}",
        f"{cell.changeovers:.1f}",
        "" if optimum is None else f"{optimum:.3f}",
    )


def plot(scores: Scores, file: Path) -> None:
    """Write a chart of the savings.

    Args:
        scores: What was found.
        file: Where to; its ending says in which form.

    Raises:
        BadInputError: the file cannot be written, or its form is unknown.
    """
    # matplotlib comes with MLflow, and is slow to load.
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    cells = (*scores.cells, *scores.totals)
    traces = list(dict.fromkeys(cell.trace for cell in cells))
    policies = list(dict.fromkeys(cell.policy for cell in cells))
    width = 0.8 / len(policies)
    drawn: tuple[Any, Any] = plt.subplots(figsize=(3 + len(traces), 4.5), layout="constrained")
    figure, axes = drawn
    for number, policy in enumerate(policies):
        saving_pct = {cell.trace: cell.saving_pct for cell in cells if cell.policy is policy}
        places = [place + number * width for place in range(len(traces))]
        axes.bar(places, [saving_pct[trace] for trace in traces], width, label=policy.value)
    middle = (len(policies) - 1) * width / 2
    axes.set_xticks([place + middle for place in range(len(traces))], traces, rotation=20)
    axes.set_ylabel("saving against on demand, %")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.legend()
    try:
        figure.savefig(file)
    except (OSError, ValueError) as error:
        msg = f"the chart cannot be written: {error}"
        remedy = "name a .png, .svg or .pdf file in a folder that exists"
        raise BadInputError(msg, where=str(file), remedy=remedy) from None
    finally:
        plt.close(figure)
