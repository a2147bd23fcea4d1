"""What the books know of single runs, for reports: a row for each run, with its legs and sums."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, func, select

from blocks.ledger.convert import from_us, from_us_if
from blocks.ledger.engine import Stored
from blocks.ledger.schema import BUDGET, EVENT, HOLD, LEG, RUN
from lowtide.events import EventKind
from lowtide.ledger.records import UNFINISHED, RunState
from lowtide.legs import Capacity, LegEnd
from lowtide.money import from_micro
from lowtide.report import EpochSeen, LegFigures, RunFacts

Query: TypeAlias = Select[*tuple[Any, ...]]
FIRST_PLAN = "decision-1"
"""Key of the decision that a run's first forecast lies in."""
_FORECAST = EVENT.c.body["plan"]["forecast_usd"]["p50"].as_string()
_UTILIZATION = EVENT.c.body["gpu_utilization"].as_string()
_EPOCH_S = EVENT.c.body["epoch_s"].as_string()


def paths_of(connection: Connection) -> dict[str, tuple[str, ...]]:
    """Return each budget with those above it, the root first."""
    return {row.name: tuple(row.path) for row in connection.execute(select(BUDGET))}


def facts_of(
    connection: Connection,
    wanted: Query,
    charged: Mapping[str, int],
    *,
    start: datetime,
    end: datetime,
) -> tuple[RunFacts, ...]:
    """Return what is known of some runs, each with its legs and sums.

    Args:
        connection: The transaction.
        wanted: Selects the rows of the runs.
        charged: What was charged for each, micro-dollars.
        start: First moment of the days that are reported.
        end: First moment after them.
    """
    legs = _legs(connection, wanted)
    held = dict(pairs(connection, _held_by_run(wanted)))
    forecasts = dict(pairs(connection, _texts(_FORECAST, FIRST_PLAN, wanted)))
    busy = dict(pairs(connection, _texts(_UTILIZATION, EventKind.REPORTED, wanted)))
    epochs = _epochs(connection, [run for run, each in legs.items() if len(each) > 1])
    paths = paths_of(connection)
    bare = (_run(row, paths, start=start, end=end) for row in connection.execute(wanted))
    return tuple(
        replace(
            facts,
            legs=legs.get(facts.run, ()),
            epochs=epochs.get(facts.run, ()),
            charged_usd=from_micro(int(charged.get(facts.run, 0))),
            held_usd=from_micro(int(held.get(facts.run, 0))),
            forecast_usd=_decimal(forecasts.get(facts.run)),
            gpu_utilization=_number(busy.get(facts.run)),
        )
        for facts in bare
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


def _legs(connection: Connection, wanted: Query) -> dict[str, tuple[LegFigures, ...]]:
    runs = wanted.with_only_columns(RUN.c.run)
    found: dict[str, list[LegFigures]] = defaultdict(list)
    statement = select(LEG).where(LEG.c.run.in_(runs)).order_by(LEG.c.run, LEG.c.leg)
    for row in connection.execute(statement):
        found[row.run].append(_leg(row))
    return {run: tuple(legs) for run, legs in found.items()}


def _leg(row: Stored) -> LegFigures:
    return LegFigures(
        leg=row.leg,
        flavor=row.flavor,
        capacity=Capacity(row.capacity),
        price_version=row.price_version,
        started_at=from_us_if(row.started_us),
        ended_at=from_us_if(row.metered_until_us if row.ended_us is None else row.ended_us),
        end=None if row.ending is None else LegEnd(row.ending),
        charged_usd=from_micro(row.charged_micro_usd),
    )


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
            found[run].append(EpochSeen(at=from_us(at_us), epoch_s=_number(epoch_s)))
    return {run: tuple(epochs) for run, epochs in found.items()}


def _pages(runs: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    for at in range(0, len(runs), size):
        yield runs[at : at + size]


def _run(
    row: Stored, paths: Mapping[str, tuple[str, ...]], *, start: datetime, end: datetime
) -> RunFacts:
    state = RunState(row.state)
    created_at = from_us(row.created_us)
    return RunFacts(
        run=row.run,
        job=row.name,
        document=row.job,
        budget=row.budget,
        path=paths.get(row.budget) or (row.budget,),
        tags=row.tags,
        priority=row.priority,
        state=state.value,
        finished=state not in UNFINISHED,
        created_at=created_at,
        in_days=start <= created_at < end,
    )


def pairs(connection: Connection, statement: Query) -> Iterator[tuple[str, Any]]:
    """Return what a statement of two columns found, where neither is empty."""
    for run, value in connection.execute(statement):
        if run is not None and value is not None:
            yield run, value


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(str(text))


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
