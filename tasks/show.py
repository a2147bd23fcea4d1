"""What a person sees in Prefect's UI while a run is under way: its artifacts.

Showing never breaks a training: a server that does not answer costs a picture, not a run.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.context import TaskRunContext

from blocks.artifacts import update_table_artifact, written
from blocks.ledger import Hold
from lowtide.errors import UnavailableError
from lowtide.job import TrainingJob
from lowtide.money import show_usd
from lowtide.progress import Progress
from lowtide.recommend import Advice
from lowtide.sweep import TrialResult
from lowtide.words import show_duration
from tasks.forecast import Outlook
from tasks.log import warn

_TABLE_EVERY_S = 2.0


def markdown(key: str, *, title: str, text: str) -> None:
    """Show a text as an artifact."""
    _shown(lambda: create_markdown_artifact(key=key, markdown=text, description=title))


def table(key: str, *, title: str, rows: list[dict[str, Any]]) -> None:
    """Show rows as a table artifact."""
    _shown(lambda: create_table_artifact(key=key, table=rows, description=title))


@dataclass(slots=True)
class ProgressBar:
    """One progress artifact of a run, made at the first epoch and moved at each."""

    artifact_id: UUID | None = None

    def update(self, run: str, job: TrainingJob, progress: Progress, *, ahead: Outlook) -> None:
        """Move the bar to the epochs done, and say what is still to come."""
        percent = 100 * progress.epochs_done / job.epochs
        title = (
            f"{job.name}: epoch {progress.epochs_done} of {job.epochs}; to come about "
            f"{show_duration(ahead.time.time_remaining_s.p50)} and "
            f"{show_usd(ahead.cost_usd.p50)} (P90 {show_usd(ahead.cost_usd.p90)})"
        )
        if self.artifact_id is None:
            self.artifact_id = _shown(
                lambda: create_progress_artifact(
                    progress=percent, key=f"{run}-progress", description=title
                )
            )
            return
        made = self.artifact_id
        _shown(lambda: update_progress_artifact(made, progress=percent, description=title))


@dataclass(slots=True)
class Table:
    """One table artifact of a sweep, made when it starts and kept up to date."""

    artifact_id: UUID | None = None
    shown_at: float = 0.0

    def show(
        self,
        key: str,
        standing: Callable[[], tuple[Sequence[TrialResult], str]],
        *,
        last: bool = False,
    ) -> None:
        """Show how the trials stand, the best first; not more often than a person looks.

        Args:
            key: The sweep's id.
            standing: Returns the trials, the best first, and what the table says on the whole;
                asked only when somebody is to see it.
            last: Whether this is how it ends.
        """
        now = time.monotonic()
        if not last and now - self.shown_at < _TABLE_EVERY_S:
            return
        self.shown_at = now
        results, title = standing()
        rows = [_row(rank, result) for rank, result in enumerate(results, start=1)]
        if self.artifact_id is None:
            self.artifact_id = _shown(
                lambda: create_table_artifact(key=key, table=rows, description=title)
            )
            return
        made = self.artifact_id
        _shown(lambda: update_table_artifact(made, table=rows, description=title))


def _row(rank: int, result: TrialResult) -> dict[str, Any]:
    return {
        "rank": rank,
        "configuration": configuration(result),
        "best": result.best,
        "epochs": result.epochs_done,
        "charged": show_usd(result.charged_usd),
        "state": result.state,
        "run": result.run,
        "why": result.message,
    }


def configuration(result: TrialResult) -> str:
    """Return what was tried, as a person writes it."""
    return ", ".join(f"{name}={value}" for name, value in _flat(result.config)) or "as the job is"


def _flat(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        yield from value.items() if isinstance(value, Mapping) else ((name, value),)


def forecast_table(run: str, ahead: Outlook, *, hold: Hold | None) -> None:
    """Show the forecast as a table; the newest version of it is the one in force."""
    time, cost = ahead.time.time_remaining_s, ahead.cost_usd
    rows = [
        {
            "": "time left",
            "P10": show_duration(time.p10),
            "P50": show_duration(time.p50),
            "P90": show_duration(time.p90),
        },
        {
            "": "cost left",
            "P10": show_usd(cost.p10),
            "P50": show_usd(cost.p50),
            "P90": show_usd(cost.p90),
        },
    ]
    if hold is not None:
        rows.append({"": "held", "P10": "", "P50": "", "P90": show_usd(hold.left_usd)})
    calibrated = "calibrated" if ahead.time.calibrated else "not calibrated"
    title = f"{ahead.time.epochs_done} epochs done; {calibrated}; {ahead.time.explanation}"
    _shown(lambda: create_table_artifact(key=f"{run}-forecast", table=rows, description=title))


def advice_table(run: str, advice: Advice) -> None:
    """Show the recommendations as a table."""
    rows = [
        {
            "what": item.description,
            "saves (P50)": show_usd(item.saving_usd.p50),
            "of the run": f"{item.saving_pct:.0f} %",
            "confidence": item.confidence,
            "do": item.action,
        }
        for item in advice.recommendations
    ]
    title = f"Next time: up to {show_usd(advice.combined_saving_usd.p50)} less, all together"
    _shown(lambda: create_table_artifact(key=f"{run}-advice", table=rows, description=title))


def epoch_body(
    job: TrainingJob, progress: Progress, ahead: Outlook, *, hold: Hold | None
) -> dict[str, Any]:
    """Return what the run's log keeps of one epoch: enough to draw it again."""
    time, cost = ahead.time.time_remaining_s, ahead.cost_usd
    return {
        "epochs_done": progress.epochs_done,
        "epochs": job.epochs,
        "metric": progress.values[-1] if progress.values else None,
        "best": progress.best,
        "epoch_s": progress.epoch_s[-1] if progress.epoch_s else None,
        "time_remaining_s": {"p10": time.p10, "p50": time.p50, "p90": time.p90},
        "cost_remaining_usd": {"p10": str(cost.p10), "p50": str(cost.p50), "p90": str(cost.p90)},
        "calibrated": ahead.time.calibrated,
        "charged_usd": None if hold is None else str(hold.charged_usd),
        "held_usd": None if hold is None else str(hold.left_usd),
    }


def _shown(make: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the artifact call returns
    if TaskRunContext.get() is None:
        return None  # a task's function called by itself: there is no run to attach it to
    try:
        return written(make)
    except UnavailableError as error:
        warn(str(error))
        return None
