"""What a run should do now: gathers what is known, asks `lowtide.policy.decide`, writes it down.

One `Mind` serves the plan before a leg and the watch over it, so both decide by the same function
from the same facts. It may be lost at any line: what was seen of spot, and whether the safety net
acts, is in the last decision, which the ledger keeps with all that it was made from. A stored
decision can be decided again (`decided_again`).

Spot capacity is seen in three ways: a leg on it runs; the runner can tell; or a leg on it was tried.
A try that does not start costs nothing, and is repeated after a while that doubles each time.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from blocks.ledger import LegRow
from blocks.world import World
from lowtide.changeover import changeover_of
from lowtide.decision import Action, Decision
from lowtide.events import EventKind
from lowtide.forecast import TimeForecast
from lowtide.job import CapacityAsk, PolicyName, Priority, TrainingJob, Where
from lowtide.legs import Capacity, LegEnd, LegStatus
from lowtide.policy import Observation, Sightings, Tariff, decide, lateness, read_observation
from lowtide.prices import Demand, PriceBook, PriceUnknownError, segments
from lowtide.progress import Progress
from lowtide.verdict import Refused
from tasks import log
from tasks.claim import Owned
from tasks.forecast import Outlook, outlook, progress_of
from tasks.late import tell_late, told_late_s

POLL_S = {Where.LOCAL: 5.0, Where.KUBERNETES: 60.0}
"""The longest time from a moment that matters to the act that follows."""
PATIENCE = {Where.LOCAL: timedelta(seconds=30), Where.KUBERNETES: timedelta(minutes=2)}
"""How long a leg may wait for spot capacity before there counts as none."""

_LOOK_AHEAD = timedelta(days=8)
_AGAIN_FIRST = timedelta(seconds=5)
_AGAIN_MAX = timedelta(minutes=15)
_LEAST_WAIT = timedelta(seconds=1)
_ACTION_OF = {Capacity.SPOT: Action.RUN_SPOT, Capacity.ON_DEMAND: Action.RUN_ON_DEMAND}


@dataclass(slots=True, kw_only=True)
class Mind:
    """What one task knows of its run between two looks.

    Attributes:
        world: The outside world.
        owned: The run.
        spot: What was seen of spot capacity.
        latched: Whether the safety net acts.
        waits: How often in a row the decision was to wait.
        count: Decisions written down so far.
        told: What was decided last.
        late_s: How late the run was last said to be; 0: it was not.
        ahead: The newest forecast.
        progress: The epochs that it rests on.
        rates: What on demand costs.
        plan: The options that were weighed, to be kept with the decision.
    """

    world: World
    owned: Owned
    spot: Sightings = field(default_factory=Sightings)
    latched: bool = False
    waits: int = 0
    count: int = 0
    told: Action | None = None
    late_s: float = 0.0
    ahead: Outlook | None = None
    progress: Progress | None = None
    rates: tuple[Tariff, ...] = ()
    plan: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, world: World, owned: Owned) -> "Mind":
        """Return what the run's last decision knew, and what its legs have shown since."""
        mind = cls(world=world, owned=owned, late_s=told_late_s(world, owned.run))
        events = world.ledger.events(owned.run, kind=EventKind.DECISION)
        mind.count = len(events)
        actions = [event.body["decision"] for event in events]
        while mind.waits < len(actions) and actions[-1 - mind.waits] == Action.WAIT.value:
            mind.waits += 1
        if events:
            body = events[-1].body
            mind.told = Action(body["decision"])
            mind.latched = bool(body.get("latched"))
            if "policy" in body["observation"]:
                mind.spot = read_observation(body["observation"]).spot
        return mind

    def next_leg(self) -> tuple[Observation, Decision] | Refused:
        """Decide what the next leg runs on, or when to ask again."""
        now = self.world.now()
        self.progress = progress_of(self.world, self.owned.run, self.owned.job)
        ahead = self._forecast(now)
        if isinstance(ahead, Refused):
            return ahead
        self.ahead = ahead
        legs = self.world.ledger.legs(self.owned.run)
        tried_again_at = self._look_back(legs, now=now)
        seen = self._observe(None, status=None, now=now)
        decision = decide(seen)
        if decision.action is Action.WAIT and _may_come(seen):
            again_at = tried_again_at or now + _backed_off(self.waits)
            until = again_at if decision.until is None else min(decision.until, again_at)
            decision = replace(decision, until=max(until, now + _LEAST_WAIT))
        self._tell_late(seen, now=now)
        self.note(seen, decision, now=now)
        return seen, decision

    def watch(
        self, leg: LegRow, status: LegStatus, *, ahead: Outlook | None, progress: Progress | None
    ) -> Decision | None:
        """Decide whether a leg that waits or runs should go on; end it where not.

        Args:
            leg: The leg.
            status: How it is.
            ahead: The newest forecast; None: none yet.
            progress: The run's epochs; None: none to be had.

        Returns:
            The decision that ended it; None where it goes on.
        """
        now = self.world.now()
        self.progress = progress or self.progress
        self.ahead = ahead or self.ahead
        if self.ahead is None:
            first = self._forecast(now)
            if isinstance(first, Refused):
                return None
            self.ahead = first
        self._look_at(leg, status, now=now)
        seen = self._observe(leg, status=status, now=now)
        decision = decide(seen)
        self.latched = decision.latched
        is_news = self._tell_late(seen, now=now)
        if decision.action is _ACTION_OF[leg.capacity]:
            if is_news or self.told is not decision.action:
                self.note(seen, decision, now=now)
            return None
        self.note(seen, decision, now=now)
        log.say(f"leg {leg.leg} ends at its checkpoint: {decision.reason}")
        self.world.runner.stop(self.owned.run, leg.leg)
        return decision

    def note(self, seen: Observation, decision: Decision, *, now: datetime) -> None:
        """Write a decision down with all that it was made from."""
        self.count += 1
        self.told, self.latched = decision.action, decision.latched
        self.world.ledger.log(
            self.owned.run,
            kind=EventKind.DECISION,
            key=f"decision-{self.count}",
            body={
                "observation": seen.document(),
                "decision": decision.action.value,
                "reason": decision.reason,
                "until": None if decision.until is None else decision.until.isoformat(),
                "latched": decision.latched,
                **({} if self.plan is None else {"plan": dict(self.plan)}),
            },
            now=now,
        )

    def _tell_late(self, seen: Observation, *, now: datetime) -> bool:
        """Say how late the run may be, where that is news."""
        late = lateness(seen)
        if late is None or not late.is_news(self.late_s):
            return False
        tell_late(self.world, self.owned, late, now=now)
        self.late_s = late.late_s
        return True

    def _forecast(self, now: datetime) -> Outlook | Refused:
        return outlook(
            self.world.ledger,
            self.owned.job,
            book=self.world.prices.book(),
            capacity=Capacity.ON_DEMAND,
            now=now,
            progress=self.progress,
        )

    def _look_back(self, legs: tuple[LegRow, ...], *, now: datetime) -> datetime | None:
        """See what the last legs have shown of spot; return when to try again, where trying tells."""
        last = legs[-1] if legs else None
        if last is not None and last.capacity is Capacity.SPOT and last.ended_at is not None:
            self._replay(last, ended_at=last.ended_at)
        again_at = _tried_in_vain(legs)
        told = None
        if again_at is None or now >= again_at:
            told = self.world.runner.has_spot(self.owned.job.where, now=now)
        if told is not None:
            self._sees(there=told, now=now)
            return None
        if self.spot.available is not False or self.spot.seen_at is None:
            return None
        again_at = again_at or self.spot.seen_at + _AGAIN_FIRST
        if now >= again_at:
            self.spot = self.spot.unsure(now)
        return again_at

    def _replay(self, leg: LegRow, *, ended_at: datetime) -> None:
        began_at = leg.started_at or ended_at
        is_new = self.spot.seen_at is None or self.spot.seen_at < ended_at
        if leg.end not in {LegEnd.PREEMPTED, LegEnd.WITHDRAWN} or not is_new:
            return
        if leg.started_at is not None and (
            self.spot.seen_at is None or began_at >= self.spot.seen_at
        ):
            self._sees(there=True, now=began_at)
        self._sees(there=False, now=ended_at)

    def _look_at(self, leg: LegRow, status: LegStatus, *, now: datetime) -> None:
        job = self.owned.job
        if leg.capacity is Capacity.SPOT:
            if status.phase == "running":
                self._sees(there=True, now=now)
            elif now - leg.opened_at > PATIENCE[job.where]:
                self._sees(there=False, now=now)
            return
        # A leg that runs is not given up for a try: where nobody can tell, there is no spot.
        again_at = _tried_in_vain(self.world.ledger.legs(self.owned.run))
        is_told = (again_at is None or now >= again_at) and self.world.runner.has_spot(
            job.where, now=now
        )
        self._sees(there=bool(is_told), now=now)

    def _sees(self, *, there: bool, now: datetime) -> None:
        usd_per_h = _spot_usd_per_h(self.owned.job, self.world.prices.book(), now=now)
        # What has no price is no offer.
        is_offered = there and usd_per_h is not None
        self.spot = self.spot.seen(now, available=is_offered, usd_per_h=usd_per_h)

    def _observe(
        self, leg: LegRow | None, *, status: LegStatus | None, now: datetime
    ) -> Observation:
        job, ahead = self.owned.job, self.ahead
        assert ahead is not None  # noqa: S101 - both callers have made sure of a forecast
        row = self.world.ledger.run(self.owned.run)
        ready_at = now if row is None else row.created_at
        if not self.rates:
            self.rates = _rates(job, self.world.prices.book(), start=ready_at, now=now)
        legs = self.world.ledger.legs(self.owned.run)
        changeover = changeover_of(
            job.where,
            epoch_s=ahead.time.epoch_s.p50,
            progress=self.progress,
            queued_s=[one.queued_s(now=now) for one in legs if one.started_at is not None],
        )
        young_s, within_s = _of_leg(leg, status, ahead, usual_s=changeover.usual_s, now=now)
        redoes = self.progress is not None and self.progress.redone_s > 0
        return Observation(
            policy=job.policy,
            now=now,
            ready_at=ready_at,
            deadline=job.deadline,
            work_s=_done_s(ahead.time) + ahead.time.time_remaining_s.p50,
            work_left_s=ahead.time.time_remaining_s.p50 - within_s,
            work_left_s_p90=ahead.time.time_remaining_s.p90 - within_s,
            epochs_left=ahead.time.epochs_remaining,
            held=_held(leg, status),
            changeover_s=_coarse(changeover.usual_s),
            changeover_s_max=_coarse(changeover.most_s),
            changeover_left_s=young_s,
            poll_s=POLL_S[job.where],
            on_demand=self.rates,
            spot=self.spot,
            terms=_terms(job, self.world.prices.book()),
            urgent=job.priority is Priority.URGENT,
            unsaved_s=within_s if redoes else 0.0,
            latched=self.latched,
        )


