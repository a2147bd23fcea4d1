"""Says that a run may be late: in its log, in the ledger, to whoever listens."""

from datetime import datetime

from blocks.world import World
from lowtide.announcements import EventName
from lowtide.events import EventKind
from lowtide.plain import plain_moment
from lowtide.policy import Lateness
from tasks import log
from tasks.announce import announce
from tasks.claim import Owned


def told_late_s(world: World, run: str) -> float:
    """Return what was last said of a run's lateness, seconds; 0: nothing yet."""
    events = world.ledger.events(run, kind=EventKind.LATE)
    return float(events[-1].body["late_s"]) if events else 0.0


def tell_late(world: World, owned: Owned, late: Lateness, *, now: datetime) -> None:
    """Say how late a run may be, and what would still save it.

    Args:
        world: The outside world.
        owned: The run.
        late: By how much, and what would save it.
        now: The time.
    """
    job = owned.job
    body = {
        "deadline": None if job.deadline is None else plain_moment(job.deadline),
        "late_s": round(late.late_s, 3),
        "done_by": plain_moment(late.done_by),
        "ways": list(late.ways),
    }
    occurrence = f"late-{len(world.ledger.events(owned.run, kind=EventKind.LATE)) + 1}"
    log.warn(f"job {job.name!r}: {late.sentence}")
    # Told first and noted second: who dies between the two is followed by one that tells it again.
    announce(world, owned, EventName.RUN_LATE, occurrence=occurrence, body=body)
    world.ledger.log(owned.run, kind=EventKind.LATE, key=occurrence, body=body, now=now)
