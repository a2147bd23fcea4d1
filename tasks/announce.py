"""Tells the world what happened to a run or a budget."""

from collections.abc import Mapping
from typing import Any

from blocks.world import World
from lowtide.announcements import EventName, about_crossing, about_run
from tasks.claim import Owned


def announce(
    world: World,
    owned: Owned,
    event: EventName,
    *,
    occurrence: str,
    body: Mapping[str, Any] | None = None,
) -> None:
    """Tell of something that happened to a run; telling it again changes nothing.

    Args:
        world: The outside world.
        owned: The run.
        event: What happened.
        occurrence: Which occurrence within the run, as `leg-2`.
        body: The facts, a JSON document.
    """
    world.events.emit(
        about_run(
            event,
            run=owned.run,
            budget=owned.job.budget.name,
            occurrence=occurrence,
            at=world.now(),
            body=body,
        )
    )


def announce_thresholds(world: World) -> None:
    """Tell of the budgets' thresholds that were crossed and that nobody was told of yet.

    Told first and marked second: a process that dies between the two is followed by another that
    tells the same again, under the same id.
    """
    for crossing in world.ledger.crossings(untold=True):
        world.events.emit(about_crossing(crossing))
        world.ledger.mark_told(crossing, now=world.now())
