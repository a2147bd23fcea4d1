"""Whose run it is: finds or makes the root row, and takes the lease on it.

These are no Prefect tasks. A run must have an id and an owner before there is anything that a
person would want to see in the UI, and a flow that does not own its run must not show seven tasks.
"""

from dataclasses import dataclass
from decimal import Decimal

from blocks.ledger import Lease, LeaseHeld, RunRow
from blocks.owner import is_dead, owner_here
from blocks.world import World
from lowtide.ask import TrainAsk
from lowtide.events import EventKind
from lowtide.identity import run_id
from lowtide.job import TrainingJob, parse_job
from tasks.shared_sum import SharedSum


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """A run that this flow owns, as long as it renews the lease.

    Attributes:
        run: Its id.
        job: What it trains, with what a person let it cost.
        lease: Says who owns it.
        shared: The money that it shares with other runs of this flow; None: it shares none.
    """

    run: str
    job: TrainingJob
    lease: Lease
    shared: SharedSum | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A run that somebody else owns: look, do not touch."""

    run: str
    owner: str


def claim(world: World, ask: TrainAsk, *, fallback_key: str, flow_run: str) -> Owned | Attached:
    """Find or make the run that an ask means, and take it over if nobody holds it.

    Without a key the ask means the newest unfinished run of the very same job, if there is one.

    Args:
        world: The outside world.
        ask: What was asked for.
        fallback_key: The key of a new run when the ask has none: the same however often this
            flow run is tried.
        flow_run: Id of the flow run that takes it over.

    Returns:
        The owned run, or who owns it.

    Raises:
        KeyReusedError: the key belongs to another job.
    """
    row = _meant(world, ask, fallback_key=fallback_key, flow_run=flow_run)
    lease = take(world, row.run, owner=owner_here(flow_run))
    if isinstance(lease, LeaseHeld):
        return Attached(run=row.run, owner=lease.owner)
    world.ledger.log(row.run, kind=EventKind.FLOW_RUN, key=flow_run, body={}, now=world.now())
    job = with_approval(world, row.run, parse_job(row.job, source=row.run))
    return Owned(run=row.run, job=job, lease=lease)


def with_approval(world: World, run: str, job: TrainingJob) -> TrainingJob:
    """Return a run's job with what a person let it cost, if anybody did.

    Args:
        world: The outside world.
        run: Id of the run.
        job: What it trains, as it was asked for.
    """
    caps = [event.body["cap_usd"] for event in world.ledger.events(run, kind=EventKind.APPROVAL)]
    approved = [Decimal(cap) for cap in caps if cap is not None]
    if not approved:
        return job
    budget = job.budget.model_copy(update={"max_usd": approved[-1]})
    return job.model_copy(update={"budget": budget})


def take(world: World, run: str, *, owner: str) -> Lease | LeaseHeld:
    """Take the lease on a run, also from an owner that is known to be dead.

    Args:
        world: The outside world.
        run: Id of the run.
        owner: Who takes it.

    Returns:
        The lease, or who has it.
    """
    lease = world.ledger.take_lease(run, owner=owner, now=world.now())
    if isinstance(lease, Lease) or not is_dead(lease.owner):
        return lease
    row = world.ledger.run(run)
    if row is not None and row.owner == lease.owner:
        # Under its own fencing number: if somebody else was faster, this changes nothing.
        dead = Lease(run=run, owner=lease.owner, fencing=row.fencing, expires_at=lease.expires_at)
        world.ledger.drop_lease(dead, now=world.now())
    return world.ledger.take_lease(run, owner=owner, now=world.now())


def _meant(world: World, ask: TrainAsk, *, fallback_key: str, flow_run: str) -> RunRow:
    job = ask.job
    # A flow run that is resumed or tried again goes on with its run, whatever its start time is.
    known = None if ask.key else world.ledger.run_noted(kind=EventKind.FLOW_RUN, key=flow_run)
    row = None if known is None else world.ledger.run(known)
    if row is not None:
        return row
    if ask.key is None and not ask.new:
        unfinished = world.ledger.unfinished_run(name=job.name, spec_hash=job.spec_hash)
        if unfinished is not None:
            return unfinished
    key = ask.key or fallback_key
    return world.ledger.open_run(
        run=run_id(key),
        key=key,
        job=job.document(),
        spec_hash=job.spec_hash,
        name=job.name,
        budget=job.budget.name,
        priority=job.priority.value,
        flavor=job.resources.flavor,
        tags=job.tags,
        now=world.now(),
    )
