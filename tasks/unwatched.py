"""What nobody watches any more: what `reconcile` and the cancellation hook do about it.

Safe beside running flows: a run whose owner lives is left alone, and any other is taken over by its
lease before anything about it is touched. Everything may be repeated; one line says what was done.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from pydantic import Field

from blocks.ledger import LeaseHeld, RunRow
from blocks.owner import owner_here
from blocks.world import World
from lowtide.ask import TrainAsk
from lowtide.documents import Part
from lowtide.errors import LowtideError
from lowtide.events import EventKind
from lowtide.identity import leg_name
from lowtide.job import parse_job
from lowtide.ledger.records import RunState
from lowtide.money import ZERO_USD
from lowtide.steps import Step, next_step
from lowtide.sweep import SWEEP_TAG
from tasks import show
from tasks.announce import announce_thresholds
from tasks.claim import Owned, take
from tasks.effect import effect
from tasks.look import look, record_leg
from tasks.settle import MLFLOW_STATUS, settle
from tasks.stop import ask_stop

_OWNER = "reconcile"
_RUNS_MAX = 1_000
_ENDED_MAX = 200
# A pod's end is known some seconds after its program's.
_END_SLACK_S = 15
_ADOPTIONS_MAX = 5


class ReconcileAsk(Part):
    """What reconciling may do beyond settling what has ended."""

    adopt: bool = Field(
        default=True,
        title="Adopt",
        description="Start the train deployment for runs that go on and that nobody watches.",
    )
    end_orphans: bool = Field(
        default=True,
        title="End orphans",
        description="End legs that no run of the ledger knows; nobody could ever pay for them.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that nobody watched, and what was done about it."""

    run: str
    done: str

    def document(self) -> dict[str, str]:
        """Return the finding as `reconcile --json` prints it."""
        return {"run": self.run, "done": self.done}


_AS_USUAL = ReconcileAsk()


def settle_unwatched(world: World, ask: ReconcileAsk = _AS_USUAL) -> list[Found]:
    """Adopt or settle what nobody watches.

    Args:
        world: The outside world.
        ask: What may be done.

    Returns:
        One finding for each unfinished run without a live owner, each hold that expired, each leg
        that no run knows, and each MLflow run that was left open.
    """
    found: list[Found] = []
    for row in world.ledger.runs(unfinished=True, limit=_RUNS_MAX):
        lease = take(world, row.run, owner=owner_here(_OWNER))
        if isinstance(lease, LeaseHeld):
            continue
        try:
            owned = Owned(run=row.run, job=parse_job(row.job, source=row.run), lease=lease)
            found.append(Found(run=row.run, done=_tidy(world, owned, row, ask)))
        except LowtideError as error:
            found.append(Found(run=row.run, done=f"left as it is: {error}"))
        finally:
            world.ledger.drop_lease(lease, now=world.now())
    found += _sweep(world)
    for search in (_orphans(world, ask), _open_in_tracking(world)):
        try:
            found += search
        except LowtideError as error:
            found.append(Found(run="-", done=f"not looked at: {error}"))
    announce_thresholds(world)
    return found


@effect(name="reconcile")
def reconcile_all(world: World, ask: ReconcileAsk) -> list[Found]:
    """Do what `settle_unwatched` does, as a task, and show it."""
    found = settle_unwatched(world, ask)
    lines = [f"| {item.run} | {item.done} |" for item in found]
    text = "\n".join(["| run | done |", "|---|---|", *lines]) if found else "Nothing to settle."
    show.markdown("reconcile", title=f"{len(found)} things found", text=text)
    return found


def _orphans(world: World, ask: ReconcileAsk) -> Iterator[Found]:
    """End or let go of legs whose runner knows them and whose run's books are closed or missing."""
    for run, leg in world.runner.legs():
        rows = {row.leg: row for row in world.ledger.legs(run)}
        row = rows.get(leg)
        if row is not None and row.settled_at is None:
            continue
        name = leg_name(run, leg)
        if world.runner.status(run, leg, now=world.now()).phase == "ended":
            world.runner.forget(run, leg)
            yield Found(run=name, done="ended and paid for; its runner let go of it")
        elif ask.end_orphans:
            world.runner.stop(run, leg)
            yield Found(run=name, done="no run of the ledger knows it: asked to end")
        else:
            yield Found(run=name, done="no run of the ledger knows it: left running, as asked")


