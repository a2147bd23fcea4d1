"""What the books know of single runs, for reports: a row for each run, with its legs and sums."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, Subquery, Text, case, cast, func, select

from blocks.ledger.convert import to_us
from blocks.ledger.schema import BUDGET, EVENT, HOLD, LEG, RUN
from lowtide.events import EventKind
from lowtide.ledger.records import UNFINISHED
from lowtide.report import EpochSeen, LegFigures, RunFacts

Query: TypeAlias = Select[*tuple[Any, ...]]
FIRST_PLAN = "decision-1"
"""Key of the decision that a run's first forecast lies in."""
_FORECAST = EVENT.c.body["plan"]["forecast_usd"]["p50"].as_string()
_UTILIZATION = EVENT.c.body["gpu_utilization"].as_string()
_EPOCH_S = EVENT.c.body["epoch_s"].as_string()
_UNFINISHED = frozenset(state.value for state in UNFINISHED)
# Documents come as text: most of them are never looked at.
_COLUMNS: tuple[ColumnElement[Any], ...] = (
    RUN.c.run,
    RUN.c.name,
    cast(RUN.c.job, Text),
    RUN.c.budget,
    cast(RUN.c.tags, Text),
    RUN.c.priority,
    RUN.c.state,
    RUN.c.created_us,
)


def paths_of(connection: Connection) -> dict[str, tuple[str, ...]]:
    """Return each budget with those above it, the root first."""
    return {row.name: tuple(row.path) for row in connection.execute(select(BUDGET))}


def facts_of(
    connection: Connection,
    wanted: Query,
    charged: ColumnElement[Any] | Subquery,
    *,
    start: datetime,
    end: datetime,
) -> tuple[RunFacts, ...]:
    """Return what is known of some runs, each with its legs and sums.

    Args:
        connection: The transaction.
        wanted: Selects the rows of the runs.
        charged: Adds up what was charged for the run of a row, micro-dollars; or, in `charged`, for
            every `run`.
        start: First moment of the days that are reported.
        end: First moment after them.
    """
    held = dict(pairs(connection, _held_by_run(wanted)))
    forecasts = dict(pairs(connection, _texts(_FORECAST, FIRST_PLAN, wanted)))
    busy = dict(pairs(connection, _texts(_UTILIZATION, EventKind.REPORTED, wanted)))
    runs = _with_legs(connection, wanted, charged)
    epochs = _epochs(connection, [row[0] for row, legs in runs if len(legs) > 1])
    paths = paths_of(connection)
    start_us, end_us = to_us(start), to_us(end)
    return tuple(
        RunFacts(
            run=run,
            job=name,
            document_json=job,
            budget=budget,
            path=paths.get(budget) or (budget,),
            tags={} if tags == "{}" else json.loads(tags),
            priority=priority,
            state=state,
            finished=state not in _UNFINISHED,
            created_us=created_us,
            in_days=start_us <= created_us < end_us,
            legs=legs,
            epochs=epochs.get(run, ()),
            charged_micro_usd=int(charged_micro_usd or 0),
            held_micro_usd=int(held.get(run, 0)),
            forecast_usd=_decimal(forecasts.get(run)),
            gpu_utilization=_number(busy.get(run)),
        )
        for (
            (run, name, job, budget, tags, priority, state, created_us, charged_micro_usd),
            legs,
        ) in runs
    )


def _held_by_run(wanted: Query) -> Query:
    left = HOLD.c.amount_micro_usd - HOLD.c.charged_micro_usd - HOLD.c.released_micro_usd
    runs = wanted.with_only_columns(RUN.c.run)
    return (
        select(HOLD.c.run, func.sum(left))
        .where(HOLD.c.ended_us.is_(None), HOLD.c.run.in_(runs))
        .group_by(HOLD.c.run)
    )


def _texts(column: ColumnElement[Any], key: str, wanted: Query) -> Query:
    runs = wanted.with_only_columns(RUN.c.run)
    return select(EVENT.c.run, column).where(EVENT.c.key == key, EVENT.c.run.in_(runs))


def _with_legs(
    connection: Connection, wanted: Query, charged: ColumnElement[Any] | Subquery
) -> list[tuple[Sequence[Any], tuple[LegFigures, ...]]]:
    """Return the runs' columns and what was charged for each, with its legs, oldest first.

    One question for both: each row that is fetched gives other threads a turn, which costs the
    more the busier they are.
    """
    until_us = case((LEG.c.ended_us.is_(None), LEG.c.metered_until_us), else_=LEG.c.ended_us)
    leg = (LEG.c.flavor, LEG.c.price_version, LEG.c.started_us, until_us, LEG.c.charged_micro_usd)
    if isinstance(charged, Subquery):
        wanted = wanted.outerjoin(charged, charged.c.run == RUN.c.run)
        charged = charged.c.charged
    statement = (
        wanted.with_only_columns(*_COLUMNS, charged, *leg)
        .outerjoin(LEG, LEG.c.run == RUN.c.run)
        .order_by(RUN.c.run, LEG.c.leg)
    )
    width = len(_COLUMNS) + 1
    found: list[tuple[Sequence[Any], tuple[LegFigures, ...]]] = []
    for row in connection.execute(statement).all():
        of_run, of_leg = row[:width], row[width:]
        legs = () if of_leg[0] is None else (LegFigures._make(of_leg),)
        if found and found[-1][0][0] == of_run[0]:
            found[-1] = (of_run, found[-1][1] + legs)
        else:
            found.append((of_run, legs))
    return found


def _epochs(connection: Connection, runs: Sequence[str]) -> dict[str, tuple[EpochSeen, ...]]:
    """Return the epochs of runs that were interrupted, the others need none."""
    found: dict[str, list[EpochSeen]] = defaultdict(list)
    for page in _pages(runs):
        statement = (
            select(EVENT.c.run, EVENT.c.at_us, _EPOCH_S)
            .where(EVENT.c.run.in_(page), EVENT.c.kind == EventKind.EPOCH)
            .order_by(EVENT.c.run, EVENT.c.id)
        )
        for run, at_us, epoch_s in connection.execute(statement):
            found[run].append(EpochSeen(at_us=at_us, epoch_s=_number(epoch_s)))
    return {run: tuple(epochs) for run, epochs in found.items()}


def _pages(runs: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    for at in range(0, len(runs), size):
        yield runs[at : at + size]


def pairs(connection: Connection, statement: Query) -> Iterator[tuple[str, Any]]:
    """Return what a statement of two columns found, where neither is empty."""
    for run, value in connection.execute(statement):
        if run is not None and value is not None:
            yield run, value


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(str(text))


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
