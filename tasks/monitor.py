"""Watches a leg until it ends: epochs in, forecast out, the hold and the limit moved with it.

One hard rule keeps the money right whoever dies between two lines: more money is held before the
limit is raised, and the limit is lowered, and read back, before money is given back.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from blocks.ledger import Hold, LegRow
from blocks.world import World
from lowtide.errors import UnavailableError
from lowtide.events import EventKind
from lowtide.ledger.budgets import Mode
from lowtide.ledger.records import RunState
from lowtide.legs import Capacity, LegStatus
from lowtide.limits import RUN_TIME_MIN, SKEW_S, started_run_time_limit
from lowtide.money import ZERO_USD, quantize_usd
from lowtide.prices import Demand, price
from lowtide.progress import Progress
from lowtide.verdict import Refused
from lowtide.words import show_duration
from tasks import log, show
from tasks.announce import announce_thresholds
from tasks.bill import Bill
from tasks.budget import HOLD_SLACK, hold_more
from tasks.claim import Owned
from tasks.decide import Mind
from tasks.early_stop import stop_when_enough
from tasks.effect import effect
from tasks.forecast import Outlook, outlook, progress_of
from tasks.look import record_leg, stop_asked
from tasks.updates import Updates

ACTOR = "monitor"
_POLL_S = 1.0
_RENEW_EVERY = timedelta(seconds=15)
_METER_EVERY = timedelta(seconds=30)
# Money is given back in steps of this share of a hold: each step costs two writes.
_SHRINK_SHARE = Decimal("0.05")
_LIMIT_STEP_S = 1.0


@effect(name="monitor_epochs")
def monitor_epochs(world: World, owned: Owned, leg: int) -> LegStatus:
    """Watch one leg until it ends, and return how it ended.

    Args:
        world: The outside world.
        owned: The run; its lease is renewed here.
        leg: Number of the leg.

    Returns:
        The leg's last status.

    Raises:
        StaleOwnerError: somebody else owns the run now; nothing was touched.
    """
    updates = Updates(world=world, owned=owned)
    watch = Watch(world=world, owned=owned, leg=leg, updates=updates)
    while True:
        try:
            status = watch.look()
        except UnavailableError as error:
            # The leg ends by itself when its hold is used up: silence costs news, not money.
            watch.silent(error)
        else:
            if status.phase == "ended":
                return status
        world.clock.pause(_POLL_S)


@dataclass(slots=True, kw_only=True)
class Watch:
    """What whoever watches a leg remembers between two looks; all of it can be lost.

    Attributes:
        world: The outside world.
        owned: The run.
        leg: Number of the leg.
        progress: The epochs when they were last to be had.
        read: The epochs as the newest look found them; None where MLflow was silent then.
    """

    world: World
    owned: Owned
    leg: int
    updates: Updates
    epochs_seen: int = -1
    progress: Progress | None = None
    read: Progress | None = None
    latest: Outlook | None = None
    renewed_at: datetime | None = None
    metered_at: datetime | None = None
    artifact: show.ProgressBar = field(default_factory=show.ProgressBar)
    refusals: set[str] = field(default_factory=set[str])
    waits_for: str = ""
    silence: str = ""
    mind: Mind | None = None
    moved: bool = False

    def look(self) -> LegStatus:
        """Look once, and do what follows from it."""
        world, run = self.world, self.owned.run
        now = world.now()
        self._renew(now)
        row, status = record_leg(world, run, self.leg)
        self.silence = ""
        if status.phase == "waiting":
            self._tell_wait(row, status.reason, now=now)
        elif self.waits_for and status.phase == "running":
            self._tell_wait(row, "", now=now)
        if stop_asked(world, run) and status.phase != "ended":
            world.runner.stop(run, self.leg)
        if status.started_at is not None:
            self._follow(row, status, now=now)
        if status.phase != "ended" and not self.moved:
            self._decide(row, status)
        return status

    def silent(self, error: UnavailableError) -> None:
        """Say once that somebody does not answer, and go on with what is known."""
        self._renew(self.world.now())
        if error.message != self.silence:
            self.silence = error.message
            log.warn(f"{error}; the leg goes on, and is looked at again")

    def _tell_wait(self, row: LegRow, reason: str, *, now: datetime) -> None:
        """Say what the leg waits for, and at last that it waits no more."""
        if reason == self.waits_for:
            return
        waited = show_duration(row.queued_s(now=now))
        message = (
            f"leg {self.leg} has waited {waited}, unbilled: {reason}"
            if reason
            else f"leg {self.leg} runs, after {waited} of waiting"
        )
        log.say(message)
        self.world.ledger.set_run_state(
            self.owned.lease, self.owned.run, state=RunState.RUNNING, message=message, now=now
        )
        self.waits_for = reason

    def _decide(self, row: LegRow, status: LegStatus) -> None:
        mind = self.mind = self.mind or Mind.of(self.world, self.owned)
        self.moved = mind.watch(row, status, ahead=self.latest, progress=self.progress) is not None

    def _renew(self, now: datetime) -> None:
        if self.renewed_at is None or now - self.renewed_at >= _RENEW_EVERY:
            self.world.ledger.renew_lease(self.owned.lease, now=now)
            self.renewed_at = now

    def _follow(self, row: LegRow, status: LegStatus, *, now: datetime) -> None:
        progress = progress_of(self.world, self.owned.run, self.owned.job)
        self.read, self.progress = progress, progress or self.progress
        is_over = status.phase == "ended" and self.epochs_seen < 0
        if is_over and (progress is None or progress.epochs_done == 0):
            return  # it ended before anybody saw an epoch: there is nothing to tell
        if progress is not None and progress.epochs_done != self.epochs_seen:
            self._forecast(progress, row, now=now)
            self.epochs_seen = progress.epochs_done
        if status.phase != "running":
            return
        if self.latest is not None:
            self._move_money(row, self.latest, fresh=progress is not None, now=now)
        if self.metered_at is None or now - self.metered_at >= _METER_EVERY:
            self._meter(row, now=now)

    def _forecast(self, progress: Progress, row: LegRow, *, now: datetime) -> None:
        job, world = self.owned.job, self.world
        book = world.prices.book().pinned(row.price_version)
        ahead = outlook(
            world.ledger, job, book=book, capacity=row.capacity, now=now, progress=progress
        )
        if isinstance(ahead, Refused):
            log.warn(ahead.message)
            return
        self.latest = ahead
        hold = world.ledger.hold_of(self.owned.run)
        body = show.epoch_body(job, progress, ahead, hold=hold)
        world.ledger.log(
            self.owned.run,
            kind=EventKind.EPOCH,
            key=f"leg-{self.leg}/epoch-{progress.epochs_done}",
            body=body,
            now=now,
        )
        stop_when_enough(world, self.owned, leg=self.leg, progress=progress, ahead=ahead)
        self.artifact.update(self.owned.run, job, progress, ahead=ahead)
        self.updates.tell(row, progress, ahead, hold=hold)

    def _move_money(self, row: LegRow, ahead: Outlook, *, fresh: bool, now: datetime) -> None:
        hold = self.world.ledger.hold_of(self.owned.run)
        if hold is None or row.started_at is None:
            return
        purse = _Purse(world=self.world, owned=self.owned, row=row, hold=hold)
        least_usd, enough_usd = (
            self._capped(self._needed_usd(purse, end, now=now))
            for end in paid_ends(ahead, now=now)
        )
        if least_usd > hold.amount_usd:
            self._top_up(purse, to_usd=enough_usd, now=now)
        elif fresh and hold.amount_usd - enough_usd > hold.amount_usd * _SHRINK_SHARE:
            purse.give_back(to_usd=enough_usd, now=now)
        else:
            # A flow may have died between its top-up and the limit that it paid for.
            purse.align_limit()

    def _needed_usd(self, purse: "_Purse", end: datetime, *, now: datetime) -> Decimal:
        total_usd = purse.total_for(end)
        if purse.row.capacity is Capacity.SPOT and self.owned.job.deadline is not None:
            # On spot the deadline rests on the money to go on without it.
            return max(total_usd, purse.fall_back_usd(end, now=now))
        return total_usd

    def _capped(self, amount_usd: Decimal) -> Decimal:
        cap_usd = self.owned.job.budget.max_usd
        return amount_usd if cap_usd is None else min(amount_usd, cap_usd)

    def _top_up(self, purse: "_Purse", *, to_usd: Decimal, now: datetime) -> None:
        refused = purse.top_up(to_usd=to_usd, now=now)
        if refused is None or refused.message in self.refusals:
            return
        self.refusals.add(refused.message)
        log.warn(f"no more money: {refused.message}; the leg ends at its limit")
        if self._mode(refused.budget, now=now) in {Mode.DRAIN, Mode.KILL}:
            self.world.runner.stop(self.owned.run, self.leg)

    def _mode(self, budget: str | None, *, now: datetime) -> Mode | None:
        states = self.world.ledger.budgets(now)
        return next((state.mode for state in states if state.name == budget), None)

    def _meter(self, row: LegRow, *, now: datetime) -> None:
        bill = Bill(self.world, self.owned.job, row)
        self.world.ledger.meter(
            run=self.owned.run,
            leg=self.leg,
            until=now,
            price=bill.stretches(),
            price_version=bill.version,
            now=now,
            actor=ACTOR,
            reason="metered while it runs",
        )
        announce_thresholds(self.world)
        self.metered_at = now


@dataclass(frozen=True, slots=True, kw_only=True)
class _Purse:
    """One running leg's money: its hold, and the limit that the hold pays for."""

    world: World
    owned: Owned
    row: LegRow
    hold: Hold

    @property
    def bill(self) -> Bill:
        return Bill(self.world, self.owned.job, self.row)

    @property
    def spent_before_usd(self) -> Decimal:
        """What earlier legs took out of the hold."""
        return self.hold.charged_usd - self.row.charged_usd

    def total_for(self, end: datetime) -> Decimal:
        """Return the hold's total that pays for the leg up to a moment, its grace included."""
        margin = timedelta(seconds=self.owned.job.checkpoint.grace_s + SKEW_S)
        return self.spent_before_usd + quantize_usd(
            self.bill.cost(start=self._started_at, end=end + margin)
        )

    def fall_back_usd(self, end: datetime, *, now: datetime) -> Decimal:
        """Return the hold's total that pays for the rest on demand, from now to a moment."""
        margin = timedelta(seconds=self.owned.job.checkpoint.grace_s + SKEW_S)
        so_far = self.bill.cost(start=self._started_at, end=max(now, self._started_at))
        on_demand = Demand.of(self.owned.job, Capacity.ON_DEMAND)
        rest = price(self.bill.book, on_demand, start=now, end=max(end, now) + margin)
        return self.spent_before_usd + quantize_usd(so_far + rest)

    def top_up(self, *, to_usd: Decimal, now: datetime) -> Refused | None:
        """Hold more, then raise the limit; or say why there is no more."""
        verdict = hold_more(
            self.world,
            self.owned,
            self.hold,
            to_usd=to_usd,
            key=f"leg-{self.row.leg}/top-up",
            expires_at=self._expires_at(now),
            actor=ACTOR,
            reason="the forecast rose",
        )
        if isinstance(verdict, Refused):
            return verdict
        replace(self, hold=verdict).align_limit()
        return None

    def give_back(self, *, to_usd: Decimal, now: datetime) -> None:
        """Lower the limit, read it back, then give back what it no longer needs."""
        in_force_s = self._set_limit(self._limit_s(to_usd))
        end = self._started_at + timedelta(seconds=in_force_s)
        enough_usd = max(self.total_for(end), self.hold.charged_usd)
        if enough_usd >= self.hold.amount_usd:
            return
        run = self.owned.run
        self.world.ledger.shrink(
            key=f"{run}/leg-{self.row.leg}/shrink-to-{enough_usd}-at-{now.isoformat()}",
            run=run,
            to_usd=enough_usd,
            expires_at=self._expires_at(now),
            actor=ACTOR,
            reason="the forecast fell",
            now=now,
        )

    def align_limit(self) -> None:
        """Let the leg run for as long as its hold pays."""
        limit_s = self._limit_s(self.hold.amount_usd)
        if abs(limit_s - self.row.limit_s) > _LIMIT_STEP_S:
            self._set_limit(limit_s)

    def _limit_s(self, total_usd: Decimal) -> float:
        bill = self.bill
        return started_run_time_limit(
            bill.book,
            bill.demand,
            hold_left_usd=max(total_usd - self.spent_before_usd, ZERO_USD),
            started_at=self._started_at,
            grace_s=self.owned.job.checkpoint.grace_s,
        ).total_seconds()

    def _set_limit(self, limit_s: float) -> float:
        run, leg = self.owned.run, self.row.leg
        in_force_s = self.world.runner.set_limit(run, leg, limit_s=max(limit_s, _LIMIT_STEP_S))
        self.world.ledger.update_leg(run, leg, limit_s=in_force_s)
        return in_force_s

    def _expires_at(self, now: datetime) -> datetime:
        limit = timedelta(seconds=self._limit_s(self.hold.amount_usd))
        return max(self._started_at + limit, now) + HOLD_SLACK

    @property
    def _started_at(self) -> datetime:
        started_at = self.row.started_at
        if started_at is None:
            msg = "a leg's money moves only once it has started"
            raise ValueError(msg)
        return started_at


def paid_ends(ahead: Outlook, *, now: datetime) -> tuple[datetime, datetime]:
    """Return until when a leg must be paid for, and until when it is paid for if it is not.

    Both are the end by the upper forecast, and never so near that the next look comes too late.
    The second lies an epoch further: money is asked for in steps of an epoch, not of a second.
    """
    end = ahead.at + timedelta(seconds=ahead.time.time_remaining_s.p90)
    step = max(timedelta(seconds=ahead.time.epoch_s.p90), RUN_TIME_MIN)
    return max(end, now + RUN_TIME_MIN), max(end, now + RUN_TIME_MIN + step)
