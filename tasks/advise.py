"""Works out what would have made a run cheaper, whoever submitted it."""

import re

from blocks.history import past_runs
from blocks.ledger import RunRow
from blocks.ledger.book import Operations
from blocks.tracking import RUN_TAG
from blocks.world import World
from lowtide.checkpointing import best_interval_s
from lowtide.errors import BadInputError, UnavailableError
from lowtide.identity import RUN_ID_PATTERN
from lowtide.job import TrainingJob, parse_job
from lowtide.prices import PriceBook
from lowtide.recommend import (
    Advice,
    RunRecord,
    TrackedRun,
    assumed_job,
    recommend as work_out,
    record_of_tracked,
)
from tasks.record import record_of, signals_of

_MLFLOW_RUN_PATTERN = r"^[0-9a-f]{32}$"


def advise(world: World, named: str, *, job: TrainingJob | None = None) -> Advice:
    """Say what would have made a run cheaper.

    Args:
        world: The outside world.
        named: A run's id, a job's name (its newest run), or the id of any MLflow run.
        job: What a run that lowtide did not submit is a run of; None: read from what it logged.

    Returns:
        The advice.

    Raises:
        BadInputError: there is no such run, or it can teach nothing.
        UnavailableError: MLflow is silent, and without epochs nothing can be said.
        PriceUnknownError: a part of the run's time has no price.
    """
    row = _row(world.ledger, named)
    if row is not None:
        return _advise_ours(world, row)
    tracked = world.tracking.tracked_run(named) if re.match(_MLFLOW_RUN_PATTERN, named) else None
    if tracked is None:
        msg = f"there is no run {named!r}"
        raise BadInputError(
            msg,
            expected="a run's id, the name of a job that was run, or the id of an MLflow run",
            got=named,
            remedy="`lowtide jobs` lists the runs",
        )
    ours = world.ledger.run(tracked.tags.get(RUN_TAG, ""))
    if ours is not None and not tracked.deleted:
        return _advise_ours(world, ours)
    return _advise_theirs(world, tracked, job=job)


def _row(ledger: Operations, named: str) -> RunRow | None:
    row = ledger.run(named) if re.match(RUN_ID_PATTERN, named) else None
    return row or next(iter(ledger.runs(name=named, limit=1)), None)


def _advise_ours(world: World, row: RunRow) -> Advice:
    job = parse_job(row.job, source=row.run)
    record = record_of(world, row.run, job)
    if record is None:
        msg = "its epochs are not to be had: MLflow does not answer, or never heard of it"
        raise UnavailableError(msg, where=f"run {row.run!r}", remedy="see `lowtide status`")
    holds = world.ledger.holds(row.run)
    book = world.prices.book()
    pinned = book.pinned(holds[-1].price_version) if holds else book
    return _advice(world, record, book=pinned)


def _advise_theirs(world: World, run: TrackedRun, *, job: TrainingJob | None) -> Advice:
    run.refuse_unusable(job=job)
    book = world.prices.book()
    assumed: frozenset[str] = frozenset()
    if job is None:
        job, assumed = assumed_job(run, flavor=book.sheet_at(world.now()).flavors[0].name)
    points = world.tracking.history([run.mlflow_run], metric=job.metric.name)
    record = record_of_tracked(
        run,
        job=job,
        assumed=assumed,
        points=points[run.mlflow_run],
        signals=signals_of(world, run.mlflow_run),
    )
    return _advice(world, record, book=book)


def _advice(world: World, record: RunRecord, *, book: PriceBook) -> Advice:
    return work_out(
        record,
        book=book,
        best_interval_s=best_interval_s,
        history=past_runs(world.ledger, record.job),
    )
