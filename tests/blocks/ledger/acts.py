"""What tests do with the books, with everything filled in that a test does not care about."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from blocks.ledger import Books, Charge, Hold, Lease, Stretch
from blocks.ledger.book import Operations
from lowtide.ledger.budgets import BudgetTree, parse_budgets
from lowtide.money import ZERO_USD
from lowtide.verdict import Refused

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
"""A Monday."""
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

# A budget for each kind of period, mode and place in the tree.
EVERY_KIND: list[dict[str, Any]] = [
    {"name": "org", "period": "month", "zone": "UTC", "limit_usd": 30},
    {
        "name": "a",
        "parent": "org",
        "period": "week",
        "zone": "Europe/Berlin",
        "limit_usd": 12,
        "roll_over": {"max_usd": 5},
    },
    {"name": "b", "parent": "org", "period": "day", "zone": "America/New_York", "limit_usd": 9},
    {"name": "b/x", "parent": "b", "period": "total", "limit_usd": 20, "mode": "warn"},
    {"name": "free", "period": "quarter", "limit_usd": 3, "mode": "observe"},
]


def usd(amount: str | int) -> Decimal:
    """Return an amount of dollars."""
    return Decimal(amount)


def tree(*entries: dict[str, Any]) -> BudgetTree:
    """Return a budget tree."""
    return parse_budgets(list(entries))


def set_tree(books: Operations, *entries: dict[str, Any], now: datetime = NOON) -> tuple[str, ...]:
    """Set a budget tree."""
    return books.set_budgets(tree(*entries), actor="test", reason="a test", now=now)


def open_run(
    books: Books,
    run: str,
    *,
    budget: str = "team",
    where: str = "local",
    now: datetime = NOON,
) -> str:
    """Make a run."""
    books.open_run(
        run=run,
        key=run,
        job={"name": "digits", "where": where},
        spec_hash="0" * 64,
        name="digits",
        budget=budget,
        priority="normal",
        flavor="t4",
        tags={},
        now=now,
    )
    return run


def hold(
    books: Books,
    run: str,
    amount: str | int,
    *,
    budget: str = "team",
    key: str | None = None,
    now: datetime = NOON,
    expires_at: datetime | None = None,
) -> Hold | Refused:
    """Hold money for a run that is in the books already."""
    return books.hold(
        key=key or f"{run}/hold",
        run=run,
        budget=budget,
        amount_usd=usd(amount),
        expires_at=expires_at or now + HOUR,
        price_version="2026-11",
        actor="test",
        reason="a test",
        now=now,
    )


def held(
    books: Books,
    run: str,
    amount: str | int,
    *,
    budget: str = "team",
    now: datetime = NOON,
    expires_at: datetime | None = None,
) -> Hold:
    """Make a run that holds money."""
    open_run(books, run, budget=budget, now=now)
    taken = hold(books, run, amount, budget=budget, now=now, expires_at=expires_at)
    assert isinstance(taken, Hold), taken
    return taken


def open_leg(
    books: Books,
    run: str,
    *,
    leg: int = 1,
    now: datetime = NOON,
    start_by: datetime | None = None,
    started_at: datetime | None = NOON,
) -> Lease:
    """Open a leg of a run that holds money, and start it."""
    lease = books.take_lease(run, owner="test", now=now)
    assert isinstance(lease, Lease)
    books.open_leg(
        lease,
        leg=leg,
        where="local",
        flavor="t4",
        capacity="on-demand",
        price_version="2026-11",
        limit_s=3600,
        start_by=start_by or now,
        now=now,
    )
    books.update_leg(run, leg, started_at=started_at)
    return lease


def charge(
    books: Books,
    run: str,
    amount: str | int | Decimal,
    *,
    start: datetime = NOON,
    end: datetime | None = None,
    leg: int = 1,
    key: str | None = None,
    window: str = "day",
    now: datetime | None = None,
) -> Charge:
    """Charge an hour of a leg."""
    end = end or start + HOUR
    return books.charge(
        key=key or f"{run}/{leg}/{start.isoformat()}",
        run=run,
        leg=leg,
        amount_usd=Decimal(amount),
        window=window,
        price_version="2026-11",
        period_start=start,
        period_end=end,
        measured=True,
        now=now or end,
        actor="test",
        reason="a test",
    )


def settle(
    books: Books,
    run: str,
    costs: Sequence[Stretch] | None,
    *,
    leg: int = 1,
    key: str | None = None,
    now: datetime = NOON + HOUR,
    measured: bool = True,
) -> Charge:
    """Settle a leg."""
    return books.settle(
        key=key or f"{run}/{leg}/settle",
        run=run,
        leg=leg,
        costs=costs,
        price_version="2026-11",
        measured=measured,
        now=now,
        actor="test",
        reason="a test",
    )


def stretch(
    amount: str | int,
    *,
    start: datetime = NOON,
    end: datetime | None = None,
    window: str = "day",
) -> Stretch:
    """Return an hour of used time."""
    return Stretch(start=start, end=end or start + HOUR, amount_usd=Decimal(amount), window=window)


def release(
    books: Books, run: str, *, key: str | None = None, now: datetime = NOON + HOUR
) -> Decimal:
    """Release a run's hold."""
    key = key or f"{run}/release"
    return books.release(key=key, run=run, now=now, actor="test", reason="a test")


def top_up(
    books: Books, run: str, amount: str | int, *, key: str = "more", now: datetime = NOON
) -> Hold | Refused:
    """Hold more money for a run."""
    return books.top_up(
        key=f"{run}/{key}",
        run=run,
        amount_usd=usd(amount),
        actor="test",
        reason="a test",
        now=now,
    )


def shrink(
    books: Books, run: str, to: str | int, *, key: str = "less", now: datetime = NOON
) -> Hold:
    """Lower the total of a run's hold."""
    return books.shrink(
        key=f"{run}/{key}", run=run, to_usd=usd(to), actor="test", reason="a test", now=now
    )


def per_hour(
    rate: str, *, window: str = "day"
) -> Callable[[datetime, datetime], Iterable[Stretch]]:
    """Return a price of so much an hour."""

    def price(start: datetime, end: datetime) -> Iterable[Stretch]:
        cost = Decimal(rate) * Decimal((end - start) / HOUR)
        return [Stretch(start=start, end=end, amount_usd=cost, window=window)]

    return price


def figures(books: Books, name: str, *, now: datetime = NOON) -> tuple[Decimal, Decimal]:
    """Return what a budget holds and what it was charged in its current period."""
    for state in books.budgets(now):
        if state.name == name:
            return state.held_usd, state.charged_usd
    return ZERO_USD, ZERO_USD