def in_safety_net(world: World, run: str) -> bool:
    """Say whether the run's last decision was its safety net's: its legs go before others then."""
    events = world.ledger.events(run, kind=EventKind.DECISION)
    return bool(events) and bool(events[-1].body.get("latched"))


def decided_again(body: dict[str, Any]) -> Decision | None:
    """Decide a stored decision again, from what it was made from; None where that is not known.

    Raises:
        BadInputError: what was stored is no observation.
    """
    document: dict[str, Any] = body.get("observation") or {}
    return decide(read_observation(document)) if "policy" in document else None


def _held(leg: LegRow | None, status: LegStatus | None) -> Capacity | None:
    if leg is None or status is None:
        return None
    # A leg that waits for spot holds nothing yet, and may never.
    waits_for_spot = leg.capacity is Capacity.SPOT and status.phase != "running"
    return None if waits_for_spot else leg.capacity


def _may_come(seen: Observation) -> bool:
    """Say whether a wait may end with spot capacity, which nobody announces."""
    return seen.terms is not CapacityAsk.ON_DEMAND and seen.policy is not PolicyName.OFF_PEAK


def _tried_in_vain(legs: tuple[LegRow, ...]) -> datetime | None:
    """Return until when spot counts as absent because legs on it did not start; None: none failed."""
    tried = [leg for leg in legs if leg.capacity is Capacity.SPOT]
    tries, last_at = 0, None
    for leg in reversed(tried):
        if leg.end is not LegEnd.WITHDRAWN or leg.ended_at is None:
            break
        tries, last_at = tries + 1, last_at or leg.ended_at
    return None if last_at is None else last_at + _backed_off(tries)


