"""What reports ask of the books: sums, made by the database, one row for each run and leg.

A journal of millions of lines is added up where it lies. What comes back is bounded by the runs of
the days that are asked for, never by the lines.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Subquery, and_, case, func, or_, select, true

from blocks.ledger.audit import below, line_of
from blocks.ledger.convert import from_us, to_us
from blocks.ledger.engine import Store, Stored, reads
from blocks.ledger.run_facts import Query, facts_of, paths_of
from blocks.ledger.schema import BUDGET, EVENT, JOURNAL, LEG, RUN
from lowtide.errors import BadInputError
from lowtide.events import EventKind
from lowtide.ledger.periods import EPOCH, FOREVER
from lowtide.ledger.records import LineKind
from lowtide.legs import Capacity
from lowtide.money import ZERO_USD, from_micro
from lowtide.report import Cell, RunFacts, UseLine, team_of

_DAY_US = 86_400_000_000
_BEST = EVENT.c.body["best"].as_string()


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """A stretch of used time, and whose.

    Attributes:
        start: First moment.
        end: First moment after it.
        budget: Only this budget and those below it; None: all.
    """

    start: datetime
    end: datetime
    budget: str | None = None


class Aggregates(Store):
    """The part of the ledger that adds up for reports."""

    @reads
    def report_runs(self, connection: Connection, days: Days) -> tuple[RunFacts, ...]:
        """Return every run that used time in some days or was asked for in them.

        Args:
            connection: The transaction; callers leave it out.
            days: Which days, of which budget.

        Returns:
            The runs with their legs and sums, in no particular order.

        Raises:
            BadInputError: there is no such budget.
        """
        _check_budget(connection, days.budget)
        # SQLite is fastest run by run along the lines' index, Postgres in one pass over all lines.
        is_sqlite = connection.dialect.name == "sqlite"
        charged = _charged(days) if is_sqlite else _charged_by_run(days)
        return facts_of(connection, _wanted_runs(days), charged, start=days.start, end=days.end)

    @reads
    def report_run(self, connection: Connection, run: str) -> RunFacts | None:
        """Return one run with all that was charged for it; None where there is none of that id."""
        ever = Days(start=EPOCH, end=FOREVER)
        wanted = select(RUN).where(RUN.c.run == run)
        found = facts_of(connection, wanted, _charged(ever), start=EPOCH, end=FOREVER)
        return next(iter(found), None)

    @reads
    def report_cells(self, connection: Connection, days: Days, *, zone: str) -> tuple[Cell, ...]:
        """Add up used time by day, budget and tariff window.

        Args:
            connection: The transaction; callers leave it out.
            days: Which days, of which budget.
            zone: IANA name of the zone in whose calendar days begin.

        Returns:
            The cells; their sum is what was charged for the days.

        Raises:
            BadInputError: there is no such budget.
        """
        _check_budget(connection, days.budget)
        cells: dict[tuple[date, str, str], Cell] = {}
        for offset_us, start_us, end_us in _offsets(zone, to_us(days.start), to_us(days.end)):
            for row in connection.execute(_by_day(days, offset_us, start_us, end_us)):
                day = date(1970, 1, 1) + timedelta(days=int(row.day))
                key = (day, row.budget, row.tariff_window)
                before = cells.get(key)
                cells[key] = Cell(
                    day=day,
                    budget=row.budget,
                    window=row.tariff_window,
                    charged_usd=from_micro(int(row.charged)) + _of(before, "charged_usd"),
                    corrected_usd=from_micro(int(row.corrected)) + _of(before, "corrected_usd"),
                    lines=int(row.lines) + (before.lines if before else 0),
                )
        return tuple(cells[key] for key in sorted(cells))

    @reads
    def charged_in(self, connection: Connection, stretches: Sequence[Days]) -> tuple[Decimal, ...]:
        """Return what was charged for the time used in each of several stretches."""
        return tuple(
            from_micro(int(connection.execute(_total(days)).scalar_one() or 0))
            for days in stretches
        )

    @reads
    def made_in(self, connection: Connection, stretches: Sequence[Days]) -> tuple[int, ...]:
        """Return how many runs were asked for in each of several stretches."""
        return tuple(int(connection.execute(_made(days)).scalar_one()) for days in stretches)

    @reads
    def best_metrics(self, connection: Connection, runs: Sequence[str]) -> dict[str, float]:
        """Return the best value of the metric that was seen, of those runs that have one."""
        newest = (
            select(func.max(EVENT.c.id))
            .where(EVENT.c.run.in_(runs), EVENT.c.kind == EventKind.EPOCH)
            .group_by(EVENT.c.run)
        )
        rows = connection.execute(select(EVENT.c.run, _BEST).where(EVENT.c.id.in_(newest)))
        return {run: float(best) for run, best in rows if best is not None}

    @reads
    def recommended(
        self, connection: Connection, runs: Sequence[str]
    ) -> dict[str, dict[str, Decimal]]:
        """Return what was recommended after runs: kinds, with their savings (P50), US dollars."""
        key = EventKind.RECOMMENDED
        statement = select(EVENT.c.run, EVENT.c.body)
        rows = connection.execute(statement.where(EVENT.c.key == key, EVENT.c.run.in_(runs)))
        return {
            run: {
                item["kind"]: Decimal(item["saving_usd"]["p50"])
                for item in body["recommendations"]
            }
            for run, body in rows
        }

    @reads
    def use_lines(
        self, connection: Connection, days: Days, *, after: int = 0, limit: int = 5_000
    ) -> tuple[UseLine, ...]:
        """Return the journal lines of used time in some days, in pages, the oldest first.

        Args:
            connection: The transaction; callers leave it out.
            days: Which days, of which budget.
            after: Only lines with a greater id: the last one's of the page before.
            limit: At most so many.

        Returns:
            The lines, with what their runs and legs say of them.

        Raises:
            BadInputError: there is no such budget.
        """
        _check_budget(connection, days.budget)
        paths = paths_of(connection)
        of_leg = and_(LEG.c.run == JOURNAL.c.run, LEG.c.leg == JOURNAL.c.leg)
        statement = (
            select(JOURNAL, RUN.c.name, RUN.c.job, RUN.c.tags, RUN.c.priority)
            .add_columns(RUN.c.flavor, LEG.c.flavor.label("leg_flavor"), LEG.c.capacity)
            .select_from(JOURNAL)
            .outerjoin(RUN, RUN.c.run == JOURNAL.c.run)
            .outerjoin(LEG, of_leg)
            .where(*_used_in(days), JOURNAL.c.id > after)
            .order_by(JOURNAL.c.id)
            .limit(limit)
        )
        return tuple(_use(row, paths) for row in connection.execute(statement))


def _use(row: Stored, paths: Mapping[str, tuple[str, ...]]) -> UseLine:
    tags: Mapping[str, str] = row.tags or {}
    job: Mapping[str, Any] = row.job or {}
    resources: Mapping[str, Any] = job.get("resources") or {}
    return UseLine(
        line=line_of(row),
        job=row.name or "",
        team=team_of(tags, paths.get(row.budget) or (row.budget,)),
        flavor=row.leg_flavor or row.flavor or "unknown",
        capacity=None if row.capacity is None else Capacity(row.capacity),
        gpus=int(resources.get("gpus", 1)),
        priority=row.priority or "",
        tags=tags,
    )


def _check_budget(connection: Connection, budget: str | None) -> None:
    if budget is None:
        return
    known = connection.execute(select(BUDGET.c.name).order_by(BUDGET.c.name)).scalars().all()
    if budget not in known:
        msg = "there is no such budget"
        raise BadInputError(
            msg,
            where="--budget",
            expected=f"one of {', '.join(known) or '(none)'}",
            got=budget,
            remedy="`lowtide budget show` lists them",
        )


def _used_in(days: Days) -> list[ColumnElement[bool]]:
    return [
        JOURNAL.c.used_from_us >= to_us(days.start),
        JOURNAL.c.used_from_us < to_us(days.end),
        true() if days.budget is None else JOURNAL.c.budget.in_(below(days.budget)),
    ]


def _total(days: Days) -> Query:
    return select(func.sum(JOURNAL.c.amount_micro_usd)).where(*_used_in(days))


def _charged(days: Days) -> ColumnElement[Any]:
    """Add up what was charged for a run, in the order of its lines' index."""
    # A sum in the condition keeps SQLite from going through the lines by time instead.
    used_us = JOURNAL.c.used_from_us + 0
    return (
        select(func.sum(JOURNAL.c.amount_micro_usd))
        .where(
            JOURNAL.c.run == RUN.c.run,
            used_us >= to_us(days.start),
            used_us < to_us(days.end),
            true() if days.budget is None else JOURNAL.c.budget.in_(below(days.budget)),
        )
        .scalar_subquery()
    )


