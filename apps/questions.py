"""The questions that are asked before and after a run, answered alike for every door."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from apps.answers import find_run
from apps.books import open_ledger, price_book
from apps.files import read_job
from blocks.history import past_runs
from blocks.settings import Settings
from lowtide.check import Check, check_training_budget
from lowtide.checkpointing import best_interval_s
from lowtide.compare import Comparison, compare_configs
from lowtide.configs import parse_configs
from lowtide.errors import BadInputError, UnavailableError
from lowtide.job import parse_job
from lowtide.money import read_usd
from lowtide.recommend import Advice, recommend
from lowtide.verdict import Refused


def check_budget(
    named: str | None, *, budget: str, epochs: int | None, batch_size: int | None
) -> Check | Refused:
    """Say whether a job fits a budget, and what would.

    Args:
        named: A job file, or a job's name; None: the default job.
        budget: What there is, US dollars, as it was written.
        epochs: Epochs; None: the job's.
        batch_size: Batch size; None: the job's.

    Raises:
        BadInputError: something asked is not usable.
    """
    settings = Settings()
    job = read_job(named, settings=settings)
    ledger = open_ledger(settings)
    return check_training_budget(
        job,
        budget_usd=read_usd(budget, where="budget"),
        book=price_book(settings),
        now=datetime.now(UTC),
        epochs=epochs,
        batch_size=batch_size,
        history=past_runs(ledger, job),
    )


def compare_texts(configs: str | Path, *, job: str | None, source: str) -> Comparison | Refused:
    """Compare configurations of a job.

    Args:
        configs: A JSON list, or the file that holds one.
        job: A job file, or a job's name; None: the default job.
        source: What to call the list in messages.

    Raises:
        BadInputError: the list or the job is not usable.
    """
    if isinstance(configs, Path):
        try:
            configs = configs.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            msg = f"the file cannot be read: {error}"
            remedy = "name a file with a JSON list, or give the list itself"
            raise BadInputError(msg, where=source, remedy=remedy) from None
    settings = Settings()
    asked = read_job(job, settings=settings)
    return compare_configs(
        asked,
        parse_configs(configs, source=source),
        book=price_book(settings),
        now=datetime.now(UTC),
        history=past_runs(open_ledger(settings), asked),
    )


def advice_on(named: str) -> Advice:
    """Say what would have made a run cheaper.

    Args:
        named: A run's id, or a job's name: its newest run.

    Raises:
        BadInputError: there is no such run, or it cannot teach anything.
        UnavailableError: MLflow is silent, and without epochs nothing can be said.
    """
    from blocks.world import open_world  # noqa: PLC0415 - imports Prefect
    from tasks.record import record_of  # noqa: PLC0415

    settings = Settings()
    row = find_run(open_ledger(settings), named)
    job = parse_job(row.job, source=row.run)
    with closing(open_world(settings)) as world:
        record = record_of(world, row.run, job)
        if record is None:
            msg = "its epochs are not to be had: MLflow does not answer, or never heard of it"
            raise UnavailableError(msg, where=f"run {row.run!r}", remedy="see `lowtide status`")
        holds = world.ledger.holds(row.run)
        book = world.prices.book()
        return recommend(
            record,
            book=book.pinned(holds[-1].price_version) if holds else book,
            best_interval_s=best_interval_s,
            history=past_runs(world.ledger, job),
        )
