"""The budget tree: set as a whole, in one transaction or not at all, and how each budget stands."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from blocks.ledger.convert import from_us, to_us
from blocks.ledger.engine import Store, Stored, reads, writes
from blocks.ledger.posting import Author, Book, Line, levels_at, post
from blocks.ledger.schema import BALANCE, BUDGET, CROSSING
from lowtide.errors import BadInputError
from lowtide.ledger.budgets import Budget, BudgetTree
from lowtide.ledger.periods import PeriodKind
from lowtide.ledger.records import LineKind
from lowtide.ledger.rules import Level
from lowtide.ledger.states import BudgetState, Crossing, ThresholdOf
from lowtide.money import from_micro, to_micro


class Trees(Store):
    """The part of the ledger that keeps budgets."""

    @writes
    def set_budgets(
        self, connection: Connection, tree: BudgetTree, *, actor: str, reason: str, now: datetime
    ) -> tuple[str, ...]:
        """Make the budgets what a tree says, all of them or none.

        A budget that the tree leaves out is retired: its lines stay, no money can be held on it.
        Setting the same tree again changes nothing.

        Args:
            connection: The transaction; callers leave it out.
            tree: The budgets.
            actor: Who asks.
            reason: Why.
            now: The time.

        Returns:
            Names of the budgets that changed.

        Raises:
            BadInputError: a limit below what is already charged, or a period, zone or parent that
                changes (or a budget that goes) while money is on it. The old tree stays in force.
        """
        rows = connection.execute(_ALL).all()
        stored = {row.name: row for row in rows}
        levels = {level.name: level for level in levels_at(connection, rows, at=now)}
        changed: list[str] = []
        for budget in sorted(tree.budgets, key=lambda budget: len(tree.path(budget.name))):
            row = stored.get(budget.name)
            wanted = _wanted(budget, tree)
            if row is not None and _same(row, wanted):
                continue
            if row is not None:
                _check_change(row, wanted, levels[budget.name], source=tree.source)
            _write(connection, row, wanted, now=now)
            _journal_limit(connection, row, wanted, actor=actor, reason=reason, now=now)
            changed.append(budget.name)
        for row in rows:
            if row.name not in tree.by_name and not row.retired:
                _retire(connection, row, source=tree.source)
                changed.append(row.name)
        return tuple(changed)

    @reads
    def budgets(self, connection: Connection, now: datetime) -> tuple[BudgetState, ...]:
        """Return how every budget stands in its current period, parents before children."""
        rows = connection.execute(_LIVE).all()
        return states_at(connection, rows, at=now)

    @reads
    def budget(self, connection: Connection, name: str, *, now: datetime) -> BudgetState | None:
        """Return how one budget stands in its current period, if there is one of that name."""
        rows = connection.execute(_LIVE.where(BUDGET.c.name == name)).all()
        return next(iter(states_at(connection, rows, at=now)), None)


_ORDER = (BUDGET.c.depth, BUDGET.c.name)
_ALL = select(BUDGET).order_by(*_ORDER).with_for_update()
_LIVE = select(BUDGET).where(BUDGET.c.retired.is_(False)).order_by(*_ORDER)
_STRUCTURE = ("parent", "period", "zone")


def _wanted(budget: Budget, tree: BudgetTree) -> dict[str, Any]:
    path = tree.path(budget.name)
    return {
        "name": budget.name,
        "parent": budget.parent,
        "path": list(path),
        "depth": len(path),
        "limit_micro_usd": to_micro(budget.limit_usd),
        "period": budget.period.value,
        "zone": budget.zone,
        "mode": budget.mode.value,
        "thresholds": list(budget.thresholds),
        "approval_micro_usd_max": to_micro(budget.approval_usd_max),
        "rollover_micro_usd_max": to_micro(budget.rollover_usd_max),
    }


def _same(row: Stored, wanted: dict[str, Any]) -> bool:
    return not row.retired and all(getattr(row, name) == value for name, value in wanted.items())


def _check_change(row: Stored, wanted: dict[str, Any], level: Level, *, source: str) -> None:
    where = f"{source}: budget {row.name!r}"
    charged = level.charged_micro_usd
    adjusted = level.limit_micro_usd - row.limit_micro_usd
    if wanted["limit_micro_usd"] != row.limit_micro_usd and (
        wanted["limit_micro_usd"] + adjusted < charged
    ):
        msg = "the limit is below what is already charged in this period"
        raise BadInputError(
            msg,
            where=where,
            expected=f">= {from_micro(charged - adjusted)} USD",
            got=f"{from_micro(wanted['limit_micro_usd'])} USD",
            remedy=f"wait for the period's end, {level.period.end.isoformat()}, or raise it",
        )
    for name in _STRUCTURE:
        if getattr(row, name) != wanted[name] and (charged or adjusted or row.held_micro_usd):
            msg = f"the {name} cannot change while there is money on the budget in this period"
            raise BadInputError(
                msg,
                where=where,
                expected=repr(getattr(row, name)),
                got=repr(wanted[name]),
                remedy="change it when a period begins and nothing is held, or add a new budget",
            )


def _write(
    connection: Connection, row: Stored | None, wanted: dict[str, Any], *, now: datetime
) -> None:
    if row is None:
        fresh = {**wanted, "held_micro_usd": 0, "revision": 1, "retired": False}
        connection.execute(insert(BUDGET).values(fresh))
        return
    changed = {**wanted, "revision": row.revision + 1, "retired": False}
    connection.execute(update(BUDGET).where(BUDGET.c.name == row.name).values(changed))
    if (row.period, row.zone) != (wanted["period"], wanted["zone"]):
        # Nothing is on the books of the old period, so the new one may begin within it.
        connection.execute(
            BALANCE.delete().where(
                BALANCE.c.budget == row.name, BALANCE.c.period_end_us > to_us(now)
            )
        )


def _journal_limit(
    connection: Connection,
    row: Stored | None,
    wanted: dict[str, Any],
    *,
    actor: str,
    reason: str,
    now: datetime,
) -> None:
    name, limit = wanted["name"], wanted["limit_micro_usd"]
    revision = 1 if row is None else row.revision + 1
    author = Author(
        key=limit_key(name, revision),
        ask=f"set budget {name!r} to {from_micro(limit)} USD",
        actor=actor,
        reason=reason,
        at=now,
    )
    before = 0 if row is None else row.limit_micro_usd
    book: Book = connection.execute(select(BUDGET).where(BUDGET.c.name == name)).one()
    levels = levels_at(connection, [book], at=now)
    line = Line(kind=LineKind.LIMIT, amount=limit - before)
    post(connection, levels, [line], author=author)


def _retire(connection: Connection, row: Stored, *, source: str) -> None:
    if row.held_micro_usd:
        msg = "the budget is left out, but money is held on it"
        raise BadInputError(
            msg,
            where=f"{source}: budget {row.name!r}",
            got=f"{from_micro(row.held_micro_usd)} USD held",
            remedy="keep it until its runs have ended",
        )
    retired = {"retired": True, "revision": row.revision + 1}
    connection.execute(update(BUDGET).where(BUDGET.c.name == row.name).values(retired))


def states_at(
    connection: Connection, rows: Sequence[Stored], *, at: datetime
) -> tuple[BudgetState, ...]:
    """Return how budgets stand in the period that a moment lies in, in their order."""
    levels = levels_at(connection, rows, at=at)
    starts = {level.name: to_us(level.period.start) for level in levels}
    crossings: dict[str, list[Crossing]] = {name: [] for name in starts}
    asked = select(CROSSING).where(CROSSING.c.budget.in_(starts))
    for row in connection.execute(asked.order_by(CROSSING.c.at_us)):
        if starts[row.budget] == row.period_start_us:
            crossings[row.budget].append(crossing_of(row))
    return tuple(
        BudgetState(
            name=row.name,
            parent=row.parent,
            mode=level.mode,
            kind=PeriodKind(row.period),
            zone=row.zone,
            period=level.period,
            limit_usd=from_micro(level.limit_micro_usd),
            adjusted_usd=from_micro(level.limit_micro_usd - row.limit_micro_usd),
            held_usd=from_micro(row.held_micro_usd),
            charged_usd=from_micro(level.charged_micro_usd),
            thresholds=level.thresholds,
            crossings=tuple(crossings[row.name]),
            closed=level.closed,
            approval_usd_max=from_micro(row.approval_micro_usd_max),
        )
        for row, level in zip(rows, levels, strict=True)
    )


def limit_key(budget: str, revision: int) -> str:
    """Return the key of the line that a budget's n-th setting wrote."""
    return f"budget/{budget}/{revision}"


def no_such_budget(connection: Connection, budget: str) -> BadInputError:
    """Return the error for a name that no budget has."""
    names = connection.execute(_LIVE.limit(20)).scalars().all()
    return BadInputError(
        "no such budget",
        where=f"budget {budget!r}",
        expected="one of " + ", ".join(names) if names else "a budget; there is none yet",
        remedy="correct the name, or add it with `lowtide budget set --file F`",
    )


def crossing_of(row: Stored) -> Crossing:
    """Return a stored crossing as a record."""
    return Crossing(
        budget=row.budget,
        period_start=from_us(row.period_start_us),
        percent=row.percent,
        of=ThresholdOf(row.figure),
        at=from_us(row.at_us),
        amount_usd=from_micro(row.amount_micro_usd),
        limit_usd=from_micro(row.limit_micro_usd),
    )
