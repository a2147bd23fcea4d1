"""Past runs, as forecasts learn from them: read from the ledger alone."""

from blocks.ledger.book import Operations
from lowtide.forecast import PastRun
from lowtide.job import TrainingJob

_RUNS_MAX = 100
# What an epoch's time depends on, the batch size apart: that one is modelled.
_WORK = ("command", "params", "resources", "image")


def past_runs(ledger: Operations, job: TrainingJob) -> tuple[PastRun, ...]:
    """Return the epochs of earlier whole runs, of this job and of others.

    A run of the same name with other parameters or resources counts as another job: its epochs
    take another time.

    Args:
        ledger: The books.
        job: The job that is forecast.

    Returns:
        At most a hundred of each kind, runs of this job first, the newest first.
    """
    document = job.document()
    return tuple(
        PastRun(
            epoch_s=tuple(lesson.body["epoch_s"]),
            same_job=lesson.job is not None
            and all(lesson.job.get(key) == document[key] for key in _WORK),
            batch_size=lesson.body["batch_size"],
            values=tuple(lesson.body["values"]),
        )
        for lesson in ledger.lessons(name=job.name, limit=_RUNS_MAX)
        if lesson.body["epoch_s"]
    )
