"""The `forecast` answer: what is left of a run, or what more epochs of its job would take."""

from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from apps.answers import newest_run, no_such_run
from apps.books import open_ledger, price_book
from apps.files import job_names, job_path, read_job
from blocks.ledger import Books
from blocks.settings import Settings
from blocks.world import open_world
from lowtide.early_stopping import UNTRUSTED
from lowtide.errors import BadInputError
from lowtide.forecast import breach_probability
from lowtide.job import TrainingJob, parse_job
from lowtide.legs import Capacity
from lowtide.progress import Progress
from lowtide.verdict import Refused
from tasks.forecast import Outlook, outlook, progress_of

_EPOCHS_MAX = 1_000_000


def forecast_document(named: str, *, remaining_epochs: int | None) -> dict[str, Any] | Refused:
    """Return the `forecast` document.

    Args:
        named: A run's id, or a job's name: its newest run, else its file.
        remaining_epochs: Epochs still to train; None: what is left of the run.

    Returns:
        The document, or why there is no forecast.

    Raises:
        BadInputError: there is no such run and no such job, or the epochs are no count.
    """
    if remaining_epochs is not None and not 0 <= remaining_epochs <= _EPOCHS_MAX:
        msg = "nothing can be forecast for them"
        raise BadInputError(
            msg,
            where="remaining_epochs",
            expected=f"0 to {_EPOCHS_MAX}",
            got=str(remaining_epochs),
            remedy="give a number of epochs",
        )
    settings = Settings()
    ledger = open_ledger(settings)
    row = newest_run(ledger, named)
    if row is None:
        return _of_file(ledger, named, remaining_epochs=remaining_epochs, settings=settings)
    job = parse_job(row.job, source=row.run)
    with closing(open_world(settings)) as world:
        progress = progress_of(world, row.run, job)
        if remaining_epochs is not None:
            done = 0 if progress is None else progress.epochs_done
            job = job.model_copy(update={"epochs": done + remaining_epochs})
        ahead = outlook(
            world.ledger,
            job,
            book=world.prices.book(),
            capacity=Capacity.ON_DEMAND,
            now=datetime.now(UTC),
            progress=progress,
        )
        if isinstance(ahead, Refused):
            return ahead
        hold = world.ledger.hold_of(row.run)
        left_usd = None if hold is None else hold.left_usd
        document = _document(row.run, ahead, progress, left_usd=left_usd)
        return {**document, **metric_ahead(job, progress)}


def _of_file(
    ledger: Books, named: str, *, remaining_epochs: int | None, settings: Settings
) -> dict[str, Any] | Refused:
    """Forecast a job that never ran, from its file."""
    if named not in job_names(settings):
        raise no_such_run(named)
    job = read_job(str(job_path(named, settings=settings)), settings=settings)
    if remaining_epochs is not None:
        job = job.model_copy(update={"epochs": remaining_epochs})
    ahead = outlook(
        ledger,
        job,
        book=price_book(settings),
        capacity=Capacity.ON_DEMAND,
        now=datetime.now(UTC),
    )
    if isinstance(ahead, Refused):
        return ahead
    document = _document(None, ahead, None, left_usd=None)
    return {**document, **metric_ahead(job, None)}


def metric_ahead(job: TrainingJob, progress: Progress | None) -> dict[str, Any]:
    """Return the best metric to expect at the end, or why nobody can say."""
    # Its curves are fitted by SciPy, which takes longer to import than all the rest.
    from lowtide.learning_curve import VALUES_MIN, forecast_best

    if progress is None or UNTRUSTED.intersection(progress.faults):
        reason = "no epoch that can be trusted was logged"
        return {"metric": None, "metric_reason": reason}
    epochs = max(job.epochs, progress.epochs_done)
    ahead = forecast_best(progress.values, epochs=epochs, goal=job.metric.goal)
    if ahead is None:
        reason = f"fewer than {VALUES_MIN} values of {job.metric.name} were logged"
        return {"metric": None, "metric_reason": reason}
    spread = {"p10": ahead.p10, "p50": ahead.p50, "p90": ahead.p90}
    found = {"name": job.metric.name, **spread, "based_on": ahead.based_on}
    return {"metric": found, "metric_reason": None}


def _document(
    run: str | None, ahead: Outlook, progress: Progress | None, *, left_usd: Decimal | None
) -> dict[str, Any]:
    time, cost = ahead.time, ahead.cost_usd
    left_s = time.time_remaining_s
    return {
        "run": run,
        "epochs_done": 0 if progress is None else progress.epochs_done,
        "epochs_remaining": time.epochs_remaining,
        "time_remaining_s": {"p10": left_s.p10, "p50": left_s.p50, "p90": left_s.p90},
        "cost_usd": {"p10": cost.p10, "p50": cost.p50, "p90": cost.p90},
        "calibrated": time.calibrated,
        "based_on": time.based_on,
        "explanation": time.explanation,
        "breach_probability": None
        if left_usd is None
        else breach_probability(cost, budget_usd=left_usd),
        "breach_reason": "no money is held for the run now" if left_usd is None else None,
    }
