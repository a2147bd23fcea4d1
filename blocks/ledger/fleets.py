"""What monitoring asks of the books: a few counts over small tables, never over the journal."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from blocks.ledger.convert import to_us
from blocks.ledger.engine import Store, reads
from blocks.ledger.run_facts import paths_of
from blocks.ledger.schema import BALANCE, EVENT, HOLD, LEG, RUN
from lowtide.events import EventKind
from lowtide.fleet import WAIT_BUCKETS_S, Fleet, Waits
from lowtide.ledger.records import UNFINISHED
from lowtide.ledger.states import BudgetState
from lowtide.money import from_micro
from lowtide.report import team_of

_NOTED = (EventKind.DECISION.value, EventKind.EPOCH.value, EventKind.REPORTED.value)
_SECOND_US = 1_000_000


class Fleets(Store):
    """The part of the ledger that counts for monitoring."""

    @reads
    def fleet(
        self, connection: Connection, *, budgets: tuple[BudgetState, ...], now: datetime
    ) -> Fleet:
        """Return what is true of all runs together.

        Args:
            connection: The transaction; callers leave it out.
            budgets: How the budgets stand.
            now: The time.
        """
        open_ = LEG.c.ending.is_(None) & LEG.c.settled_us.is_(None)
        phase = case((LEG.c.started_us.is_(None), "waiting"), else_="running")
        return Fleet(
            budgets=budgets,
            spent_usd=_spent(connection),
            teams={name: team_of({}, path) for name, path in paths_of(connection).items()},
            runs=_counts(connection, RUN.c.state, RUN.c.priority),
            ended=_counts(
                connection,
                LEG.c.ending,
                LEG.c.flavor,
                LEG.c.capacity,
                where=LEG.c.ending.is_not(None),
            ),
            open=_counts(connection, phase, LEG.c.flavor, LEG.c.capacity, where=open_),
            waits=_waits(connection),
            oldest_wait_s=_oldest_waits(connection, open_ & LEG.c.started_us.is_(None), now=now),
            held=int(connection.execute(select(func.count()).select_from(HOLD)).scalar_one()),
            unwatched_s=_unwatched_s(connection, now=now),
        )

    @reads
    def notes_after(
        self, connection: Connection, last: int, *, limit: int = 5_000
    ) -> tuple[tuple[int, str, Mapping[str, Any]], ...]:
        """Return what was noted about runs after a note: its number, kind and body.

        Args:
            connection: The transaction; callers leave it out.
            last: Number of the last note that is known.
            limit: At most so many.
        """
        statement = (
            select(EVENT.c.id, EVENT.c.kind, EVENT.c.body)
            .where(EVENT.c.id > last, EVENT.c.kind.in_(_NOTED))
            .order_by(EVENT.c.id)
            .limit(limit)
        )
        return tuple((row.id, row.kind, row.body) for row in connection.execute(statement))


def _counts(
    connection: Connection, *columns: ColumnElement[Any], where: ColumnElement[bool] | None = None
) -> dict[Any, int]:
    statement = select(*columns, func.count()).group_by(*columns)
    if where is not None:
        statement = statement.where(where)
    return {tuple(key): int(count) for *key, count in connection.execute(statement)}


def _spent(connection: Connection) -> dict[str, Decimal]:
    statement = select(BALANCE.c.budget, func.sum(BALANCE.c.charged_micro_usd))
    rows = connection.execute(statement.group_by(BALANCE.c.budget))
    return {budget: from_micro(int(total)) for budget, total in rows}


def _waits(connection: Connection) -> dict[str, Waits]:
    wait_us = LEG.c.started_us - LEG.c.opened_us
    buckets = [
        func.sum(case((wait_us <= int(bound * _SECOND_US), 1), else_=0))
        for bound in WAIT_BUCKETS_S
    ]
    statement = (
        select(LEG.c.flavor, func.count(), func.sum(wait_us), *buckets)
        .where(LEG.c.started_us.is_not(None))
        .group_by(LEG.c.flavor)
    )
    found: dict[str, Waits] = {}
    for row in connection.execute(statement):
        flavor, count, total, *within = tuple(row)
        found[str(flavor)] = Waits(
            buckets=tuple(map(int, within)), count=int(count), sum_s=int(total) / _SECOND_US
        )
    return found


def _oldest_waits(
    connection: Connection, waiting: ColumnElement[bool], *, now: datetime
) -> dict[str, float]:
    oldest: dict[str, float] = defaultdict(float)
    statement = select(LEG.c.flavor, func.min(LEG.c.opened_us)).where(waiting)
    for flavor, opened_us in connection.execute(statement.group_by(LEG.c.flavor)):
        oldest[flavor] = max((to_us(now) - opened_us) / _SECOND_US, 0.0)
    return dict(oldest)


def _unwatched_s(connection: Connection, *, now: datetime) -> float:
    """Return how long ago the oldest lease of an unfinished run ended, deferred runs aside."""
    states = sorted(state.value for state in UNFINISHED if state.value != "deferred")
    since_us = connection.execute(
        select(func.min(RUN.c.lease_expires_us)).where(
            RUN.c.state.in_(states), RUN.c.lease_expires_us < to_us(now)
        )
    ).scalar_one()
    return 0.0 if since_us is None else (to_us(now) - int(since_us)) / _SECOND_US
