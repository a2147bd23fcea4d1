"""A report as Markdown and as table rows, for Prefect's UI and for agents."""

from decimal import Decimal
from typing import Any

from lowtide.money import show_usd
from lowtide.report.document import SAVED_IS, change_pct
from lowtide.report.records import CostReport, Group
from lowtide.words import show_duration

UNKNOWN = "unknown"


def title(report: CostReport) -> str:
    """Return what a report is about, one line."""
    ask = report.ask
    whose = "" if ask.budget is None else f", budget {ask.budget}"
    return f"Costs from {ask.first_day} to {ask.last_day} ({ask.zone}){whose}"


def headline(report: CostReport) -> str:
    """Return the one sentence that a person reads first."""
    totals = report.totals
    if report.is_empty:
        return "No run used time in these days, and none was asked for."
    change = change_pct(report.before_usd, totals.charged_usd)
    against = (
        "nothing was charged in as many days before"
        if change is None
        else f"{change:+.1f} % against the {show_usd(report.before_usd)} of as many days before"
    )
    runs = f"{totals.runs} run{'' if totals.runs == 1 else 's'}"
    return f"{show_usd(totals.charged_usd)} charged for {runs}; {against}."


def rows(report: CostReport) -> list[dict[str, Any]]:
    """Return the groups as rows of a table artifact."""
    return [
        {
            report.ask.by.value: group.name,
            "runs": "" if group.held_usd is None else group.runs,
            "charged": show_usd(group.charged_usd),
            "held": _shown(group.held_usd, of_time=group.held_usd is None),
            "forecast": _shown(group.forecast_usd, of_time=group.held_usd is None),
            "saved*": _shown(group.saved_usd, of_time=group.held_usd is None),
            "wasted": _shown(group.wasted_usd, of_time=group.held_usd is None),
            "waited": _waited(group),
        }
        for group in report.groups
    ]


def markdown(report: CostReport) -> str:
    """Return a report as Markdown."""
    lines = [f"# {title(report)}", "", headline(report), ""]
    if report.is_empty:
        return "\n".join(lines)
    lines += _table(rows(report))
    lines += ["", f"\\* {SAVED_IS}.", "", "## Waste", ""]
    lines += _table(waste_rows(report))
    lines += ["", "## Months", ""]
    lines += _table(month_rows(report))
    lines += ["", "## The dearest runs", ""]
    lines += _table(run_rows(report, shown_max=20))
    return "\n".join(lines)


def waste_rows(report: CostReport) -> list[dict[str, Any]]:
    """Return what bought nothing."""
    wasted = report.wasted
    idle = UNKNOWN if wasted.idle_usd is None else show_usd(wasted.idle_usd)
    return [
        {"money that bought nothing": "runs that failed", "USD": show_usd(wasted.failed_usd)},
        {
            "money that bought nothing": "work done again after interruptions (estimate)",
            "USD": show_usd(wasted.lost_usd),
        },
        {"money that bought nothing": "idle GPUs", "USD": idle},
    ]


def month_rows(report: CostReport) -> list[dict[str, Any]]:
    """Return the months, each against the one before."""
    before: Decimal | None = None
    found: list[dict[str, Any]] = []
    for month in report.months:
        change = None if before is None else change_pct(before, month.charged_usd)
        found.append(
            {
                "month": month.month if month.complete else f"{month.month} (so far)",
                "runs": month.runs,
                "charged": show_usd(month.charged_usd),
                "change": "" if change is None else f"{change:+.1f} %",
            }
        )
        before = month.charged_usd
    return found


def run_rows(report: CostReport, *, shown_max: int) -> list[dict[str, Any]]:
    """Return the dearest runs, with the specification's columns."""
    return [
        {
            "run": run.facts.run,
            "model": run.facts.job,
            "duration": show_duration(run.facts.used_s) if run.facts.legs else "not started",
            "cost": show_usd(run.facts.charged_usd),
            "accuracy": UNKNOWN if run.metric is None else f"{run.metric:.4f}",
            "state": run.facts.state,
        }
        for run in report.runs[:shown_max]
    ]


def _table(found: list[dict[str, Any]]) -> list[str]:
    if not found:
        return ["nothing"]
    names = list(found[0])
    return [
        "| " + " | ".join(names) + " |",
        "|" + "---|" * len(names),
        *("| " + " | ".join(str(row[name]) for name in names) + " |" for row in found),
    ]


def _shown(amount_usd: Decimal | None, *, of_time: bool) -> str:
    if of_time:
        return ""
    return UNKNOWN if amount_usd is None else show_usd(amount_usd)


def _waited(group: Group) -> str:
    if group.held_usd is None:
        return ""
    return "not started" if group.waited_s is None else show_duration(group.waited_s)
