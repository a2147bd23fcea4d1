"""How budgets stand: the figures of one period, thresholds crossed, books that disagree."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from lowtide.ledger.budgets import Mode
from lowtide.ledger.periods import EPOCH, Period, PeriodKind


class ThresholdOf(StrEnum):
    """Which figure crossed a threshold. The values are stored: never rename one."""

    CHARGED = "charged"
    FORECAST = "forecast"
    """Charged and held together: what the period will have cost if every hold is used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A threshold was crossed; it happens at most once for a budget, period, percent and figure.

    Attributes:
        budget: The budget.
        period_start: Which period.
        percent: The threshold, per cent of the limit.
        of: Which figure crossed it.
        at: When.
        amount_usd: The figure.
        limit_usd: The limit that it was measured against.
    """

    budget: str
    period_start: datetime
    percent: int
    of: ThresholdOf
    at: datetime
    amount_usd: Decimal
    limit_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One run may go beyond a budget's limit.

    Attributes:
        run: The run.
        budget: The budget.
        amount_usd: How far.
        expires_at: Until when it may make use of it.
    """

    run: str
    budget: str
    amount_usd: Decimal
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """How a budget stands in one period.

    Attributes:
        name: The budget.
        parent: The budget above; None at a root.
        mode: What happens at the limit.
        kind: Length of its periods.
        zone: Time zone of its calendar.
        period: The period.
        limit_usd: The limit of this period, adjustments included.
        adjusted_usd: The adjustments alone.
        held_usd: Set aside for unfinished runs, whenever it was set aside.
        charged_usd: Spent in this period.
        thresholds: Watched percentages of the limit.
        crossings: Those that were crossed in this period.
        closed: Whether the period was closed: nothing may be written in it any more.
        approval_usd_max: The most by which one approval may lift the limit.
    """

    name: str
    parent: str | None
    mode: Mode
    kind: PeriodKind
    zone: str
    period: Period
    limit_usd: Decimal
    adjusted_usd: Decimal
    held_usd: Decimal
    charged_usd: Decimal
    thresholds: tuple[int, ...]
    crossings: tuple[Crossing, ...]
    closed: bool
    approval_usd_max: Decimal = Decimal(0)

    @property
    def available_usd(self) -> Decimal:
        """What a new run could still hold; negative when more is held or spent than the limit."""
        return self.limit_usd - self.charged_usd - self.held_usd

    def document(self) -> dict[str, Any]:
        """Return the state as an entry of `budgets` in `lowtide budget show --json`."""
        total = self.period.start == EPOCH
        crossed = {(crossing.percent, crossing.of): crossing for crossing in self.crossings}
        return {
            "name": self.name,
            "parent": self.parent,
            "mode": self.mode.value,
            "period": self.kind.value,
            "zone": self.zone,
            "period_start": None if total else self.period.start.isoformat(),
            "period_end": None if total else self.period.end.isoformat(),
            "limit_usd": str(self.limit_usd),
            "adjusted_usd": str(self.adjusted_usd),
            "held_usd": str(self.held_usd),
            "charged_usd": str(self.charged_usd),
            "available_usd": str(self.available_usd),
            "thresholds": [
                {
                    "percent": percent,
                    "of": of.value,
                    "crossed_at": crossed[percent, of].at.isoformat()
                    if (percent, of) in crossed
                    else None,
                }
                for percent in self.thresholds
                for of in ThresholdOf
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """Two parts of the books that should agree and do not.

    Attributes:
        where: Which figure, as in `budget 'org', held`.
        stored_usd: What is stored.
        journal_usd: What the journal adds up to.
    """

    where: str
    stored_usd: Decimal
    journal_usd: Decimal


def path_to(states: Iterable[BudgetState], name: str) -> tuple[BudgetState, ...]:
    """Return a budget and those above it, the root first; empty where there is none of that name.

    Args:
        states: All budgets.
        name: The budget.
    """
    by_name = {state.name: state for state in states}
    path: list[BudgetState] = []
    at: str | None = name
    while at is not None and at in by_name:
        path.append(by_name[at])
        at = by_name[at].parent
    return tuple(reversed(path))
