"""Stops a run whose metric is good enough by its own job's rule: at a checkpoint, and for good."""

from typing import Any

from blocks.world import World
from lowtide.early_stopping import enough
from lowtide.events import EventKind
from lowtide.job import TrainingJob
from lowtide.money import show_usd
from lowtide.plain import plain_range, plain_usd_range
from lowtide.progress import Progress
from lowtide.words import show_duration
from tasks import log
from tasks.claim import Owned
from tasks.forecast import Outlook


def stop_when_enough(
    world: World, owned: Owned, *, leg: int, progress: Progress, ahead: Outlook
) -> None:
    """End a leg at its checkpoint if its job asked for that; repeating it changes nothing.

    Why comes first and the stop second: a flow that dies between the two is followed by another
    that finds the same curve and stops the leg.

    Args:
        world: The outside world.
        owned: The run.
        leg: Number of the leg that runs.
        progress: Its epochs.
        ahead: What the rest would take, which is what stopping saves.
    """
    job = owned.job
    if not enough(progress, job=job):
        return
    body = _body(job, progress, ahead)
    key = EventKind.ENOUGH
    if world.ledger.log(owned.run, kind=key, key=key, body=body, now=world.now()):
        log.say(f"{owned.run}: {body['message']}")
    world.runner.stop(owned.run, leg)


def why_enough(world: World, run: str) -> str:
    """Return why a run was ended early and what that saved, one sentence; empty if it was not."""
    noted = world.ledger.events(run, kind=EventKind.ENOUGH)
    return str(noted[-1].body["message"]) if noted else ""


def _body(job: TrainingJob, progress: Progress, ahead: Outlook) -> dict[str, Any]:
    left_s, left_usd = ahead.time.time_remaining_s, ahead.cost_usd
    return {
        "epoch": progress.epochs_done,
        "epochs": job.epochs,
        "rule": None if job.early_stopping is None else job.early_stopping.model_dump(mode="json"),
        "best": progress.best,
        "best_epoch": progress.best_epoch,
        "saved_s": plain_range(left_s),
        "saving_usd": plain_usd_range(left_usd),
        "calibrated": ahead.time.calibrated,
        "message": (
            f"{job.metric.name} was good enough after epoch {progress.epochs_done} of "
            f"{job.epochs}, by the job's early_stopping; the rest would have taken about "
            f"{show_duration(left_s.p50)} and {show_usd(left_usd.p50)} ({show_usd(left_usd.p10)} "
            f"to {show_usd(left_usd.p90)}), an estimate"
        ),
    }
