"""The questions that are asked before and after a run, answered alike for every door."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from apps.books import open_ledger, price_book
from apps.files import read_job
from blocks.history import past_runs
from blocks.settings import Settings
from lowtide.check import Check, check_training_budget
from lowtide.compare import Comparison, compare_configs
from lowtide.configs import parse_configs
from lowtide.errors import BadInputError
from lowtide.money import read_usd
from lowtide.recommend import Advice
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


def advice_on(named: str, *, job: str | None = None) -> Advice:
    """Say what would have made a run cheaper.

    Args:
        named: A run's id, a job's name (its newest run), or the id of any MLflow run.
        job: A job file or a job's name: what an MLflow run is a run of, where lowtide did not
            submit it; None: what it logged tells some of it, the rest is assumed.

    Raises:
        BadInputError: there is no such run, or it cannot teach anything.
        UnavailableError: MLflow is silent, and without epochs nothing can be said.
    """
    from blocks.world import open_world  # imports Prefect
    from tasks.advise import advise

    settings = Settings()
    asked = None if job is None else read_job(job, settings=settings)
    open_ledger(settings)
    with closing(open_world(settings)) as world:
        return advise(world, named, job=asked)
