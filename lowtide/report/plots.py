"""The drawings of a report, as Plotly takes them: data and layout, plain JSON.

Colours are left to the page, which knows whether it is light or dark: a trace names its colour by
its number in the page's palette.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from lowtide.ledger.states import BudgetState
from lowtide.money import ZERO_USD
from lowtide.report.records import Cell, CostReport

_GROUPS_MAX = 12
_BUDGETS_MAX = 4
_LAST_DAYS = 7


def plots(report: CostReport) -> dict[str, dict[str, Any]]:
    """Return the drawings of a report, by the name of the place where each belongs.

    Args:
        report: One with cells.

    Returns:
        `data` and `layout` of each; what there is nothing to draw of is left out.
    """
    made = {
        "by-day": _by_day(report),
        "by-group": _by_group(report),
        "burn-down": _burn_down(report),
        "forecasts": _forecasts(report),
    }
    return {name: plot for name, plot in made.items() if plot["data"]}


def _by_day(report: CostReport) -> dict[str, Any]:
    windows: dict[str, dict[date, Decimal]] = defaultdict(lambda: defaultdict(lambda: ZERO_USD))
    for cell in report.cells:
        windows[cell.window][cell.day] += cell.charged_usd
    days = report.ask.days
    data = [
        {
            "type": "bar",
            "name": window,
            "x": [day.isoformat() for day in days],
            "y": [_usd(spent.get(day, ZERO_USD)) for day in days],
            "hovertemplate": "%{x}: $%{y:.4f}",
        }
        for window, spent in sorted(windows.items())
    ]
    return {"data": data, "layout": {"barmode": "relative", "yaxis": _AXIS_USD}}


def _by_group(report: CostReport) -> dict[str, Any]:
    shown = report.groups[:_GROUPS_MAX]
    rest = sum((group.charged_usd for group in report.groups[_GROUPS_MAX:]), ZERO_USD)
    bars = [(group.name, group.charged_usd) for group in shown]
    bars += [("all others", rest)] if rest else []
    if not any(usd for _, usd in bars):
        return {"data": [], "layout": {}}
    bars.reverse()
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": "charged",
            "y": [name for name, _ in bars],
            "x": [_usd(usd) for _, usd in bars],
            "hovertemplate": "%{y}: $%{x:.4f}<extra></extra>",
        }
    ]
    layout = {"xaxis": _AXIS_USD, "yaxis": {"automargin": True, "type": "category"}}
    return {"data": data, "layout": {**layout, "showlegend": False}}


def _burn_down(report: CostReport) -> dict[str, Any]:
    data: list[dict[str, Any]] = []
    roots = [state for state in report.budgets if _drawn(report, state)][:_BUDGETS_MAX]
    for number, state in enumerate(roots):
        data += _left(report, state, number=number)
    return {
        "data": data,
        "layout": {"showlegend": True, "yaxis": {**_AXIS_USD, "rangemode": "tozero"}},
    }


def _drawn(report: CostReport, state: BudgetState) -> bool:
    top = state.name == report.ask.budget if report.ask.budget else state.parent is None
    return top and state.period.end.year < 9000 and state.charged_usd > 0  # noqa: PLR2004


def _left(report: CostReport, state: BudgetState, *, number: int) -> Iterator[dict[str, Any]]:
    """Yield what was left of a budget at each day's end, and how it goes on if it does."""
    zone = ZoneInfo(report.ask.zone)
    first = state.period.start.astimezone(zone).date()
    last = (state.period.end - timedelta(microseconds=1)).astimezone(zone).date()
    now = report.made_at.astimezone(zone).date()
    days = [day for day in report.ask.days if first <= day <= min(last, now)]
    if not days:
        return
    below = {other.name for other in report.budgets if _is_below(other, state, report.budgets)}
    spent = _by_date(report.cells, below)
    left = state.limit_usd - state.charged_usd
    values: list[Decimal] = []
    for day in reversed(days):
        values.append(left)
        left += spent.get(day, ZERO_USD)
    values.reverse()
    yield {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"{state.name}, left of {state.limit_usd.normalize():f}",
        "x": [day.isoformat() for day in days],
        "y": [_usd(value) for value in values],
        "colour": number,
    }
    ahead = (last - days[-1]).days
    if ahead > 0:
        recent = days[-_LAST_DAYS:]
        pace = sum((spent.get(day, ZERO_USD) for day in recent), ZERO_USD) / len(recent)
        yield {
            "type": "scatter",
            "mode": "lines",
            "name": f"{state.name}, forecast at the last {len(recent)} days' pace",
            "x": [days[-1].isoformat(), last.isoformat()],
            "y": [_usd(values[-1]), _usd(values[-1] - pace * ahead)],
            "line": {"dash": "dot"},
            "colour": number,
        }


def _is_below(state: BudgetState, top: BudgetState, all_: Sequence[BudgetState]) -> bool:
    parents: Mapping[str, str | None] = {each.name: each.parent for each in all_}
    name: str | None = state.name
    while name is not None:
        if name == top.name:
            return True
        name = parents.get(name)
    return False


def _by_date(cells: Sequence[Cell], budgets: set[str]) -> dict[date, Decimal]:
    spent: dict[date, Decimal] = defaultdict(lambda: ZERO_USD)
    for cell in cells:
        if cell.budget in budgets:
            spent[cell.day] += cell.charged_usd
    return spent


def _forecasts(report: CostReport) -> dict[str, Any]:
    known = [
        (run.facts.forecast_usd, run.facts.total_usd, run.facts)
        for run in report.runs
        if run.facts.forecast_usd is not None and run.facts.finished and run.facts.used_s
    ]
    if not known:
        return {"data": [], "layout": {}}
    top = _usd(max(max(forecast, total) for forecast, total, _ in known))
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "runs",
            "x": [_usd(forecast) for forecast, _, _ in known],
            "y": [_usd(total) for _, total, _ in known],
            "text": [f"{facts.job} {facts.run}" for _, _, facts in known],
            "hovertemplate": "%{text}<br>forecast $%{x:.4f}, cost $%{y:.4f}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "name": "as forecast",
            "x": [0, top],
            "y": [0, top],
            "line": {"dash": "dot"},
            "hoverinfo": "skip",
        },
    ]
    axis = {**_AXIS_USD, "rangemode": "tozero"}
    layout = {
        "xaxis": {**axis, "title": {"text": "forecast (P50)"}},
        "yaxis": {**axis, "title": {"text": "cost"}},
    }
    return {"data": data, "layout": layout}


_AXIS_USD: Mapping[str, Any] = {"tickprefix": "$", "automargin": True}


def _usd(amount_usd: Decimal) -> float:
    return float(amount_usd)


def today_in(report: CostReport) -> str:
    """Return when the report was made, for a person."""
    return f"{report.made_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
