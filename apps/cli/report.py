"""`lowtide report`: where the money went."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from apps.cli.options import Json


class Format(StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    HTML = "html"
    FOCUS_CSV = "focus-csv"
    FOCUS_PARQUET = "focus-parquet"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    *,
    from_: Annotated[
        str | None, typer.Option("--from", help="First day, as 2026-11-01; default: 30 days back.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="Last day, included; default: today.")] = None,
    by: Annotated[
        str,
        typer.Option(help="team, project, budget, priority, flavor, window, day or job."),
    ] = "team",
    budget: Annotated[str | None, typer.Option(help="Only this budget and those below.")] = None,
    zone: Annotated[str, typer.Option(help="Time zone in whose calendar days begin.")] = "UTC",
    format_: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; default: standard output."),
    ] = None,
    json: Json = False,
) -> None:
    """Report what was charged, held, forecast, saved and wasted, and what waited."""
    from apps.reports import costs, written

    chosen = Format.JSON if json else format_
    made = costs(from_, to, by=by, zone=zone, budget=budget, with_cells=chosen is Format.HTML)
    written(made, form=chosen.value, output=output)
