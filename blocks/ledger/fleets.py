"""What monitoring asks of the books: a few counts over small tables, never over the journal."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, case, func, literal, select, text

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
        counts = [_LegCount(*row) for row in connection.execute(_LEGS)]
        return Fleet(
            budgets=budgets,
            spent_usd=_spent(connection),
            teams={name: team_of({}, path) for name, path in paths_of(connection).items()},
            runs={
                (state, priority): count for state, priority, count in connection.execute(_RUNS)
            },
            ended=_added_up(
                ((each.ending, each.flavor, each.capacity), each.legs)
                for each in counts
                if each.ending
            ),
            open=_added_up(
                ((each.phase, each.flavor, each.capacity), each.legs)
                for each in counts
                if each.is_open
            ),
            waits=_waits(counts),
            oldest_wait_s=_oldest_waits(counts, now=now),
            held=int(connection.execute(_HOLDS).scalar_one()),
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


class _LegCount(NamedTuple):
    """How many legs are alike.

    Attributes:
        flavor: Kind of capacity.
        capacity: On which terms.
        ending: How they ended; None: they have not.
        is_settled: Whether that was settled.
        bucket: Which of `WAIT_BUCKETS_S` their wait lies in, one beyond the last for longer ones;
            None: they have not started.
        legs: How many.
        waited_us: Their waits together.
        opened_us: When the oldest was asked for.
    """

    flavor: str
    capacity: str
    ending: str | None
    is_settled: bool
    bucket: int | None
    legs: int
    waited_us: int | None
    opened_us: int

    @property
    def is_open(self) -> bool:
        """Whether they are still to run, or run."""
        return self.ending is None and not self.is_settled

    @property
    def phase(self) -> str:
        """What open ones do."""
        return "waiting" if self.bucket is None else "running"


# All that is counted of legs is counted in one pass over them: passes are what a scrape waits for.
# A cluster tells starts in whole seconds: a leg may seem to have started before it was opened.
_WAIT_US = case(
    (LEG.c.started_us < LEG.c.opened_us, literal(0, BigInteger)),
    else_=LEG.c.started_us - LEG.c.opened_us,
)
_WITHIN = [
    (int(bound * _SECOND_US) >= _WAIT_US, number) for number, bound in enumerate(WAIT_BUCKETS_S)
]
_ALIKE = (
    LEG.c.flavor,
    LEG.c.capacity,
    LEG.c.ending,
    LEG.c.settled_us.is_not(None).label("is_settled"),
    case(*_WITHIN, (LEG.c.started_us.is_not(None), len(WAIT_BUCKETS_S))).label("bucket"),
)
# Postgres takes two spellings of an expression with parameters for two: it is named instead.
_LEGS = select(*_ALIKE, func.count(), func.sum(_WAIT_US), func.min(LEG.c.opened_us)).group_by(
    *_ALIKE[:3], text("is_settled"), text("bucket")
)
_RUNS = select(RUN.c.state, RUN.c.priority, func.count()).group_by(RUN.c.priority, RUN.c.state)
_HOLDS = select(func.count()).select_from(HOLD)
_SPENT = select(BALANCE.c.budget, func.sum(BALANCE.c.charged_micro_usd)).group_by(BALANCE.c.budget)


def _added_up(counts: Iterable[tuple[Any, int]]) -> dict[Any, int]:
    found: dict[Any, int] = defaultdict(int)
    for key, count in counts:
        found[key] += count
    return dict(found)


def _spent(connection: Connection) -> dict[str, Decimal]:
    return {budget: from_micro(int(total)) for budget, total in connection.execute(_SPENT)}


def _waits(counts: Iterable[_LegCount]) -> dict[str, Waits]:
    found: dict[str, Waits] = {}
    for each in counts:
        if each.bucket is None:
            continue
        before = found.get(each.flavor, Waits())
        found[each.flavor] = Waits(
            buckets=tuple(
                count + (each.legs if number >= each.bucket else 0)
                for number, count in enumerate(before.buckets)
            ),
            count=before.count + each.legs,
            sum_s=before.sum_s + int(each.waited_us or 0) / _SECOND_US,
        )
    return found


def _oldest_waits(counts: Iterable[_LegCount], *, now: datetime) -> dict[str, float]:
    oldest: dict[str, float] = defaultdict(float)
    for each in counts:
        if each.is_open and each.bucket is None:
            wait_s = (to_us(now) - each.opened_us) / _SECOND_US
            oldest[each.flavor] = max(oldest[each.flavor], wait_s)
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
