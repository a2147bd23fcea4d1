"""Runs that nobody watches any more: what `reconcile` and the cancellation hook do about them."""

from dataclasses import dataclass
from decimal import Decimal

from blocks.ledger import LeaseHeld, RunRow
from blocks.owner import owner_here
from blocks.world import World
from lowtide.errors import LowtideError
from lowtide.events import EventKind
from lowtide.job import parse_job
from lowtide.ledger.records import RunState
from lowtide.money import ZERO_USD
from lowtide.steps import Step, next_step
from tasks.claim import Owned, take
from tasks.look import look, record_leg
from tasks.settle import settle
from tasks.stop import ask_stop

_OWNER = "reconcile"
_RUNS_MAX = 1_000
# A pod's end is known some seconds after its program's.
_END_SLACK_S = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One run that nobody watched, and what was done about it."""

    run: str
    done: str

    def document(self) -> dict[str, str]:
        """Return the finding as `reconcile --json` prints it."""
        return {"run": self.run, "done": self.done}


def settle_unwatched(world: World) -> list[Found]:
    """Settle the runs that ended while nobody watched.

    Args:
        world: The outside world.

    Returns:
        One finding for each unfinished run without a live owner.
    """
    found: list[Found] = []
    for row in world.ledger.runs(unfinished=True, limit=_RUNS_MAX):
        lease = take(world, row.run, owner=owner_here(_OWNER))
        if isinstance(lease, LeaseHeld):
            continue
        try:
            owned = Owned(run=row.run, job=parse_job(row.job, source=row.run), lease=lease)
            found.append(Found(run=row.run, done=_tidy(world, owned)))
        except LowtideError as error:
            found.append(Found(run=row.run, done=f"left as it is: {error}"))
        finally:
            world.ledger.drop_lease(lease, now=world.now())
    return found + _sweep(world)


def _sweep(world: World) -> list[Found]:
    """Give back the money of holds that expired, once their legs' runners say they are gone."""

    def is_gone(run: str, leg: int) -> bool:
        try:
            status = world.runner.status(run, leg, now=world.now())
        except LowtideError:
            return False  # its cluster does not answer, or not to us: unknown is not gone
        return status.phase in {"ended", "absent"}

    expired = world.ledger.expire(now=world.now(), is_gone=is_gone)
    return [
        Found(run=hold.run, done=f"hold expired; {hold.released_usd} USD given back")
        for hold in expired
    ]


def stop_and_settle(world: World, *, flow_run: str) -> None:
    """End the run that a cancelled flow run owned, at a checkpoint, and settle it.

    Args:
        world: The outside world.
        flow_run: Its id.
    """
    for row in world.ledger.runs(unfinished=True, limit=_RUNS_MAX):
        if any(
            event.key == flow_run
            for event in world.ledger.events(row.run, kind=EventKind.FLOW_RUN)
        ):
            ask_stop(world.ledger, row.run, reason="cancelled", now=world.now())
            _wait_for_the_end(world, row)
            settle_unwatched(world)


def _wait_for_the_end(world: World, row: RunRow) -> None:
    grace_s = parse_job(row.job, source=row.run).checkpoint.grace_s
    for leg in world.ledger.legs(row.run):
        if leg.end is not None:
            continue
        world.runner.stop(row.run, leg.leg)
        for _ in range(round(grace_s) + _END_SLACK_S):
            if world.runner.status(row.run, leg.leg, now=world.now()).phase == "ended":
                break
            world.clock.pause(1)


def _tidy(world: World, owned: Owned) -> str:
    for leg in world.ledger.legs(owned.run):
        if leg.end is None:
            record_leg(world, owned.run, leg.leg)
    if _continuation_is_gone(world, owned.run):
        # Nobody will come back for it: asked to stop, it is settled and its money given back.
        ask_stop(world.ledger, owned.run, reason="its continuation is gone", now=world.now())
    step = next_step(look(world, owned.run, owned.job))
    if step is Step.MONITOR:
        return "still training; `lowtide train` with its key goes on watching it"
    if step is not Step.SETTLE:
        return "waits for its next leg; `lowtide train` with its key goes on with it"
    before_usd = _charged_usd(world, owned.run)
    outcome = settle(world, owned)
    legs = world.ledger.legs(owned.run)
    end = legs[-1].end if legs else None
    return (
        f"{'goes on with another leg' if outcome is None else outcome.value}; "
        f"cause {'none' if end is None else end.value}; "
        f"charged {_charged_usd(world, owned.run) - before_usd} USD"
    )


def _continuation_is_gone(world: World, run: str) -> bool:
    row = world.ledger.run(run)
    if row is None or row.state is not RunState.DEFERRED:
        return False
    deferred = world.ledger.events(run, kind=EventKind.DEFERRED)
    return not (deferred and world.scheduler.is_coming(deferred[-1].key))


def _charged_usd(world: World, run: str) -> Decimal:
    return sum((leg.charged_usd for leg in world.ledger.legs(run)), ZERO_USD)
