"""Runs that lowtide did not submit: what MLflow knows of one, made into a record that can be advised.

Nobody told what such a run asked for, so what was logged is read by the names that people give it,
and every part of the job that no name tells is assumed, and said to be.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lowtide.errors import BadInputError
from lowtide.job import TrainingJob
from lowtide.progress import EpochPoint, Goal, read_progress
from lowtide.recommend.record import PastLeg, RunRecord, Signals
from lowtide.steps import Outcome

_OUTCOMES: Mapping[str, Outcome] = {
    "FINISHED": Outcome.COMPLETED,
    "FAILED": Outcome.FAILED,
    "KILLED": Outcome.STOPPED,
}
_EPOCHS = ("epochs", "num_epochs", "n_epochs", "max_epochs", "num_train_epochs")
_BATCH_SIZE = ("batch_size", "train_batch_size", "per_device_train_batch_size", "bs")
_HELD_OUT = re.compile(r"(^|[^a-z])(val|valid|validation|eval|test)([^a-z]|$)")
_FALLING = re.compile(r"loss|error|perplexity|mae|mse|rmse")
_GOOD = re.compile(r"acc|accuracy|f1|auc|map|iou|score|bleu")
_NAME_LENGTH_MAX = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """A run as MLflow knows it.

    Attributes:
        mlflow_run: Its id there.
        experiment: Name of its experiment.
        status: RUNNING, SCHEDULED, FINISHED, FAILED or KILLED.
        deleted: Whether it was deleted.
        started_at: When it began.
        ended_at: When it ended; None while it has not.
        params: What was logged as parameters.
        tags: Its tags.
        metrics: Names of the metrics that it logged.
    """

    mlflow_run: str
    experiment: str
    status: str
    deleted: bool
    started_at: datetime
    ended_at: datetime | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: tuple[str, ...]

    def refuse_unusable(self, *, job: TrainingJob | None) -> None:
        """Raise where nothing can be said about the run.

        Args:
            job: The job that it is said to be a run of; None: nobody says.

        Raises:
            BadInputError: it was deleted, or belongs to another experiment than the job's.
        """
        if self.deleted:
            self._refuse("it was deleted", remedy="restore it in MLflow, or name another run")
        if job is not None and job.name != self.experiment:
            self._refuse(
                "it is a run of another experiment",
                expected=f"a run of experiment {job.name!r}, the job's name",
                got=self.experiment,
                remedy="name the job that it was a run of, or none",
            )

    def _refuse(
        self, message: str, *, remedy: str, expected: str | None = None, got: str | None = None
    ) -> None:
        raise BadInputError(
            message,
            where=f"MLflow run {self.mlflow_run!r}",
            expected=expected,
            got=got,
            remedy=remedy,
        )


def main_metric(names: Iterable[str]) -> tuple[str, Goal] | None:
    """Return the metric that tells how good a run was, by its name, and which way is better.

    What was measured on held-out data comes first, and of that what people call good.

    Args:
        names: All metrics that the run logged.

    Returns:
        Its name and goal; None where no name tells.

    Examples:
        >>> main_metric(["loss", "val_loss", "val_accuracy"])
        ('val_accuracy', 'maximize')
        >>> main_metric(["loss", "eval/perplexity"])
        ('eval/perplexity', 'minimize')
        >>> main_metric(["gpu_utilization", "throughput"])
    """

    def rank(name: str) -> tuple[bool, bool, str]:
        return not _HELD_OUT.search(name.lower()), not _GOOD.search(name.lower()), name

    telling = [
        name for name in names if _FALLING.search(name.lower()) or _GOOD.search(name.lower())
    ]
    if not telling:
        return None
    best = min(telling, key=rank)
    return best, "minimize" if _FALLING.search(best.lower()) else "maximize"


def assumed_job(run: TrackedRun, *, flavor: str) -> tuple[TrainingJob, frozenset[str]]:
    """Return a job that could have been the run's, and the keys of it that nobody told.

    Args:
        run: The run.
        flavor: Kind of capacity that it is taken to have run on.
    """
    told: dict[str, Any] = {}
    for key, names in (("epochs", _EPOCHS), ("batch_size", _BATCH_SIZE)):
        number = next((int(run.params[n]) for n in names if _is_count(run.params.get(n))), None)
        if number is not None:
            told[key] = number
    metric = main_metric(run.metrics)
    if metric is not None:
        told["metric"] = {"name": metric[0], "goal": metric[1]}
    job = TrainingJob.model_validate(
        {
            "name": _slug(run.experiment),
            "command": ("the run's own program",),
            "resources": {"flavor": flavor},
            **told,
        }
    )
    parts = {"epochs", "batch_size", "metric", "resources", "priority", "command"}
    return job, frozenset(parts - set(told))


def record_of_tracked(
    run: TrackedRun,
    *,
    job: TrainingJob,
    assumed: frozenset[str] = frozenset(),
    points: Sequence[EpochPoint],
    signals: Signals,
) -> RunRecord:
    """Return a run that lowtide did not submit as a record.

    Args:
        run: The run.
        job: What it trained, or may have trained.
        assumed: Keys of the job that nobody told.
        points: What it logged of the job's metric.
        signals: What else it logged.
    """
    ended = run.ended_at
    return RunRecord(
        run=run.mlflow_run,
        job=job,
        outcome=_OUTCOMES.get(run.status) if ended is not None else None,
        legs=() if ended is None else (PastLeg(started_at=run.started_at, ended_at=ended),),
        progress=read_progress(
            points,
            leg_starts=[run.started_at],
            epochs=None if "epochs" in assumed else job.epochs,
            goal=job.metric.goal,
        ),
        signals=signals,
        assumed=assumed,
    )


def _is_count(text: str | None) -> bool:
    return text is not None and re.fullmatch(r"[1-9][0-9]{0,5}", text) is not None


def _slug(experiment: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", experiment.lower()).strip("-")[:_NAME_LENGTH_MAX].strip("-")
    return slug or "tracked"