def _backed_off(tries: int) -> timedelta:
    return min(_AGAIN_FIRST * 2 ** min(tries, 16), _AGAIN_MAX)


def _coarse(duration_s: float) -> float:
    """Return a duration in steps of a tenth, upwards: what is measured anew asks nothing new."""
    return 1.1 ** math.ceil(math.log(max(duration_s, 0.1)) / math.log(1.1))


def _terms(job: TrainingJob, book: PriceBook) -> CapacityAsk:
    # Where no spot is sold, there is nothing to wait for.
    is_sold = book.flavor(job.resources.flavor).spot is not None
    return job.capacity if is_sold or job.capacity is CapacityAsk.SPOT else CapacityAsk.ON_DEMAND


def _spot_usd_per_h(job: TrainingJob, book: PriceBook, *, now: datetime) -> float | None:
    if book.flavor(job.resources.flavor).spot is None:
        return None
    soon = now + timedelta(seconds=1)
    try:
        return float(
            segments(book, Demand.of(job, Capacity.SPOT), start=now, end=soon)[0].usd_per_h
        )
    except PriceUnknownError:
        return None


def _rates(
    job: TrainingJob, book: PriceBook, *, start: datetime, now: datetime
) -> tuple[Tariff, ...]:
    demand = Demand.of(job, Capacity.ON_DEMAND)
    end = max(now + _LOOK_AHEAD, job.deadline or now)
    try:
        known = segments(book, demand, start=start, end=end)
    except PriceUnknownError as error:
        if error.at <= now:
            raise
        known = segments(book, demand, start=start, end=error.at)
    return tuple(
        Tariff(start=one.start, end=one.end, usd_per_h=float(one.usd_per_h)) for one in known
    )


def _done_s(time: TimeForecast) -> float:
    return time.epochs_done * time.epoch_s.p50


def _of_leg(
    leg: LegRow | None,
    status: LegStatus | None,
    ahead: Outlook,
    *,
    usual_s: float,
    now: datetime,
) -> tuple[float, float]:
    """Return what a leg has still to lose before it makes progress, and its work since an epoch ended."""
    if leg is None or status is None:
        return 0.0, 0.0
    if status.started_at is None:
        return usual_s, 0.0
    began_at = status.started_at + timedelta(seconds=usual_s)
    young_s = max(0.0, (began_at - now).total_seconds())
    since = max(began_at, ahead.at)
    within_s = max(0.0, (now - since).total_seconds())
    return young_s, min(within_s, ahead.time.epoch_s.p50, ahead.time.time_remaining_s.p50)