def _charged_by_run(days: Days) -> Subquery:
    """Add up what was charged for each run, all at once."""
    total = func.sum(JOURNAL.c.amount_micro_usd).label("charged")
    by_run = select(JOURNAL.c.run, total).where(*_used_in(days)).group_by(JOURNAL.c.run)
    return by_run.subquery("charged_by_run")


def _by_day(days: Days, offset_us: int, start_us: int, end_us: int) -> Query:
    day = ((JOURNAL.c.used_from_us + offset_us) // _DAY_US).label("day")
    corrected = case(
        (JOURNAL.c.kind == LineKind.CORRECTION.value, JOURNAL.c.amount_micro_usd), else_=0
    )
    return (
        select(
            day,
            JOURNAL.c.budget,
            JOURNAL.c.tariff_window,
            func.sum(JOURNAL.c.amount_micro_usd).label("charged"),
            func.sum(corrected).label("corrected"),
            func.count().label("lines"),
        )
        .where(
            *_used_in(days),
            JOURNAL.c.used_from_us >= start_us,
            JOURNAL.c.used_from_us < end_us,
        )
        .group_by(day, JOURNAL.c.budget, JOURNAL.c.tariff_window)
    )


def _of_budget(days: Days) -> ColumnElement[bool]:
    return true() if days.budget is None else RUN.c.budget.in_(below(days.budget))


def _made(days: Days) -> Query:
    return select(func.count()).where(
        RUN.c.created_us >= to_us(days.start), RUN.c.created_us < to_us(days.end), _of_budget(days)
    )


def _wanted_runs(days: Days) -> Query:
    """Select the runs of the days; of earlier ones only those whose legs lie near are looked at."""
    start_us, end_us = to_us(days.start), to_us(days.end)
    near = select(LEG.c.run).where(
        func.coalesce(LEG.c.started_us, LEG.c.opened_us) < end_us + _DAY_US,
        or_(LEG.c.ended_us.is_(None), LEG.c.ended_us >= start_us - _DAY_US),
    )
    made = and_(RUN.c.created_us >= start_us, RUN.c.created_us < end_us, _of_budget(days))
    earlier = and_(RUN.c.created_us < start_us, RUN.c.run.in_(near), _charged(days).is_not(None))
    return select(RUN).where(or_(made, earlier))


def _offsets(zone: str, start_us: int, end_us: int) -> Iterator[tuple[int, int, int]]:
    """Yield stretches of one UTC offset: the offset, and where they begin and end."""
    tz = ZoneInfo(zone)
    begun_us, offset_us = start_us, _offset_us(tz, start_us)
    # Clocks change at whole quarters of an hour, and days are cut where they do.
    for at_us in range(start_us, end_us, 900_000_000):
        here_us = _offset_us(tz, at_us)
        if here_us != offset_us:
            yield offset_us, begun_us, at_us
            begun_us, offset_us = at_us, here_us
    yield offset_us, begun_us, end_us


def _offset_us(tz: ZoneInfo, at_us: int) -> int:
    offset = from_us(at_us).astimezone(tz).utcoffset() or timedelta()
    return offset // timedelta(microseconds=1)


def _of(cell: Cell | None, name: str) -> Decimal:
    found: Decimal = ZERO_USD if cell is None else getattr(cell, name)
    return found
