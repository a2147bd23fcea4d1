"""Answers as tables, for a person at a terminal."""

from rich.console import Console
from rich.table import Table

from apps.texts import check_text
from lowtide.check import Check
from lowtide.compare import Comparison
from lowtide.money import show_usd
from lowtide.words import show_duration


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
