"""Whether a deadline can be promised: alone, and beside all that were promised before."""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta

from blocks.world import World
from lowtide.acceptance import DeadlineWork, accept
from lowtide.forecast import TimeForecast
from lowtide.job import TrainingJob, parse_job
from lowtide.legs import Capacity
from lowtide.plain import plain_moment
from lowtide.verdict import RefusalReason, Refused
from lowtide.words import show_duration
from tasks.claim import Owned
from tasks.forecast import outlook

_RUNS_MAX = 500


def promise(world: World, owned: Owned, time: TimeForecast) -> Refused | None:
    """Say whether the run's deadline can be promised; None where it can, or there is none.

    Args:
        world: Where the others' runs and the quota are.
        owned: The run.
        time: What it takes.
    """
    job, now = owned.job, world.now()
    if job.deadline is None:
        return None
    late = _alone(job, time, now=now, deadline=job.deadline)
    gpus = world.runner.on_demand_gpus(job.where)
    if late is not None or gpus is None:
        return late
    new = DeadlineWork(
        run=owned.run,
        gpus=job.resources.gpus,
        work_s=time.time_remaining_s.p90,
        deadline=job.deadline,
    )
    return accept(new, tuple(_others(world, owned, now=now)), gpus=gpus, now=now)


def _alone(
    job: TrainingJob, time: TimeForecast, *, now: datetime, deadline: datetime
) -> Refused | None:
    soonest = now + timedelta(seconds=time.time_remaining_s.p90)
    if soonest <= deadline:
        return None
    left_s = (deadline - now).total_seconds()
    epochs = math.floor(max(0.0, left_s) / time.epoch_s.p90) if time.epoch_s.p90 > 0 else 0
    late = show_duration((soonest - deadline).total_seconds())
    passed = "has passed" if left_s <= 0 else "is too tight"
    whole = soonest.replace(second=0, microsecond=0) + timedelta(minutes=1)
    fewer = f", or {epochs} epochs" if epochs else ""
    return Refused(
        reason=RefusalReason.DEADLINE,
        message=f"the deadline {passed}: on demand at once, job {job.name!r} may be {late} late",
        remedy=f"a deadline of {plain_moment(whole)} or later would fit{fewer}",
    )


def _others(world: World, owned: Owned, *, now: datetime) -> Iterator[DeadlineWork]:
    """Yield what others were promised, in the same place."""
    for row in world.ledger.runs(unfinished=True, limit=_RUNS_MAX):
        if row.run == owned.run or world.ledger.hold_of(row.run) is None:
            continue
        job = parse_job(row.job, source=row.run)
        if job.deadline is None or job.where is not owned.job.where:
            continue
        ahead = outlook(
            world.ledger, job, book=world.prices.book(), capacity=Capacity.ON_DEMAND, now=now
        )
        if not isinstance(ahead, Refused):
            # Its progress is not asked for: counted whole, nobody is promised too much.
            yield DeadlineWork(
                run=row.run,
                gpus=job.resources.gpus,
                work_s=min(
                    ahead.time.time_remaining_s.p90,
                    max(0.0, (job.deadline - now).total_seconds()),
                ),
                deadline=job.deadline,
            )
