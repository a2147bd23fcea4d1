"""Turns what a leg really used into its final charge, and ends a run's hold when the run is over.

The same functions serve the flow, the hook that runs after a cancellation, and `reconcile`: whoever
comes first settles, and whoever comes again changes nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from blocks.ledger import LegRow
from blocks.tracking import RunStatus
from blocks.world import World
from lowtide.announcements import EventName
from lowtide.errors import UnavailableError
from lowtide.events import EventKind
from lowtide.ledger.records import RunState, Stretch
from lowtide.legs import LegEnd
from lowtide.money import ZERO_USD, show_usd
from lowtide.progress import Progress, fault_message
from lowtide.steps import Outcome, outcome_of
from tasks import log
from tasks.announce import announce, announce_thresholds
from tasks.bill import Bill
from tasks.claim import Owned
from tasks.early_stop import why_enough
from tasks.effect import effect
from tasks.forecast import progress_of
from tasks.look import look

ACTOR = "settle"
_LOG_LINES = 5


@effect(name="settle_costs")
def settle_costs(world: World, owned: Owned) -> Outcome | None:
    """Charge every ended leg by its measured time; if the run is over, release the rest.

    Args:
        world: The outside world.
        owned: The run.

    Returns:
        How the run ended; None while it goes on with another leg.
    """
    return settle(world, owned)


def settle(world: World, owned: Owned, *, progress: Progress | None = None) -> Outcome | None:
    """Do what `settle_costs` does, outside a flow.

    Args:
        world: The outside world.
        owned: The run.
        progress: Its epochs, where somebody read them after its last leg had ended; None: MLflow is
            asked.
    """
    for leg in world.ledger.legs(owned.run):
        if leg.end is not None and leg.settled_at is None:
            _settle_leg(world, owned, leg)
    outcome = outcome_of(look(world, owned.run, owned.job))
    if outcome is not None:
        _finish(world, owned, outcome, progress)
    return outcome


def _settle_leg(world: World, owned: Owned, leg: LegRow) -> None:
    bill = Bill(world, owned.job, leg)
    now = world.now()
    world.ledger.settle(
        key=f"{owned.run}/leg-{leg.leg}/settle",
        run=owned.run,
        leg=leg.leg,
        costs=_costs(bill, leg),
        price_version=bill.version,
        measured=leg.measured,
        now=now,
        actor=ACTOR,
        reason=f"leg {leg.leg} {leg.end.value if leg.end else 'open'}",
    )
    world.ledger.update_leg(owned.run, leg.leg, settled_at=now)
    if leg.handle is not None or leg.started_at is not None:
        world.runner.forget(owned.run, leg.leg)
    if leg.end is LegEnd.PREEMPTED:
        announce(
            world,
            owned,
            EventName.LEG_PREEMPTED,
            occurrence=f"leg-{leg.leg}",
            body={"leg": leg.leg, "capacity": leg.capacity.value, "reason": leg.reason},
        )


def _costs(bill: Bill, leg: LegRow) -> Sequence[Stretch] | None:
    """Return what the leg used; None where it ran and nobody can say for how long."""
    if leg.started_at is not None and leg.ended_at is not None:
        return bill.stretches()(leg.started_at, leg.ended_at)
    # Withdrawn, or an image that is not there: its runner says for certain that nothing ever ran.
    never_ran = leg.started_at is None and leg.end is not None and leg.measured
    return () if never_ran else None


def _finish(world: World, owned: Owned, outcome: Outcome, progress: Progress | None) -> None:
    run, now = owned.run, world.now()
    released_usd = world.ledger.release(
        key=f"{run}/release", run=run, now=now, actor=ACTOR, reason=f"the run is {outcome.value}"
    )
    progress = progress or progress_of(world, run, owned.job)
    is_whole = outcome is Outcome.COMPLETED_EARLY
    if progress is not None and (is_whole or progress.epochs_done >= owned.job.epochs):
        # Only a whole run is a lesson: the forecast's errors are measured on its real end. One
        # that was good enough earlier has reached its own.
        body = {
            "epoch_s": list(progress.epoch_s),
            "batch_size": owned.job.batch_size,
            "values": list(progress.values),
        }
        world.ledger.log(run, kind=EventKind.EPOCHS, key=EventKind.EPOCHS, body=body, now=now)
    _end_tracking(world, run, outcome, now=now)
    world.ledger.set_run_state(
        owned.lease,
        run,
        state=RunState(outcome.value),
        message=_message(world, owned, outcome, progress),
        now=now,
    )
    row = world.ledger.run(run)
    announce(
        world,
        owned,
        EventName.RUN_SETTLED,
        occurrence="settled",
        body={
            "outcome": outcome.value,
            "message": "" if row is None else row.message,
            "charged_usd": str(sum((leg.charged_usd for leg in world.ledger.legs(run)), ZERO_USD)),
            "released_usd": str(released_usd),
        },
    )
    announce_thresholds(world)
    log.say(f"{run} {outcome.value}; {show_usd(released_usd)} released")


def _end_tracking(world: World, run: str, outcome: Outcome, *, now: datetime) -> None:
    row = world.ledger.run(run)
    if row is None or row.mlflow_run_id is None:
        return
    try:
        world.tracking.end_run(row.mlflow_run_id, status=MLFLOW_STATUS[outcome], now=now)
    except UnavailableError as error:
        # The money is what counts; `reconcile` closes what tracking missed.
        log.warn(f"the MLflow run stays open: {error}")


def _message(world: World, owned: Owned, outcome: Outcome, progress: Progress | None) -> str:
    legs = world.ledger.legs(owned.run)
    done = 0 if progress is None else progress.epochs_done
    parts = [f"{done} of {owned.job.epochs} epochs"]
    if progress is not None and progress.best is not None:
        parts.append(f"best {owned.job.metric.name} {progress.best:.4f}")
    if outcome is Outcome.COMPLETED_EARLY:
        parts.append(why_enough(world, owned.run))
    elif outcome is not Outcome.COMPLETED and legs:
        parts.append(legs[-1].reason)
    if outcome is Outcome.FAILED and legs:
        parts += _last_words(world, legs[-1])
    if progress is not None and legs:
        parts += [fault_message(fault) for fault in progress.faults]
    return "; ".join(part for part in parts if part)


def _last_words(world: World, leg: LegRow) -> list[str]:
    if leg.started_at is None:
        return []
    lines = world.runner.logs(leg.run, leg.leg, lines_max=_LOG_LINES)
    return ["its last words: " + " / ".join(lines) if lines else "it wrote nothing"]


MLFLOW_STATUS: Mapping[str, RunStatus] = {
    Outcome.COMPLETED: "FINISHED",
    Outcome.COMPLETED_EARLY: "FINISHED",
    Outcome.FAILED: "FAILED",
    Outcome.OVER_LIMIT: "KILLED",
    Outcome.STOPPED: "KILLED",
    Outcome.REFUSED: "KILLED",
}