def _open_in_tracking(world: World) -> Iterator[Found]:
    """Close the MLflow runs of runs that have ended."""
    ended = [
        row
        for row in world.ledger.runs(limit=_ENDED_MAX)
        if not row.state.unfinished and row.mlflow_run_id is not None
    ]
    left_open = {
        mlflow_run
        for name in sorted({row.name for row in ended})
        for mlflow_run in world.tracking.running(name)
    }
    for row in ended:
        if row.mlflow_run_id in left_open:
            status = MLFLOW_STATUS.get(row.state.value, "KILLED")
            world.tracking.end_run(row.mlflow_run_id, status=status, now=row.changed_at)
            yield Found(run=row.run, done=f"its MLflow run was left open; it is {status} now")


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
    """End the runs that a cancelled flow run owned, at their checkpoints, and settle them.

    Args:
        world: The outside world.
        flow_run: Its id.
    """
    mine = [
        row
        for row in world.ledger.runs(unfinished=True, limit=_RUNS_MAX)
        if any(
            event.key == flow_run
            for event in world.ledger.events(row.run, kind=EventKind.FLOW_RUN)
        )
    ]
    for row in mine:
        ask_stop(world.ledger, row.run, reason="cancelled", now=world.now())
        for leg in world.ledger.legs(row.run):
            if leg.end is None:
                world.runner.stop(row.run, leg.leg)
    for row in mine:
        _wait_for_the_end(world, row)
    if mine:
        settle_unwatched(world, ReconcileAsk(adopt=False, end_orphans=False))


def _wait_for_the_end(world: World, row: RunRow) -> None:
    grace_s = parse_job(row.job, source=row.run).checkpoint.grace_s
    for leg in world.ledger.legs(row.run):
        if leg.end is not None:
            continue
        for _ in range(round(grace_s) + _END_SLACK_S):
            if world.runner.status(row.run, leg.leg, now=world.now()).phase == "ended":
                break
            world.clock.pause(1)


def _tidy(world: World, owned: Owned, row: RunRow, ask: ReconcileAsk) -> str:
    for leg in world.ledger.legs(owned.run):
        if leg.end is None:
            record_leg(world, owned.run, leg.leg)
    if row.state is RunState.AWAITING_APPROVAL:
        return _tidy_asked(world, owned)
    gone = _why_nobody_comes(world, owned.run, row)
    if gone is not None:
        # Asked to stop, it is settled and its money given back.
        ask_stop(world.ledger, owned.run, reason=gone, now=world.now())
    step = next_step(look(world, owned.run, owned.job))
    if step is not Step.SETTLE:
        return _adopt(world, owned, row, ask, training=step is Step.MONITOR)
    before_usd = _charged_usd(world, owned.run)
    outcome = settle(world, owned)
    legs = world.ledger.legs(owned.run)
    end = legs[-1].end if legs else None
    done = (
        f"{'goes on with another leg' if outcome is None else outcome.value}; "
        f"cause {'none' if end is None else end.value}; "
        f"charged {_charged_usd(world, owned.run) - before_usd} USD"
    )
    if outcome is not None:
        return done
    return f"{done}; {_adopt(world, owned, row, ask, training=False)}"


def _tidy_asked(world: World, owned: Owned) -> str:
    """Refuse a run that waited for an approval which can come no more; it holds nothing."""
    takers = world.ledger.events(owned.run, kind=EventKind.FLOW_RUN)
    if takers and world.scheduler.is_coming(takers[-1].key):
        return "waits for an approval; its form is in Prefect's UI"
    message = "nobody approved it in time"
    world.ledger.set_run_state(
        owned.lease, owned.run, state=RunState.REFUSED, message=message, now=world.now()
    )
    return f"refused: {message}"


def _adopt(world: World, owned: Owned, row: RunRow, ask: ReconcileAsk, *, training: bool) -> str:
    """Have the train deployment go on with a run, once."""
    what = "still training" if training else "waits for its next leg"
    by_hand = f"{what}; `lowtide train` with its key goes on with it"
    if row.state is RunState.DEFERRED:
        return "waits for its time; Prefect starts it then"
    if not ask.adopt or SWEEP_TAG in row.tags:
        return by_hand
    adopted = world.ledger.events(owned.run, kind=EventKind.ADOPTED)
    if adopted and world.scheduler.is_coming(adopted[-1].key):
        return f"{what}; flow run {adopted[-1].key} was started for it"
    flow_run = None
    if len(adopted) < _ADOPTIONS_MAX:
        flow_run = world.scheduler.schedule(
            TrainAsk(job=parse_job(row.job, source=row.run), key=row.key),
            at=world.now(),
            key=f"{owned.run}:adopt:{len(adopted) + 1}",
        )
    if flow_run is None:
        return f"{by_hand}; {len(adopted)} flow runs were started for it before"
    world.ledger.log(
        owned.run, kind=EventKind.ADOPTED, key=flow_run, body={"was": what}, now=world.now()
    )
    return f"{what}; adopted: flow run {flow_run} goes on with it"


def _why_nobody_comes(world: World, run: str, row: RunRow) -> str | None:
    """Return why a run that is not training will never go on; None where it may."""
    legs = world.ledger.legs(run)
    if any(leg.end is None for leg in legs):
        return None
    if SWEEP_TAG in row.tags:
        return "its sweep is gone"
    if row.state is not RunState.DEFERRED:
        return None
    deferred = world.ledger.events(run, kind=EventKind.DEFERRED)
    is_coming = bool(deferred) and world.scheduler.is_coming(deferred[-1].key)
    return None if is_coming else "its continuation is gone"


def _charged_usd(world: World, run: str) -> Decimal:
    return sum((leg.charged_usd for leg in world.ledger.legs(run)), ZERO_USD)
