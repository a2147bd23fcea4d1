"""Shapes runs and cells into a report: groups, totals, averages. Adds up, and nothing else."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from heapq import nsmallest
from operator import attrgetter

from lowtide.ledger.states import BudgetState
from lowtide.money import ZERO_USD, from_micro
from lowtide.prices.instants import SECOND_US
from lowtide.report.asked import By, ReportAsk
from lowtide.report.records import (
    NOTHING_WASTED,
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
    dearest = nsmallest(
        shown_max,
        runs,
        key=lambda run: (-run.facts.charged_micro_usd, run.facts.created_us, run.facts.run),
    )
    sums = _added_up(None if ask.by.of_time else _KEYS[ask.by], runs)
    totals = _Sums()
    for each in sums.values():
        totals.merge(each)
    return CostReport(
        ask=ask,
        made_at=made_at,
        groups=_groups_of_time(ask, cells) if ask.by.of_time else _groups_of_runs(ask.by, sums),
        totals=totals.group({}),
        wasted=totals.wasted,
        runs=tuple(dearest),
        runs_left_out=len(runs) - len(dearest),
        months=tuple(months),
        before_usd=before_usd,
        cells=tuple(cells),
        budgets=tuple(budgets),
    )


@dataclass(slots=True)
class _Sums:
    """Sums over runs; figures of whole runs count where the run was made."""

    runs: int = 0
    started: int = 0
    charged: int = 0
    held: int = 0
    total: int = 0
    used_us: int = 0
    forecast_usd: Decimal = ZERO_USD
    forecast_runs: int = 0
    saved: int = 0
    saved_runs: int = 0
    waited_us: int = 0
    waited_runs: int = 0
    failed_usd: Decimal = ZERO_USD
    lost_usd: Decimal = ZERO_USD
    idle_usd: Decimal = ZERO_USD
    idle_runs: int = 0

    def add(self, run: RunFigures) -> None:
        """Add one run."""
        facts = run.facts
        self.runs += 1
        self.charged += facts.charged_micro_usd
        self.held += facts.held_micro_usd
        if not facts.in_days:
            return
        self.started += bool(run.used_us)
        self.total += run.total_micro_usd
        self.used_us += run.used_us
        if facts.forecast_usd is not None:
            self.forecast_usd += facts.forecast_usd
            self.forecast_runs += 1
        if run.counterfactual_micro_usd is not None:
            self.saved += run.counterfactual_micro_usd - run.total_micro_usd
            self.saved_runs += 1
        if run.waited_us is not None:
            self.waited_us += run.waited_us
            self.waited_runs += 1
        if run.wasted is not NOTHING_WASTED:
            self._add_waste(run.wasted)

    def _add_waste(self, wasted: Wasted) -> None:
        self.failed_usd += wasted.failed_usd
        self.lost_usd += wasted.lost_usd
        if wasted.idle_usd is not None:
            self.idle_usd += wasted.idle_usd
            self.idle_runs += 1

    def merge(self, others: "_Sums") -> None:
        """Add the sums over other runs."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(others, each.name))

    @property
    def wasted(self) -> Wasted:
        """The waste of all."""
        return Wasted(
            failed_usd=self.failed_usd,
            lost_usd=self.lost_usd,
            idle_usd=self.idle_usd if self.idle_runs else None,
        )

    def group(self, key: Mapping[str, str]) -> Group:
        """Return them as a group's figures."""
        return Group(
            key=dict(key),
            runs=self.runs,
            started=self.started,
            charged_usd=from_micro(self.charged),
            held_usd=from_micro(self.held),
            forecast_usd=self.forecast_usd if self.forecast_runs else None,
            forecast_runs=self.forecast_runs,
            saved_usd=from_micro(self.saved) if self.saved_runs else None,
            saved_runs=self.saved_runs,
            wasted_usd=self.wasted.total_usd,
            waited_s=self.waited_us / SECOND_US if self.waited_runs else None,
            used_s=self.used_us / SECOND_US,
            total_usd=from_micro(self.total),
        )


def _added_up(
    key_of: Callable[[RunFacts], str] | None, runs: Iterable[RunFigures]
) -> dict[str, _Sums]:
    """Add runs up by a key; None: all of them together."""
    sums: dict[str, _Sums] = defaultdict(_Sums)
    for run in runs:
        sums["" if key_of is None else key_of(run.facts)].add(run)
    return sums


def _groups_of_runs(by: By, sums: Mapping[str, _Sums]) -> tuple[Group, ...]:
    groups = [each.group({by.value: name}) for name, each in sums.items()]
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
