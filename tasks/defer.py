"""Puts a run off: what it holds stays held, no process waits, and Prefect starts it again in time."""

from datetime import datetime, timedelta

from blocks.world import World
from lowtide.announcements import EventName
from lowtide.ask import TrainAsk
from lowtide.events import EventKind
from lowtide.ledger.records import RunState
from lowtide.money import ZERO_USD
from tasks import log
from tasks.announce import announce
from tasks.budget import ACTOR, HOLD_SLACK
from tasks.claim import Owned
from tasks.effect import effect
from tasks.look import stop_asked
from tasks.need import START_WITHIN

_LOOK_EVERY = timedelta(seconds=15)
_IN_PLACE_MAX = timedelta(minutes=1)


@effect(name="defer_run")
def defer_run(world: World, owned: Owned, *, until: datetime, reason: str) -> bool:
    """Have the run started again at a later time; what it holds is kept until then.

    Args:
        world: The outside world.
        owned: The run.
        until: When it is to start.
        reason: Why then.

    Returns:
        False when there is no deployment to schedule, or the wait is too short to be worth another
        flow run: the caller has to wait in place.
    """
    row = world.ledger.run(owned.run)
    if row is None:
        return False
    number = len(world.ledger.events(owned.run, kind=EventKind.DEFERRED)) + 1
    ask = TrainAsk(job=owned.job, key=row.key)
    scheduled = None
    if until - world.now() > _IN_PLACE_MAX:
        scheduled = world.scheduler.schedule(ask, at=until, key=f"{owned.run}:defer:{number}")
    now = world.now()
    if world.ledger.hold_of(owned.run) is not None:
        world.ledger.top_up(
            key=f"{owned.run}/defer-until-{until.isoformat()}",
            run=owned.run,
            amount_usd=ZERO_USD,
            expires_at=until + START_WITHIN + HOLD_SLACK,
            actor=ACTOR,
            reason=reason,
            now=now,
        )
    if scheduled is None:
        return False
    world.ledger.log(
        owned.run,
        kind=EventKind.DEFERRED,
        key=scheduled,
        body={"until": until.isoformat(), "reason": reason},
        now=now,
    )
    message = f"{reason}; goes on at {until:%Y-%m-%d %H:%M} UTC"
    world.ledger.set_run_state(
        owned.lease, owned.run, state=RunState.DEFERRED, message=message, now=now
    )
    announce(
        world,
        owned,
        EventName.RUN_DEFERRED,
        occurrence=f"defer-{number}",
        body={"until": until.isoformat(), "reason": reason},
    )
    return True


def wait_in_place(world: World, owned: Owned, *, until: datetime) -> None:
    """Wait for a time, or until somebody asks for the run's end, and stay its owner meanwhile."""
    log.say(
        f"waiting here until {until:%Y-%m-%d %H:%M:%S} UTC: too short a wait, or no deployment to "
        "start"
    )
    while (left := until - world.now()) > timedelta(0) and not stop_asked(world, owned.run):
        world.ledger.renew_lease(owned.lease, now=world.now())
        world.clock.pause(min(left, _LOOK_EVERY).total_seconds())
