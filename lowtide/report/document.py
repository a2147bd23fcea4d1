"""A report as the document of design §8, the same for the command line, programs and agents."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from lowtide.plain import plain_moment, plain_usd
from lowtide.report.records import CostReport, Group, MonthFigure, RunFigures, Wasted

SAVED_IS = (
    "a counterfactual: what the same work would have cost on demand, unbroken, from the moment it "
    "was asked for, less what it cost"
)
_EMPTY = "no run used time in these days, and none was asked for"


def document(report: CostReport) -> dict[str, Any]:
    """Return a report as the body of a `report` document.

    Args:
        report: What to tell.

    Returns:
        Its keys; money as text with six places, unknown figures as None.
    """
    ask = report.ask
    return {
        "from": ask.start.astimezone(_zone(report)).isoformat(),
        "to": ask.end.astimezone(_zone(report)).isoformat(),
        "zone": ask.zone,
        "by": ask.by.value,
        "budget": ask.budget,
        "reason": _EMPTY if report.is_empty else None,
        "groups": [_group(group) for group in report.groups],
        "runs": [run_document(run) for run in report.runs],
        "runs_left_out": report.runs_left_out,
        "totals": {
            **_figures(report.totals),
            "wasted": _wasted(report.wasted),
            "before_usd": plain_usd(report.before_usd),
            "change_pct": change_pct(report.before_usd, report.totals.charged_usd),
        },
        "averages": averages(report.totals),
        "months": _months(report.months),
        "saved_is": SAVED_IS,
    }


def run_document(run: RunFigures) -> dict[str, Any]:
    """Return one run of a report: the specification's columns, and what else is known."""
    facts = run.facts
    return {
        "run": facts.run,
        "job": facts.job,
        "state": facts.state,
        "created_at": plain_moment(facts.created_at),
        "duration_s": round(facts.used_s, 3) if facts.legs else None,
        "waited_s": _seconds(run.waited_s),
        "charged_usd": plain_usd(facts.charged_usd),
        "metric": run.metric,
        "team": facts.team,
        "project": facts.project,
        "budget": facts.budget,
        "priority": facts.priority,
        "flavor": facts.flavor,
        "legs": len(facts.legs),
        "held_usd": plain_usd(facts.held_usd),
        "total_usd": plain_usd(facts.total_usd),
        "forecast_usd": _usd(facts.forecast_usd),
        "saved_usd": _usd(run.saved_usd),
        "wasted": _wasted(run.wasted),
    }


def averages(totals: Group) -> dict[str, Any]:
    """Return the averages of a run that started; all None where none did."""
    count = totals.started
    used = totals.used_s or 0.0
    return {
        "runs": count,
        "charged_usd": plain_usd(totals.total_usd / count) if count else None,
        "duration_s": round(used / count, 3) if count else None,
        "waited_s": round((totals.waited_s or 0.0) / count, 3) if count else None,
        "reason": None if count else "no run started",
    }


def change_pct(before_usd: Decimal, now_usd: Decimal) -> float | None:
    """Return by how much a sum changed, per cent; None where there was nothing before.

    Examples:
        >>> change_pct(Decimal(2), Decimal(3)), change_pct(Decimal(0), Decimal(1))
        (50.0, None)
    """
    return round(float((now_usd - before_usd) / before_usd * 100), 1) if before_usd else None


def _months(months: Sequence[MonthFigure]) -> list[dict[str, Any]]:
    before = (None, *(month.charged_usd for month in months[:-1]))
    return [
        {
            "month": month.month,
            "runs": month.runs,
            "charged_usd": plain_usd(month.charged_usd),
            "change_pct": None if last is None else change_pct(last, month.charged_usd),
            "complete": month.complete,
        }
        for last, month in zip(before, months, strict=True)
    ]


def _group(group: Group) -> dict[str, Any]:
    of_time = group.held_usd is None
    why = "used time is divided here; a hold, a forecast and a wait belong to a whole run"
    return {
        "key": dict(group.key),
        **_figures(group),
        **({"runs": None, "reason": why} if of_time else {"reason": None}),
    }


def _figures(group: Group) -> Mapping[str, Any]:
    return {
        "runs": group.runs,
        "held_usd": _usd(group.held_usd),
        "charged_usd": plain_usd(group.charged_usd),
        "forecast_usd": _usd(group.forecast_usd),
        "forecast_runs": group.forecast_runs,
        "saved_usd": _usd(group.saved_usd),
        "saved_runs": group.saved_runs,
        "wasted_usd": _usd(group.wasted_usd),
        "waited_s": _seconds(group.waited_s),
        "used_s": _seconds(group.used_s),
    }


def _wasted(wasted: Wasted) -> dict[str, Any]:
    return {
        "failed_usd": plain_usd(wasted.failed_usd),
        "lost_usd": plain_usd(wasted.lost_usd),
        "idle_usd": _usd(wasted.idle_usd),
        "idle_reason": None
        if wasted.idle_usd is not None
        else "no program logged gpu_utilization",
    }


def _usd(amount_usd: Decimal | None) -> str | None:
    return None if amount_usd is None else plain_usd(amount_usd)


def _seconds(duration_s: float | None) -> float | None:
    return None if duration_s is None else round(duration_s, 3)


def _zone(report: CostReport) -> ZoneInfo:
    return ZoneInfo(report.ask.zone)
