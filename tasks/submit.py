"""Starts a leg: written down first, under the owner's fencing number, then handed to its runner."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from blocks.ledger import Hold, LegRow
from blocks.world import World
from lowtide.contract import tracked_params, training_environment
from lowtide.errors import BadInputError, ConflictError, LowtideError, UnavailableError
from lowtide.events import EventKind
from lowtide.job import Where
from lowtide.ledger.records import RunState
from lowtide.legs import LegEnd, LegSpec
from lowtide.limits import longest_run_time, run_time_limit
from lowtide.manifest import POD_CHECKPOINTS
from lowtide.prices import Demand
from lowtide.site import KubernetesSettings
from tasks import log
from tasks.budget import fund_leg
from tasks.checkpoints import checkpoint_every_s
from tasks.claim import Owned
from tasks.decide import in_safety_net
from tasks.effect import effect
from tasks.need import START_WITHIN
from tasks.plan import Plan
from tasks.stop import ask_stop

# Kueue's class of a leg whose deadline leaves it no choice: before all but what is urgent.
_NET_CLASS = "deadline"
# A leg that would have to end as soon as it started is not worth its start.
_LIMIT_MIN = timedelta(seconds=1)


@effect(name="submit_job")
def submit_job(world: World, owned: Owned, plan: Plan | None) -> str | None:
    """Start the run's next leg, or go on with one that was written down and never started.

    Args:
        world: The outside world.
        owned: The run.
        plan: Where and when; None where the leg was written down before, with its own terms.

    Returns:
        The runner's handle of the leg; None when there is no leg to watch: no money is left for
        one, and the run is to end, or its runner cannot run it, and the leg has failed.
    """
    now = world.now()
    legs = world.ledger.legs(owned.run)
    last = legs[-1] if legs else None
    is_fresh = last is None or last.end is not None
    leg = _write_down(world, owned, plan, number=len(legs) + 1, now=now) if is_fresh else last
    if leg is None:
        return None
    mlflow_run = tracked(world, owned)
    try:
        handle = world.runner.start(_spec(world, owned, leg, mlflow_run=mlflow_run), now=now)
    except (UnavailableError, ConflictError):
        raise
    except LowtideError as error:
        if not (is_fresh or isinstance(error, BadInputError)):
            raise  # an earlier call may have started it
        _cannot_start(world, leg, error, now=now)
        return None
    world.ledger.update_leg(owned.run, leg.leg, handle=handle)
    world.ledger.set_run_state(
        owned.lease,
        owned.run,
        state=RunState.RUNNING,
        message=f"leg {leg.leg} submitted",
        now=now,
    )
    return handle


def _cannot_start(world: World, leg: LegRow, error: LowtideError, *, now: datetime) -> None:
    """End a leg of which its runner says that nothing was started: no queue, no right, no policy."""
    log.warn(f"leg {leg.leg} cannot be started: {error}")
    world.ledger.update_leg(
        leg.run, leg.leg, end=LegEnd.FAILED, ended_at=now, reason=f"it cannot be started: {error}"
    )


def _write_down(
    world: World, owned: Owned, plan: Plan | None, *, number: int, now: datetime
) -> LegRow | None:
    hold = world.ledger.hold_of(owned.run)
    if plan is None or hold is None:
        msg = "a leg needs a plan and a hold"
        raise ConflictError(msg, where=owned.run, got=f"plan {plan}, hold {hold}")
    hold = fund_leg(world, owned, hold, number=number)
    start_by = now + START_WITHIN
    limit = _limit(world, owned, plan, hold=hold, now=now, start_by=start_by)
    if limit < _LIMIT_MIN:
        reason = f"what is left of the hold pays for no leg {number}"
        ask_stop(world.ledger, owned.run, reason=reason, now=now)
        log.warn(reason)
        return None
    return world.ledger.open_leg(
        owned.lease,
        leg=number,
        where=owned.job.where.value,
        flavor=owned.job.resources.flavor,
        capacity=plan.capacity.value,
        price_version=hold.price_version,
        limit_s=limit.total_seconds(),
        start_by=start_by,
        now=now,
    )


def _limit(
    world: World, owned: Owned, plan: Plan, *, hold: Hold, now: datetime, start_by: datetime
) -> timedelta:
    return run_time_limit(
        world.prices.book().pinned(hold.price_version),
        Demand.of(owned.job, plan.capacity),
        hold_left_usd=hold.left_usd,
        now=now,
        start_by=start_by,
        grace_s=owned.job.checkpoint.grace_s,
        # Both runners count a limit from the program's own start: no start-up time to allow for.
        startup_allowance_s=0,
    )


def tracked(world: World, owned: Owned) -> str:
    """Return the run's MLflow run, made if it has none; one of its own, whoever died on the way."""
    row = world.ledger.run(owned.run)
    if row is not None and row.mlflow_run_id is not None:
        return row.mlflow_run_id
    job, now = owned.job, world.now()
    # Written down before it is asked for: who finds the note knows that one may be there already.
    is_first = world.ledger.log(
        owned.run, kind=EventKind.TRACKED, key=EventKind.TRACKED, body={}, now=now
    )
    mine = world.tracking.open_run(
        owned.run,
        experiment=job.name,
        params=tracked_params(job),
        tags={"lowtide.budget": job.budget.name, **job.tags},
        is_new=is_first,
        now=now,
    )
    winner = world.ledger.set_mlflow_run(owned.run, mine)
    if winner != mine:
        world.tracking.delete_run(mine)
    return winner


def _spec(world: World, owned: Owned, leg: LegRow, *, mlflow_run: str) -> LegSpec:
    job = owned.job
    on_cluster = job.where is Where.KUBERNETES
    checkpoints = POD_CHECKPOINTS if on_cluster else str(world.checkpoints / owned.run)
    return LegSpec(
        run=owned.run,
        leg=leg.leg,
        command=job.command,
        env=training_environment(
            job,
            run=owned.run,
            leg=leg.leg,
            tracking_uri=world.tracking.uri,
            mlflow_run=mlflow_run,
            checkpoint_dir=checkpoints,
            checkpoint_every_s=checkpoint_every_s(world, owned, leg.leg),
        ),
        checkpoint_dir=checkpoints,
        limit_s=leg.limit_s,
        start_by=leg.start_by,
        grace_s=job.checkpoint.grace_s,
        capacity=leg.capacity,
        settings=_cluster_settings(world, owned, leg) if on_cluster else {},
    )


def _cluster_settings(world: World, owned: Owned, leg: LegRow) -> Mapping[str, object]:
    """Return what a cluster is asked for; it must be the same whoever submits the leg again."""
    job = owned.job
    bound_s = None
    if job.budget.max_usd is not None:
        # Only Kueue's quota hangs on it: a preempted leg that nobody watches gives its place back.
        bound = longest_run_time(
            world.prices.book().pinned(leg.price_version),
            Demand.of(job, leg.capacity),
            usd=job.budget.max_usd,
            opened_at=leg.opened_at,
            start_by=leg.start_by,
        )
        bound_s = bound.total_seconds()
    in_net = in_safety_net(world, owned.run)
    return KubernetesSettings.of(
        job, workload_priority=_NET_CLASS if in_net else None, bound_s=bound_s
    ).document()
