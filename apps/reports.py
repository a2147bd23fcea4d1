"""The report on many runs, for every door: the command line, programs, agents."""

import json
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apps.books import open_ledger, price_book
from apps.focus_files import csv_parts, write_parquet
from apps.output import document as whole, notice
from apps.tables import costs_text
from blocks.costs import advice_taken, cost_report, focus_rows
from blocks.settings import Settings
from lowtide.errors import BadInputError, LowtideError
from lowtide.prices import PriceBook
from lowtide.report import By, CostReport, document, parse_ask
from lowtide.report.html import as_html


def costs(
    first: str | None,
    last: str | None,
    *,
    by: str = By.TEAM,
    zone: str = "UTC",
    budget: str | None = None,
    with_cells: bool = False,
) -> CostReport:
    """Return the report on some days.

    Args:
        first: First day as 2026-11-01; None: thirty days up to the last.
        last: Last day, included; None: today.
        by: What to group by.
        zone: IANA name of the time zone in whose calendar days begin.
        budget: Only this budget and those below it; None: all.
        with_cells: Whether drawings are wanted too.

    Raises:
        BadInputError: half a date, dates reversed, no such zone, budget or grouping.
    """
    settings, now = Settings(), datetime.now(UTC)
    ask = parse_ask(first, last, now=now, zone=zone, by=by, budget=budget)
    return cost_report(
        open_ledger(settings), ask, book=known_prices(settings), now=now, with_cells=with_cells
    )


def costs_document(
    first: str | None,
    last: str | None,
    *,
    by: str = By.TEAM,
    zone: str = "UTC",
    budget: str | None = None,
) -> dict[str, Any]:
    """Return the same as the body of a `report` document of design §8.

    Raises:
        BadInputError: as `costs` says.
    """
    return document(costs(first, last, by=by, zone=zone, budget=budget))


def known_prices(settings: Settings) -> PriceBook | None:
    """Return the price book; None where it is not to be had, for money spent needs no price."""
    try:
        return price_book(settings)
    except LowtideError:
        return None


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Say in one sentence why a file cannot be written.

    Raises:
        BadInputError: its folder is missing or closed to us, or the disk is full.
    """
    try:
        yield
    except OSError as error:
        msg = f"the report cannot be written: {error.strerror or error}"
        raise BadInputError(
            msg,
            where=str(path),
            expected="a file in a folder that exists and may be written to",
            remedy="make the folder or name another one; nothing was written",
        ) from None


def written(report: CostReport, *, form: str, output: Path | None) -> None:
    """Print a report in one of its forms, or write it to a file.

    Args:
        report: What to write.
        form: "table", "json", "html", "focus-csv" or "focus-parquet".
        output: The file; None: standard output.

    Raises:
        BadInputError: the file cannot be written, or a form that is not text has no file.
    """
    if form == "focus-parquet":
        _write_parquet(report, output)
        return
    if output is None:
        for part in _parts(report, form):
            sys.stdout.write(part)
        return
    with writing(output), output.open("w", encoding="utf-8", newline="") as file:
        file.writelines(_parts(report, form))
    notice(f"report {output}")


def _parts(report: CostReport, form: str) -> Iterator[str]:
    match form:
        case "json":
            yield json.dumps(whole("report", document(report))) + "\n"
        case "focus-csv":
            yield from csv_parts(_focus_rows(report))
        case "html":
            yield _html(report)
        case _:
            yield costs_text(report) + "\n"


def _html(report: CostReport) -> str:
    from plotly.offline import get_plotlyjs  # takes a moment

    advice = advice_taken(open_ledger(Settings()), report)
    return as_html(report, plotly_js=get_plotlyjs(), advice=advice)


def _write_parquet(report: CostReport, output: Path | None) -> None:
    if output is None:
        msg = "a Parquet file is not text, and would not be readable here"
        raise BadInputError(
            msg,
            where="--output",
            expected="the file to write",
            remedy="add `--output focus.parquet`, or use `--format focus-csv`",
        )
    with writing(output):
        write_parquet(_focus_rows(report), output)
    notice(f"report {output}")


def _focus_rows(report: CostReport) -> Iterator[dict[str, str]]:
    return focus_rows(open_ledger(Settings()), report.ask)
