"""Replays a stretch of a recording through `lowtide.policy.decide`, the function that runs for real.

Capacity comes and goes at ticks. At a tick the policy sees what is there and chooses; a new leg
first loses a whole changeover, at its own price, and then works. Between two changes of anything
that a policy can see nothing is asked unless the last decision named a moment, so a back-test asks
about as often as a real run would.

Source:
    The accounting of the simulator behind Wu et al. (NSDI 2024), section 6.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from lowtide.backtest.market import Market
from lowtide.decision import Action, Decision
from lowtide.job import PolicyName
from lowtide.legs import Capacity
from lowtide.policy import PRIOR, Observation, Sightings, Zone, decide

_ALMOST_S = 1e-6
_HOUR_S = 3600
_HELD = {
    Action.RUN_SPOT: Capacity.SPOT,
    Action.RUN_ON_DEMAND: Capacity.ON_DEMAND,
    Action.WAIT: None,
    Action.STOP: None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What must be done, by when.

    Attributes:
        work_s: Seconds of training, > 0.
        deadline_s: Seconds from the first tick.
        changeover_s: Seconds that a new leg loses.
        estimate_error: Share by which the forecast of the work is wrong; -0.2: a fifth too little.
        corrected_at: Share of the work after which the forecast is right; None: never.
    """

    work_s: float
    deadline_s: float
    changeover_s: float
    estimate_error: float = 0.0
    corrected_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of it.

    Attributes:
        finish_s: When the work was done, seconds from the first tick; None: the market ended first.
        cost_usd: What it cost.
        on_demand_s: Time on demand, changeovers included.
        spot_s: Time on spot, changeovers included.
        idle_s: Time without capacity.
        changeovers: Legs started.
        looks: How often the policy was asked.
    """

    finish_s: float | None
    cost_usd: float
    on_demand_s: float
    spot_s: float
    idle_s: float
    changeovers: int
    looks: int

    def missed(self, deadline_s: float) -> bool:
        """Return whether it was late."""
        return self.finish_s is None or self.finish_s > deadline_s + _ALMOST_S


def simulate(market: Market, ask: Ask, *, policy: PolicyName, zone: Zone = PRIOR) -> Result:
    """Replay one job through a policy.

    Args:
        market: What there is to be had.
        ask: What must be done.
        policy: The rule that decides.
        zone: What the adaptive policy assumes of the zone.

    Returns:
        Its cost, its end, and how the time was spent.

    Examples:
        >>> import numpy as np
        >>> there = np.array([True] * 6 + [False] * 12)
        >>> market = Market(
        ...     gap_s=600.0,
        ...     available=there,
        ...     spot_usd_per_h=np.full(18, 0.3),
        ...     on_demand_usd_per_h=np.full(18, 1.0),
        ... )
        >>> ask = Ask(work_s=4800.0, deadline_s=9000.0, changeover_s=600.0)
        >>> result = simulate(market, ask, policy=PolicyName.GREEDY)
        >>> result.spot_s, result.on_demand_s, result.finish_s
        (3600.0, 2400.0, 9000.0)
    """
    run = _Run(market, ask, policy=policy, zone=zone)
    changes = market.changes()
    tick, upcoming = 0, 0
    while run.finish_s is None and tick < len(market.available):
        while changes[upcoming] <= tick:
            upcoming += 1
        decision = run.look(tick)
        until = changes[upcoming]
        if decision.until is not None:
            wanted_s = (decision.until - market.start).total_seconds()
            # The first tick not before the moment: earlier it would be asked in vain.
            wanted = int(-(-(wanted_s - _ALMOST_S) // market.gap_s))
            until = min(until, max(wanted, tick + 1))
        until = min(until, tick + run.ticks_to_correction())
        run.go(tick, until)
        tick = until
    return run.result()


class _Run:
    """The state of one replay."""

    def __init__(self, market: Market, ask: Ask, *, policy: PolicyName, zone: Zone) -> None:
        self.finish_s: float | None = None
        self._market, self._ask, self._policy, self._zone = market, ask, policy, zone
        self._tariffs = market.tariffs()
        self._deadline = market.start + timedelta(seconds=ask.deadline_s)
        self._available = market.available.tolist()
        self._spot_usd_per_h = market.spot_usd_per_h.tolist()
        self._usd_per_h = {
            Capacity.SPOT: self._spot_usd_per_h,
            Capacity.ON_DEMAND: market.on_demand_usd_per_h.tolist(),
        }
        self._spot = Sightings()
        self._left_s = ask.work_s
        self._over_s = 0.0
        self._held: Capacity | None = None
        self._latched = False
        self._spent_s = {Capacity.SPOT: 0.0, Capacity.ON_DEMAND: 0.0, None: 0.0}
        self._cost_usd = 0.0
        self._changeovers = self._looks = 0

    def look(self, tick: int) -> Decision:
        """Ask the policy, and start a leg where it says so."""
        now = self._market.moment(tick)
        available = self._available[tick]
        self._spot = self._spot.seen(
            now, available=available, usd_per_h=self._spot_usd_per_h[tick]
        )
        if self._held is Capacity.SPOT and not available:
            self._held = None
        decision = decide(self._observation(now))
        self._looks += 1
        self._latched = decision.latched
        wanted = _HELD[decision.action]
        if wanted is Capacity.SPOT and not available:
            wanted = None
        if wanted is not self._held and wanted is not None:
            self._over_s = self._ask.changeover_s
            self._changeovers += 1
        self._held = wanted
        return decision

    def go(self, tick: int, until: int) -> None:
        """Let the time between two looks pass."""
        span_s = (until - tick) * self._market.gap_s
        if self._held is None:
            self._spent_s[None] += span_s
            return
        over_s = min(self._over_s, span_s)
        worked_s = min(span_s - over_s, self._left_s)
        self._over_s -= over_s
        self._left_s -= worked_s
        if self._left_s <= _ALMOST_S:
            self.finish_s = tick * self._market.gap_s + over_s + worked_s
            span_s = over_s + worked_s
        self._spent_s[self._held] += span_s
        self._cost_usd += span_s / _HOUR_S * self._usd_per_h[self._held][tick]

    def ticks_to_correction(self) -> int:
        """Return after how many ticks the forecast will be right; a large number: not ahead."""
        corrected_at = self._ask.corrected_at
        if corrected_at is None or self._held is None or self._ask.estimate_error == 0:
            return len(self._available)
        work_s = self._ask.work_s
        missing_s = corrected_at * work_s - (work_s - self._left_s)
        if missing_s <= 0:
            return len(self._available)
        return max(1, int(-(-(missing_s + self._over_s) // self._market.gap_s)))

    def result(self) -> Result:
        """Return what came of it."""
        return Result(
            finish_s=self.finish_s,
            cost_usd=self._cost_usd,
            on_demand_s=self._spent_s[Capacity.ON_DEMAND],
            spot_s=self._spent_s[Capacity.SPOT],
            idle_s=self._spent_s[None],
            changeovers=self._changeovers,
            looks=self._looks,
        )

    def _observation(self, now: datetime) -> Observation:
        ask = self._ask
        done_s = ask.work_s - self._left_s
        right = (
            ask.corrected_at is not None and done_s >= ask.corrected_at * ask.work_s - _ALMOST_S
        )
        work_s = ask.work_s if right else ask.work_s * (1 + ask.estimate_error)
        return Observation(
            policy=self._policy,
            now=now,
            ready_at=self._market.start,
            deadline=self._deadline,
            work_s=work_s,
            work_left_s=work_s - done_s,
            work_left_s_p90=work_s - done_s,
            held=self._held,
            changeover_s=ask.changeover_s,
            changeover_s_max=ask.changeover_s,
            changeover_left_s=self._over_s if self._held is not None else 0.0,
            poll_s=self._market.gap_s,
            on_demand=self._tariffs,
            spot=self._spot,
            latched=self._latched,
            zone=self._zone,
        )
