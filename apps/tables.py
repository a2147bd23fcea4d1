"""Answers as tables, for a person at a terminal."""

import shutil
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table

from apps.texts import check_text
from lowtide.check import Check
from lowtide.compare import Comparison
from lowtide.money import show_usd
from lowtide.report import CostReport
from lowtide.report.document import SAVED_IS
from lowtide.report.markdown import headline, month_rows, rows, run_rows, title, waste_rows
from lowtide.words import show_duration

_RUNS_SHOWN = 20
_WIDTH_MIN = 80


def print_check(found: Check) -> None:
    """Print the answer to `lowtide check`."""
    print(check_text(found))
    if not found.options:
        return
    table = Table("", "option", "cost", "saves", "fits", "what it does and assumes")
    for rank, option in enumerate(found.options, 1):
        table.add_row(
            str(rank),
            option.kind,
            show_usd(option.cost_usd.p50),
            show_usd(option.saves_usd),
            "yes" if option.fits_budget else "no",
            option.why,
        )
    Console().print(table)


def print_comparison(found: Comparison) -> None:
    """Print the answer to `lowtide compare`; configurations that nothing beats are marked."""
    table = Table("", "configuration", "epochs", "time", "cost", "metric", "", "note")
    for row in found.rows:
        table.add_row(
            str(row.index),
            ", ".join(f"{key} {value}" for key, value in row.config.document().items()),
            str(row.epochs),
            "" if row.time_s is None else show_duration(row.time_s.p50),
            "" if row.cost_usd is None else show_usd(row.cost_usd.p50),
            "" if row.metric is None else f"{row.metric.p50:.4f}",
            "*" if row.pareto else ("" if row.feasible else "no"),
            row.reason or "",
        )
    Console().print(table)
    print(
        f"* nothing else is better in cost, time and {found.goodness_by} at once; no: not feasible"
    )


def costs_text(report: CostReport) -> str:
    """Return a report as the tables that a terminal shows."""
    console = Console(file=StringIO(), width=_terminal_width())
    with console.capture() as shown:
        console.print(title(report), style="bold")
        console.print(headline(report))
        if not report.is_empty:
            for found in (rows(report), waste_rows(report), month_rows(report)):
                console.print(_table(found))
            console.print(_table(run_rows(report, shown_max=_RUNS_SHOWN)))
            more = report.runs_left_out + max(len(report.runs) - _RUNS_SHOWN, 0)
            if more:
                console.print(f"and {more} more runs: --format json, or fewer days")
            console.print(f"* {SAVED_IS}")
    return shown.get().rstrip()


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table(*found[0])
    for row in found:
        table.add_row(*(str(value) for value in row.values()))
    return table


def _terminal_width() -> int:
    return max(shutil.get_terminal_size(fallback=(120, 24)).columns, _WIDTH_MIN)
