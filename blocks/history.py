"""Past runs, as forecasts learn from them: read from the ledger alone."""

from blocks.ledger.book import Operations
from lowtide.events import EventKind
from lowtide.forecast import PastRun
from lowtide.job import TrainingJob
from lowtide.ledger.records import RunState

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
    like = ledger.runs(name=job.name, limit=_RUNS_MAX)
    others = [
        row
        for state in (RunState.COMPLETED, RunState.COMPLETED_EARLY)
        for row in ledger.runs(state=state, limit=_RUNS_MAX)
    ]
    others.sort(key=lambda row: row.created_at, reverse=True)
    rows = {row.run: row for row in (*like, *others[:_RUNS_MAX])}
    notes = ledger.events_of(tuple(rows), kind=EventKind.EPOCHS)
    return tuple(
        PastRun(
            epoch_s=tuple(event.body["epoch_s"]),
            same_job=row.name == job.name
            and all(row.job.get(key) == document[key] for key in _WORK),
            batch_size=event.body["batch_size"],
            values=tuple(event.body["values"]),
        )
        for row in rows.values()
        for event in notes.get(row.run, ())
        if event.body["epoch_s"]
    )
