"""Shapes runs and cells into a report: groups, totals, averages. Adds up, and nothing else."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from operator import attrgetter

from lowtide.ledger.states import BudgetState
from lowtide.money import ZERO_USD
from lowtide.report.asked import By, ReportAsk
from lowtide.report.records import (
    Cell,
    CostReport,
    Group,
    MonthFigure,
    RunFacts,
    RunFigures,
    Wasted,
)

RUNS_SHOWN_MAX = 200
_KEYS: Mapping[By, Callable[[RunFacts], str]] = {
    By.TEAM: attrgetter("team"),
    By.PROJECT: attrgetter("project"),
    By.BUDGET: attrgetter("budget"),
    By.PRIORITY: attrgetter("priority"),
    By.FLAVOR: attrgetter("flavor"),
    By.JOB: attrgetter("job"),
}


def shape(
    ask: ReportAsk,
    runs: Sequence[RunFigures],
    *,
    made_at: datetime,
    months: Sequence[MonthFigure],
    before_usd: Decimal,
    cells: Sequence[Cell] = (),
    budgets: Sequence[BudgetState] = (),
    shown_max: int = RUNS_SHOWN_MAX,
) -> CostReport:
    """Shape a report.

    Args:
        ask: What was asked for.
        runs: Every run that used time in these days or was asked for in them.
        made_at: The time.
        months: The last months.
        before_usd: Charged in as many days right before, US dollars.
        cells: Used time by day, budget and window; needed where time is what is divided.
        budgets: How the budgets stand now.
        shown_max: So many runs at most are shown one by one.

    Returns:
        The report.
    """
    dearest = sorted(
        runs, key=lambda run: (-run.facts.charged_usd, run.facts.created_at, run.facts.run)
    )
    groups = _groups_of_time(ask, cells) if ask.by.of_time else _groups_of_runs(ask.by, runs)
    return CostReport(
        ask=ask,
        made_at=made_at,
        groups=groups,
        totals=_sum_up({}, runs),
        wasted=_all_wasted(runs),
        runs=tuple(dearest[:shown_max]),
        runs_left_out=max(len(dearest) - shown_max, 0),
        months=tuple(months),
        before_usd=before_usd,
        cells=tuple(cells),
        budgets=tuple(budgets),
    )


def _groups_of_runs(by: By, runs: Iterable[RunFigures]) -> tuple[Group, ...]:
    key_of = _KEYS[by]
    sorted_out: dict[str, list[RunFigures]] = defaultdict(list)
    for run in runs:
        sorted_out[key_of(run.facts)].append(run)
    groups = [_sum_up({by.value: name}, members) for name, members in sorted_out.items()]
    return tuple(sorted(groups, key=lambda group: (-group.charged_usd, group.name)))


def _groups_of_time(ask: ReportAsk, cells: Iterable[Cell]) -> tuple[Group, ...]:
    spent: dict[str, Decimal] = defaultdict(lambda: ZERO_USD)
    if ask.by is By.DAY:
        spent.update({day.isoformat(): ZERO_USD for day in ask.days})
    for cell in cells:
        name = cell.day.isoformat() if ask.by is By.DAY else cell.window
        spent[name] += cell.charged_usd
    groups = [
        Group(
            key={ask.by.value: name},
            charged_usd=charged_usd,
            held_usd=None,
            wasted_usd=None,
            used_s=None,
        )
        for name, charged_usd in spent.items()
    ]
    if ask.by is By.DAY:
        return tuple(sorted(groups, key=lambda group: group.name))
    return tuple(sorted(groups, key=lambda group: (-group.charged_usd, group.name)))


def _sum_up(key: Mapping[str, str], runs: Sequence[RunFigures]) -> Group:
    """Add runs up; figures of whole runs count where the run was made."""
    made = [run for run in runs if run.facts.in_days]
    forecasts = _known(run.facts.forecast_usd for run in made)
    saved = _known(run.saved_usd for run in made)
    waits = [run.waited_s for run in made if run.waited_s is not None]
    return Group(
        key=dict(key),
        runs=len(runs),
        started=sum(bool(run.facts.used_s) for run in made),
        charged_usd=_sum(run.facts.charged_usd for run in runs),
        held_usd=_sum(run.facts.held_usd for run in runs),
        forecast_usd=_sum(forecasts) if forecasts else None,
        forecast_runs=len(forecasts),
        saved_usd=_sum(saved) if saved else None,
        saved_runs=len(saved),
        wasted_usd=_sum(run.wasted.total_usd for run in made),
        waited_s=sum(waits) if waits else None,
        used_s=sum(run.facts.used_s for run in made),
        total_usd=_sum(run.facts.total_usd for run in made),
    )


def _all_wasted(runs: Iterable[RunFigures]) -> Wasted:
    wasted = [run.wasted for run in runs if run.facts.in_days]
    idle = _known(each.idle_usd for each in wasted)
    return Wasted(
        failed_usd=_sum(each.failed_usd for each in wasted),
        lost_usd=_sum(each.lost_usd for each in wasted),
        idle_usd=_sum(idle) if idle else None,
    )


def _known(amounts: Iterable[Decimal | None]) -> list[Decimal]:
    return [amount for amount in amounts if amount is not None]


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, ZERO_USD)
