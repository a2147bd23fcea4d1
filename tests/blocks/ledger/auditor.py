"""An independent auditor: what the books must say, recomputed from the accepted operations.

It shares no code with the ledger. Used time is counted in quarter-hours, each at a whole number of
micro-dollars, and a quarter-hour's period is read off the local calendar: no boundary is computed,
no amount is divided, nothing is rounded. Amounts are whole micro-dollars.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

QUARTER = timedelta(minutes=15)
Key: TypeAlias = tuple[int, ...]
Quarters: TypeAlias = dict[tuple[datetime, str], int]
"""Micro-dollars by quarter-hour and tariff window."""


@dataclass
class Limit:
    """A budget, as the auditor knows it."""

    name: str
    parent: str | None
    limit: int
    period: str
    zone: str
    blocks: bool
    rolls_over: int = 0
    thresholds: tuple[int, ...] = (50, 80, 100)
    adjusted: dict[Key, int] = field(default_factory=lambda: defaultdict(int))
    charged: dict[Key, int] = field(default_factory=lambda: defaultdict(int))
    closed: set[Key] = field(default_factory=set)
    past: dict[datetime, int] = field(default_factory=dict)
    """The limit from a moment on."""

    def key(self, at: datetime) -> Key:
        """Return which period a moment is in, from the local calendar."""
        local = at.astimezone(ZoneInfo(self.zone))
        keys: dict[str, Key] = {
            "day": (local.year, local.month, local.day),
            "week": tuple(local.isocalendar())[:2],
            "month": (local.year, local.month),
            "quarter": (local.year, (local.month + 2) // 3),
            "total": (),
        }
        return keys[self.period]

    def cap(self, now: datetime) -> int:
        """Return the limit of the current period."""
        return self.limit + self.adjusted[self.key(now)]

    def close(self, at: datetime, *, now: datetime) -> None:
        """Close the period of a moment; what it left goes to the next, or on where that is closed."""
        key = self.key(at)
        if key in self.closed:
            return
        self.closed.add(key)
        after = at
        while self.key(after) == key:
            after += QUARTER
        limit = next(
            (self.past[moment] for moment in reversed(self.past) if self.key(moment) <= key), 0
        )
        unused = limit + self.adjusted[key] - self.charged[key]
        taking = self.key(now) if self.key(after) in self.closed else self.key(after)
        self.adjusted[taking] += min(max(unused, 0), self.rolls_over)


@dataclass
class Leg:
    """A leg: what was charged for it, and up to when."""

    start: datetime
    quarters: Quarters = field(default_factory=dict)
    until: datetime | None = None
    settled: bool = False


@dataclass
class Held:
    """A run's hold."""

    run: str
    budget: str
    amount: int
    expires_at: datetime
    charged: int = 0
    overdraft: int = 0
    released: int = 0
    is_open: bool = True
    legs: dict[int, Leg] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """What it still sets aside."""
        return self.amount - self.charged if self.is_open else 0


class Auditor:
    """Recomputes every balance from the operations that were accepted."""

    def __init__(self, limits: Iterable[Limit]) -> None:
        self.limits = {limit.name: limit for limit in limits}
        self.holds: dict[str, Held] = {}
        self.must_have_crossed: set[tuple[str, Key, int, str]] = set()
        self.highest: dict[tuple[str, Key, str], int] = defaultdict(int)
        self.lowest_cap: dict[tuple[str, Key], int] = {}

    def path(self, name: str) -> list[Limit]:
        """Return a budget and all above it."""
        limit = self.limits[name]
        return [limit, *(self.path(limit.parent) if limit.parent else [])]

    def held_on(self, name: str) -> int:
        """Return what is set aside on a budget."""
        return sum(
            hold.left
            for hold in self.holds.values()
            if any(limit.name == name for limit in self.path(hold.budget))
        )

    def gap(self, budget: str, amount: int, *, now: datetime) -> int:
        """Return how much is lacking for an amount on the path of a budget; 0: nothing."""
        gaps = [
            amount - (limit.cap(now) - limit.charged[limit.key(now)] - self.held_on(limit.name))
            for limit in self.path(budget)
            if limit.blocks
        ]
        return max([0, *gaps])

    def set_aside(self, hold: Held, more: int, *, now: datetime) -> None:
        """Take or give back money under a hold."""
        hold.amount += more
        self._look(hold.budget, now=now)

    def spend(self, hold: Held, leg: Leg, quarters: Quarters, *, now: datetime) -> tuple[int, int]:
        """Make a leg's charges what they should be; return the change, and what is overdraft."""
        change = sum(quarters.values()) - sum(leg.quarters.values())
        for limit in self.path(hold.budget):
            for at, window in quarters.keys() | leg.quarters.keys():
                key = limit.key(at)
                key = limit.key(now) if key in limit.closed else key
                quarter = (at, window)
                limit.charged[key] += quarters.get(quarter, 0) - leg.quarters.get(quarter, 0)
        beyond = 0
        if change >= 0:
            beyond = max(change - hold.left, 0)
            hold.charged += change - beyond
            hold.overdraft += beyond
        else:
            good = min(-change, hold.overdraft)
            hold.overdraft -= good
            hold.charged -= -change - good
            hold.released += 0 if hold.is_open else -change - good
        leg.quarters = dict(quarters)
        self._look(hold.budget, now=now)
        return change, beyond

    def end(self, hold: Held, *, now: datetime) -> int:
        """End a hold; return what it gives back."""
        back = hold.left
        hold.released, hold.is_open = back, False
        self._look(hold.budget, now=now)
        return back

    def move_limit(self, name: str, *, now: datetime) -> None:
        """Look at the thresholds of a budget whose limit was moved."""
        self._look_at(self.limits[name], now=now)

    def _look(self, budget: str, *, now: datetime) -> None:
        for limit in self.path(budget):
            self._look_at(limit, now=now)

    def _look_at(self, limit: Limit, *, now: datetime) -> None:
        current = limit.key(now)
        figures = {(key, "charged"): charged for key, charged in limit.charged.items()}
        figures[current, "forecast"] = limit.charged[current] + self.held_on(limit.name)
        for (key, figure), amount in figures.items():
            cap = limit.limit + limit.adjusted[key]
            seen = (limit.name, key, figure)
            self.highest[seen] = max(self.highest[seen], amount)
            low = self.lowest_cap.get((limit.name, key), cap)
            self.lowest_cap[limit.name, key] = min(low, cap)
            if key == current:
                self.must_have_crossed |= {
                    (limit.name, key, percent, figure)
                    for percent in limit.thresholds
                    if amount > 0 and amount * 100 >= percent * cap
                }
