"""What a report is made of: runs with their figures, cells of used time, groups, months.

Money comes from the journal and nowhere else: `charged_usd` of a run or a cell is a sum of journal
lines whose used time begins in the report's days. The other figures of a run belong to the whole
run, and count once, in the report in whose days the run was made.

A month may have ten thousand runs, of which a report shows two hundred and adds up the others. So a
run is kept as the database has it, in whole microseconds and micro-dollars, which add up as they
are; times, dollars and documents are made of them where somebody looks.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

from lowtide.ledger.states import BudgetState
from lowtide.money import ZERO_USD, from_micro
from lowtide.prices.instants import SECOND_US, from_us
from lowtide.report.asked import ReportAsk


def team_of(tags: Mapping[str, str], path: Sequence[str]) -> str:
    """Return whose money it is: tag `team`, else the second level of the budget tree, or its root.

    Args:
        tags: The run's labels.
        path: The budget that pays and those above it, the root first.

    Examples:
        >>> team_of({}, ["org", "vision", "vision/digits"]), team_of({"team": "ml"}, ["org"])
        ('vision', 'ml')
    """
    return tags.get("team") or path[min(1, len(path) - 1)]


class LegFigures(NamedTuple):
    """One leg, as a report needs it.

    Attributes:
        flavor: Kind of capacity.
        price_version: Price-book version that it is billed by.
        started_us: Start of the program, microseconds since 1970; None: it never started.
        ended_us: End of it; for a leg that runs, the time up to which it was charged.
        charged_micro_usd: What was charged for it in all.
    """

    flavor: str
    price_version: str
    started_us: int | None
    ended_us: int | None
    charged_micro_usd: int

    @property
    def used_us(self) -> int:
        """Microseconds that it ran."""
        if self.started_us is None or self.ended_us is None:
            return 0
        return max(self.ended_us - self.started_us, 0)


class EpochSeen(NamedTuple):
    """An epoch that was seen to end.

    Attributes:
        at_us: When it was seen, microseconds since 1970.
        epoch_s: What it took, seconds; None: unknown.
    """

    at_us: int
    epoch_s: float | None


class RunFacts(NamedTuple):
    """A run as the ledger knows it, before anything is worked out.

    Attributes:
        run: Its id.
        job: The job's name.
        document_json: The job as a document, not read yet.
        budget: The budget that pays.
        path: That budget and those above it, the root first.
        tags: The job's labels.
        priority: Its priority.
        state: Where it is.
        finished: Whether nothing more is to be done about it.
        created_us: When it was asked for, microseconds since 1970.
        in_days: Whether that was in the report's days.
        legs: Its legs, oldest first.
        epochs: The epochs that were seen, oldest first; only of runs that were interrupted.
        charged_micro_usd: Charged for time used in the report's days.
        held_micro_usd: Still set aside for it.
        forecast_usd: What it was forecast to cost (P50) when it was first planned; None: unknown.
        gpu_utilization: Mean share of the time in which its GPUs worked, 0 to 1; None: unknown.
    """

    run: str
    job: str
    document_json: str
    budget: str
    path: tuple[str, ...]
    tags: Mapping[str, str]
    priority: str
    state: str
    finished: bool
    created_us: int
    in_days: bool
    legs: tuple[LegFigures, ...] = ()
    epochs: tuple[EpochSeen, ...] = ()
    charged_micro_usd: int = 0
    held_micro_usd: int = 0
    forecast_usd: Decimal | None = None
    gpu_utilization: float | None = None

    @property
    def document(self) -> Mapping[str, Any]:
        """The job as a document."""
        found: Mapping[str, Any] = json.loads(self.document_json)
        return found

    @property
    def created_at(self) -> datetime:
        """When it was asked for, aware UTC."""
        return from_us(self.created_us)

    @property
    def flavor(self) -> str:
        """The capacity that it last ran on, else the one that it asked for."""
        if self.legs:
            return self.legs[-1].flavor
        resources: Mapping[str, Any] = self.document.get("resources") or {}
        return str(resources.get("flavor", "unknown"))

    @property
    def team(self) -> str:
        """Tag `team`; without it the second level of the budget tree, or its root."""
        return team_of(self.tags, self.path)

    @property
    def project(self) -> str:
        """Tag `project`; without it the budget that pays."""
        return self.tags.get("project") or self.budget

    @property
    def used_us(self) -> int:
        """Microseconds that its legs ran."""
        return sum([leg.used_us for leg in self.legs])

    @property
    def used_s(self) -> float:
        """Seconds that its legs ran."""
        return self.used_us / SECOND_US

    @property
    def charged_usd(self) -> Decimal:
        """Charged for time used in the report's days, US dollars."""
        return from_micro(self.charged_micro_usd)

    @property
    def held_usd(self) -> Decimal:
        """Still set aside for it, US dollars."""
        return from_micro(self.held_micro_usd)

    @property
    def total_micro_usd(self) -> int:
        """What was charged for it in all, whenever that was."""
        return sum([leg.charged_micro_usd for leg in self.legs])

    @property
    def total_usd(self) -> Decimal:
        """The same, US dollars."""
        return from_micro(self.total_micro_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wasted:
    """Money of a run that bought nothing, US dollars; None: nobody can know.

    Attributes:
        failed_usd: Charged to a run that failed or was lost.
        lost_usd: Paid for work that had to be done again after an interruption, and for starting
            again; an estimate from the epochs that were seen.
        idle_usd: Paid while its GPUs did nothing; None: the program logged no utilisation.
    """

    failed_usd: Decimal = ZERO_USD
    lost_usd: Decimal = ZERO_USD
    idle_usd: Decimal | None = None

    @property
    def total_usd(self) -> Decimal:
        """All that is known."""
        return self.failed_usd + self.lost_usd + (self.idle_usd or ZERO_USD)


NOTHING_WASTED = Wasted()


class RunFigures(NamedTuple):
    """A run with what was worked out about it.

    Attributes:
        facts: What the ledger knows.
        used_us: Microseconds that it ran.
        total_micro_usd: What was charged for it in all.
        counterfactual_micro_usd: What the same work would have cost on demand, unbroken, from the
            moment it was asked for; None: it has not ended, or its price is not known.
        wasted: What bought nothing.
        waited_us: Microseconds in which it existed, was not finished and did not run; None: not
            started.
        metric: Best value of its metric; None: none was seen.
    """

    facts: RunFacts
    used_us: int
    total_micro_usd: int
    counterfactual_micro_usd: int | None
    wasted: Wasted
    waited_us: int | None
    metric: float | None = None

    @property
    def saved_usd(self) -> Decimal | None:
        """What it cost less than the counterfactual; negative: more. None: unknown."""
        if self.counterfactual_micro_usd is None:
            return None
        return from_micro(self.counterfactual_micro_usd - self.total_micro_usd)

    @property
    def waited_s(self) -> float | None:
        """Seconds in which it was not finished and did not run; None: not started."""
        return None if self.waited_us is None else self.waited_us / SECOND_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Used time of one day, in one tariff window, paid by one budget.

    Attributes:
        day: The day, in the report's zone.
        budget: The budget that pays.
        window: Tariff window.
        charged_usd: Sum of its journal lines, US dollars.
        corrected_usd: The part of it that corrections are, US dollars.
        lines: How many lines.
    """

    day: date
    budget: str
    window: str
    charged_usd: Decimal
    corrected_usd: Decimal = ZERO_USD
    lines: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The figures of one group of a report, or of all of it.

    Attributes:
        key: What it is a group of, as in `{"team": "vision"}`; empty for all.
        runs: Runs that used time in it or were asked for in it.
        started: Those that were asked for in it and ever started: averages are theirs.
        charged_usd: Charged for time used in it, US dollars.
        held_usd: Still set aside for its runs, US dollars; None: not of groups of time.
        forecast_usd: What its runs were forecast to cost, US dollars; None: none was.
        forecast_runs: Runs that are in it.
        saved_usd: Saved against run-now on demand, a counterfactual; None: nobody knows.
        saved_runs: Runs that are in it.
        wasted_usd: Money that bought nothing, as far as it is known; None: not of groups of time.
        waited_s: Seconds that its runs waited; None: none started.
        used_s: Seconds that its runs ran; None: not of groups of time.
        total_usd: Charged to its runs in all, whenever the time was used, US dollars.
    """

    key: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    runs: int = 0
    started: int = 0
    charged_usd: Decimal = ZERO_USD
    held_usd: Decimal | None = ZERO_USD
    forecast_usd: Decimal | None = None
    forecast_runs: int = 0
    saved_usd: Decimal | None = None
    saved_runs: int = 0
    wasted_usd: Decimal | None = ZERO_USD
    waited_s: float | None = None
    used_s: float | None = 0.0
    total_usd: Decimal = ZERO_USD

    @property
    def name(self) -> str:
        """Its key's values, for a table."""
        return ", ".join(self.key.values()) or "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthFigure:
    """One whole month of the calendar.

    Attributes:
        month: As 2026-11.
        runs: Runs that were asked for in it.
        charged_usd: Charged for time used in it, US dollars.
        complete: False: it has not ended yet.
    """

    month: str
    runs: int
    charged_usd: Decimal
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """A report, shaped.

    Attributes:
        ask: What was asked for.
        made_at: When it was made.
        groups: By what was asked, the dearest first; days in their order.
        totals: Everything together.
        wasted: All runs' waste together.
        runs: The runs that are shown one by one, the dearest first.
        runs_left_out: How many more there are.
        months: The last months, whole, oldest first.
        before_usd: Charged in as many days right before, US dollars.
        cells: Used time by day, budget and window.
        budgets: How the budgets stand now.
    """

    ask: ReportAsk
    made_at: datetime
    groups: tuple[Group, ...]
    totals: Group
    wasted: Wasted
    runs: tuple[RunFigures, ...]
    runs_left_out: int
    months: tuple[MonthFigure, ...]
    before_usd: Decimal
    cells: tuple[Cell, ...] = ()
    budgets: tuple[BudgetState, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell of these days."""
        return not self.totals.runs and not self.totals.charged_usd
