"""Looks at what is: the facts from which the next step follows, read anew each time."""

from datetime import datetime

from blocks.ledger import LegRow
from blocks.world import World
from lowtide.events import EventKind
from lowtide.job import TrainingJob
from lowtide.legs import LegStatus
from lowtide.steps import LegView, Outcome, RunView


def look(
    world: World, run: str, job: TrainingJob, *, planned: bool = False, later: bool = False
) -> RunView:
    """Return what the run's next step depends on.

    Args:
        world: The outside world.
        run: Id of the run.
        job: What it trains.
        planned: Whether the caller holds a fresh plan for the next leg.
        later: Whether that plan says to start later.

    Returns:
        The view.
    """
    row = world.ledger.run(run)
    kinds = {event.kind for event in world.ledger.events(run)}
    return RunView(
        held=world.ledger.hold_of(run) is not None,
        legs=tuple(
            LegView(
                leg=leg.leg,
                end=leg.end,
                submitted=leg.handle is not None,
                settled=leg.settled_at is not None,
            )
            for leg in world.ledger.legs(run)
        ),
        max_failures=job.max_failures,
        outcome=_outcome(None if row is None else row.state),
        planned=planned,
        later=later,
        stop_asked=EventKind.STOP_ASKED in kinds,
        enough=EventKind.ENOUGH in kinds,
        recommended=EventKind.RECOMMENDED in kinds,
        reported=EventKind.REPORTED in kinds,
    )


def record_leg(world: World, run: str, leg: int) -> tuple[LegRow, LegStatus]:
    """Write down what a leg's runner knows about it, and return both."""
    status = world.runner.status(run, leg, now=world.now())
    row = world.ledger.update_leg(
        run,
        leg,
        started_at=status.started_at,
        ended_at=status.ended_at,
        exit_code=status.exit_code,
        end=status.end,
        reason=status.reason or None,
        measured=status.measured,
    )
    return row, status


def leg_starts(world: World, run: str) -> tuple[datetime, ...]:
    """Return when each leg's program started."""
    starts = (leg.started_at for leg in world.ledger.legs(run))
    return tuple(start for start in starts if start is not None)


def stop_asked(world: World, run: str) -> bool:
    """Say whether somebody asked for the run's end."""
    return bool(world.ledger.events(run, kind=EventKind.STOP_ASKED))


def _outcome(state: str | None) -> Outcome | None:
    return Outcome(state) if state in set(Outcome) else None
