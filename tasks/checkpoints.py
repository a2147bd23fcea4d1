"""How often a leg's program is to save: what the job says, or what its saves and spot's life ask for."""

import math
from collections.abc import Iterator
from statistics import median

from blocks.world import World
from lowtide.checkpointing import best_interval_s, mean_lifetime_s
from lowtide.errors import UnavailableError
from lowtide.events import EventKind
from lowtide.legs import Capacity, LegEnd
from tasks import log
from tasks.claim import Owned

UNMEASURED_S = 60.0
"""Until a save of this job was measured: often enough that a preemption costs little."""

_RUNS_MAX = 20
_LEAST_S = 1.0


def checkpoint_every_s(world: World, owned: Owned, leg: int) -> float:
    """Return the seconds between two saves of a leg; the same whoever asks, and however often.

    For `interval: auto` it is the interval that wastes least, by the time of a save (the metric
    `checkpoint_s`, of this run and of earlier ones of the job) and the mean life of spot legs of this
    flavor, starting from a prior of two hours that counts for three.

    Args:
        world: The outside world.
        owned: The run.
        leg: Number of the leg.
    """
    interval = owned.job.checkpoint.interval
    if interval != "auto":
        return interval
    key = f"leg-{leg}"
    decided = {
        event.key: float(event.body["every_s"])
        for event in world.ledger.events(owned.run, kind=EventKind.CHECKPOINT_EVERY)
    }
    if key in decided:
        return decided[key]
    every_s, body = _automatic(world, owned)
    # Written before the leg starts: a leg that is started again must be asked for the same.
    world.ledger.log(
        owned.run, kind=EventKind.CHECKPOINT_EVERY, key=key, body=body, now=world.now()
    )
    return every_s


def _automatic(world: World, owned: Owned) -> tuple[float, dict[str, object]]:
    saves_s = _saves_s(world, owned)
    if not saves_s:
        return UNMEASURED_S, {"every_s": UNMEASURED_S, "why": "no save was measured yet"}
    lifetimes_s = list(_lifetimes_s(world, owned))
    save_s, lifetime_s = median(saves_s), mean_lifetime_s(lifetimes_s)
    every_s = max(_LEAST_S, round(best_interval_s(save_s, lifetime_s), 1))
    why = f"a save takes {save_s:.3g} s, and spot lives {lifetime_s:.0f} s in the mean"
    return every_s, {"every_s": every_s, "why": why, "lifetimes": len(lifetimes_s)}


def _saves_s(world: World, owned: Owned) -> list[float]:
    rows = world.ledger.runs(name=owned.job.name, limit=_RUNS_MAX)
    tracked = [row.mlflow_run_id for row in rows if row.mlflow_run_id is not None]
    try:
        points = world.tracking.history(tracked, metric="checkpoint_s")
    except UnavailableError as error:
        log.warn(f"how long saves take is not to be had: {error}")
        return []
    values = (point.value for of_run in points.values() for point in of_run)
    return [value for value in values if math.isfinite(value) and value >= 0]


def _lifetimes_s(world: World, owned: Owned) -> Iterator[float]:
    for row in world.ledger.runs(limit=_RUNS_MAX):
        if row.flavor != owned.job.resources.flavor:
            continue
        for leg in world.ledger.legs(row.run):
            is_taken = leg.capacity is Capacity.SPOT and leg.end is LegEnd.PREEMPTED
            if is_taken and leg.started_at is not None and leg.ended_at is not None:
                yield (leg.ended_at - leg.started_at).total_seconds()
