"""What is true of all runs together at one moment, as monitoring asks for it: counts and sums.

Everything is keyed by what there are few of (budgets, states, flavors, causes), never by a run, so
a year of runs makes no more series than a day.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from lowtide.events import EventKind
from lowtide.ledger.states import BudgetState
from lowtide.money import ZERO_USD

WAIT_BUCKETS_S = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
EPOCH_BUCKETS_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0)
ERROR_BUCKETS = (-0.5, -0.25, -0.1, -0.05, 0.0, 0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long legs waited between being asked for and starting.

    Attributes:
        buckets: How many waited at most so long, for each of `WAIT_BUCKETS_S`.
        count: How many started.
        sum_s: Seconds that they waited, all together.
    """

    buckets: tuple[int, ...] = (0,) * len(WAIT_BUCKETS_S)
    count: int = 0
    sum_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All runs at one moment.

    Attributes:
        budgets: How the budgets stand.
        spent_usd: What each budget was charged in all its periods, US dollars.
        teams: Whose each budget is.
        runs: Runs by state and priority.
        ended: Legs that ended, by cause, flavor and capacity.
        open: Legs that have not, by phase (waiting, running), flavor and capacity.
        waits: Waits of the legs that started, by flavor.
        oldest_wait_s: The longest of those that wait now, by flavor.
        held: Holds that were ever taken.
        unwatched_s: Since when at most an unfinished run has had no owner, seconds; 0: all have.
    """

    budgets: tuple[BudgetState, ...] = ()
    spent_usd: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    teams: Mapping[str, str] = field(default_factory=dict[str, str])
    runs: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    ended: Mapping[tuple[str, str, str], int] = field(
        default_factory=dict[tuple[str, str, str], int]
    )
    open: Mapping[tuple[str, str, str], int] = field(
        default_factory=dict[tuple[str, str, str], int]
    )
    waits: Mapping[str, Waits] = field(default_factory=dict[str, Waits])
    oldest_wait_s: Mapping[str, float] = field(default_factory=dict[str, float])
    held: int = 0
    unwatched_s: float = 0.0


@dataclass(slots=True)
class Tally:
    """Counts of a kind that only go up, and their sum.

    Attributes:
        bounds: Upper bounds of the buckets.
        counts: How many values fell into each, the last one those above every bound.
        sum: Of the values.
    """

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list[int])
    sum: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count a value."""
        at = next((i for i, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))
        self.counts[at] += 1
        self.sum += value


@dataclass(slots=True)
class Happened:
    """What was noted about all runs so far, added up note by note.

    Attributes:
        decisions: Decisions by what was decided.
        epoch_s: Durations of epochs.
        forecast_error: By how much ended runs cost more than was first forecast, as a share of it.
        saved_usd: Saved against run-now on demand, a counterfactual, US dollars.
        wasted_usd: Money that bought nothing, US dollars.
    """

    decisions: Counter[str] = field(default_factory=Counter[str])
    epoch_s: Tally = field(default_factory=lambda: Tally(EPOCH_BUCKETS_S))
    forecast_error: Tally = field(default_factory=lambda: Tally(ERROR_BUCKETS))
    saved_usd: Decimal = ZERO_USD
    wasted_usd: Decimal = ZERO_USD

    def take(self, notes: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Add notes up: their kind, and their body.

        Examples:
            >>> so_far = Happened()
            >>> so_far.take([("decision", {"decision": "wait"}), ("epoch", {"epoch_s": 61.5})])
            >>> so_far.decisions["wait"], so_far.epoch_s.sum
            (1, 61.5)
        """
        for kind, body in notes:
            match kind:
                case EventKind.DECISION:
                    self.decisions[str(body.get("decision", "unknown"))] += 1
                case EventKind.EPOCH if body.get("epoch_s") is not None:
                    self.epoch_s.add(float(body["epoch_s"]))
                case EventKind.REPORTED:
                    self._ended(body)
                case _:
                    pass

    def _ended(self, body: Mapping[str, Any]) -> None:
        self.saved_usd += Decimal(body.get("saved_usd") or 0)
        self.wasted_usd += Decimal(body.get("wasted_usd") or 0)
        forecast, charged = body.get("forecast_usd"), body.get("charged_usd")
        if forecast is not None and charged is not None and Decimal(forecast) > 0:
            self.forecast_error.add(float(Decimal(charged) / Decimal(forecast) - 1))
