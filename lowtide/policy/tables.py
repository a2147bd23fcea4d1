"""What each choice costs in the end, for every state a run can be in: an exact dynamic programme.

The state is the slots left to the deadline, the slack, the capacity held, and what is seen of spot
(there or not, for how long, in which rhythm: `lowtide.policy.zone`). Slack takes the place of the
work left because running leaves it as it is: only waiting and changeovers move along that axis, so
nothing is blurred by the grid where most of the time is spent, and the axis is short.

A choice's regret is what it costs in the end beyond the best choice of the same moment. The policy
needs no more than the regrets, so they are all that is kept, in a byte each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lowtide.policy.zone import AGES_S, NEXT_RHYTHM, RHYTHMS, SHORT_S, Zone, age_class

Values: TypeAlias = NDArray[np.float32]
"""Cost to the end; shape (states of spot, slack) or, in the whole table, with slots and holding."""

_AGES = len(AGES_S)
_STATES = 2 * _AGES * RHYTHMS
_UP = np.arange(_STATES) >= _AGES * RHYTHMS
_HOUR_S = 3600


class Holding(IntEnum):
    """What a run holds, and what it can choose to hold for the next slot."""

    NOTHING = 0
    SPOT = 1
    ON_DEMAND = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the tables depend on.

    Attributes:
        zone: How spot capacity comes and goes.
        slot_s: Seconds of one slot, > 0.
        slots: Slots to the deadline, at most.
        slack_slots: Slack, at most.
        changeover_slots: What a new leg loses, slots; any number >= 0.
        reserve_slots: Slack below which only the safety net decides.
        kept_share: Slack that neither waiting nor leaving on demand for spot may touch, as a share of
            the slots to the deadline.
        on_demand: What a slot on demand costs, in slots of spot, as (slots, cost) from the deadline
            backwards; the last goes on.
    """

    zone: Zone
    slot_s: float
    slots: int
    slack_slots: int
    changeover_slots: float
    reserve_slots: float
    kept_share: float
    on_demand: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The regret of each choice.

    Attributes:
        question: What they answer.
        regret: In `_UNIT_SLOTS`; shape (slots + 1, holding, choice, states of spot, slack + 1).
    """

    question: Question
    regret: NDArray[np.uint8]

    def regrets(
        self, *, slots_left: float, slack: float, holding: Holding, state: int
    ) -> tuple[float, float, float]:
        """Return the regrets of holding nothing, spot and on demand for the next slot, in slots of spot.

        Args:
            slots_left: To the deadline.
            slack: In slots.
            holding: What the run holds.
            state: What is seen of spot, as `state_of` counts.
        """
        slack = min(max(slack, 0.0), self.question.slack_slots - 1e-6)
        # Beyond the table there is so much slack that more of it changes nothing.
        row = min(int(slots_left + 1e-6), self.question.slots)
        low = int(slack)
        high_part = (slack - low) * _UNIT_SLOTS
        low_part = _UNIT_SLOTS - high_part
        nothing, spot, on_demand = self.regret[row, holding, :, state, low : low + 2].tolist()
        return (
            low_part * nothing[0] + high_part * nothing[1],
            low_part * spot[0] + high_part * spot[1],
            low_part * on_demand[0] + high_part * on_demand[1],
        )


def state_of(*, available: bool, age_s: float, rhythm: int) -> int:
    """Return the number of what is seen of spot.

    Examples:
        >>> (
        ...     state_of(available=False, age_s=0, rhythm=0),
        ...     state_of(available=True, age_s=1e9, rhythm=3),
        ... )
        (0, 63)
    """
    return (available * _AGES + age_class(age_s)) * RHYTHMS + rhythm


@lru_cache(maxsize=8)
def solve(question: Question) -> Tables:
    """Solve the dynamic programme; some tenths of a second, once for a run and its forecast.

    Args:
        question: What the tables depend on.

    Returns:
        The tables. The last few are remembered: the same question has the same answer.
    """
    programme = _Programme(question)
    shape = (question.slots + 1, len(Holding), len(Holding), _STATES, question.slack_slots + 1)
    regret = np.zeros(shape, np.uint8)
    values = programme.at_deadline()
    for left in range(1, question.slots + 1):
        values, costs = programme.step(values, left)
        costs -= costs.min(axis=1, keepdims=True)
        regret[left] = np.minimum(costs / _UNIT_SLOTS + 0.5, _REGRET_MAX)
    return Tables(question=question, regret=regret)


_UNIT_SLOTS = 0.05
_REGRET_MAX = 255
_NEVER = np.float32(1e6)
"""More than anything costs."""


class _Programme:
    """One step of the recursion, with all that does not change between steps.

    Holdings in `values`: nothing, spot, on demand, and spot that has still to lose 1, 2 ... slots of
    its changeover, as a preemption in the middle of one loses only what was spent so far.
    """

    def __init__(self, question: Question) -> None:
        from scipy.sparse import csr_array  # noqa: PLC0415 - most plans need no table

        self._slack = np.arange(question.slack_slots + 1)
        self._lost = question.changeover_slots
        self._kept_share = question.kept_share
        chance = _chances(question.zone, question.slot_s)
        # From a state there are three ways on: sparse, and free of a BLAS that starts threads.
        self._chance = csr_array(chance)
        self._chance_up = csr_array(chance[_UP])
        self._safe = self._slack >= question.reserve_slots - 1e-6
        # What a spot leg has still to lose: all of it at first, a slot less after each slot.
        pending = int(np.ceil(self._lost - 1e-9))
        self._spot_lost = [self._lost - spent for spent in range(max(1, pending))]
        self._bill = _bill(question)

    def at_deadline(self) -> Values:
        states = (len(Holding) + len(self._spot_lost) - 1, _STATES, len(self._slack))
        return np.zeros(states, np.float32)

    def step(self, later: Values, left: int) -> tuple[Values, Values]:
        """Return the values, and the cost of each choice, with `left` slots to the deadline."""
        price = self._bill(left, 1)
        kept = self._kept_share * left
        # Where the policy may not wait, or go back to spot, nothing may count on it either.
        waits = self._with_less_slack(self._chance @ later[Holding.NOTHING], 1.0)
        waits[:, self._slack < kept] = _NEVER
        stays_od = price + self._chance @ later[Holding.ON_DEMAND]
        starts_od = price + self._with_less_slack(stays_od - price, self._lost)
        on_spot = [1 + self._on_spot(later, spent) for spent in range(len(self._spot_lost))]
        starts_spot = on_spot[0]
        stays_spot = 1 + self._preempted_or(later, later[Holding.SPOT])

        costs = np.stack(
            [
                np.stack([waits, starts_spot, starts_od]),
                np.stack([waits, stays_spot, starts_od]),
                np.stack([waits, starts_spot, stays_od]),
            ]
        )
        costs[:, Holding.SPOT, ~_UP] = _NEVER
        costs[Holding.ON_DEMAND, Holding.SPOT][:, self._slack - self._lost < kept] = _NEVER
        work = left - self._slack
        values = np.empty_like(later)
        values[: len(Holding)] = costs.min(axis=1)
        # Below the reserve the net decides: on demand to the end, unless spot is held and lasts.
        unsafe = ~self._safe
        net = self._bill(left, work + self._lost)[unsafe]
        values[Holding.NOTHING][:, unsafe] = net
        values[Holding.ON_DEMAND][:, unsafe] = self._bill(left, work)[unsafe]
        values[Holding.SPOT][:, unsafe] = np.where(_UP[:, None], stays_spot[:, unsafe], net)
        for spent, cost in enumerate(on_spot[1:], start=1):
            leaves = np.minimum(waits, starts_od)
            pending = np.where(self._safe, np.minimum(cost, leaves), cost)
            values[len(Holding) + spent - 1] = np.where(_UP[:, None], pending, values[0])
        values[..., work <= 0] = 0
        return values, costs

    def _on_spot(self, later: Values, spent: int) -> Values:
        """Return what follows a slot on spot whose leg has lost `spent` slots of its changeover."""
        last = spent + 1 == len(self._spot_lost)
        holding = Holding.SPOT if last else len(Holding) + spent
        lost = self._spot_lost[spent]
        return self._with_less_slack(self._preempted_or(later, later[holding]), min(lost, 1.0))

    def _preempted_or(self, later: Values, running: Values) -> Values:
        then = np.where(_UP[:, None], running, later[Holding.NOTHING])
        follows = np.zeros_like(then)
        follows[_UP] = self._chance_up @ then
        return follows

    def _with_less_slack(self, values: Values, lost: float) -> Values:
        source = np.maximum(self._slack - lost, 0)
        low = np.floor(source + 1e-9).astype(np.intp)
        part = (source - low).astype(np.float32)
        if not part.any():
            return values[:, low]
        high = np.minimum(low + 1, len(self._slack) - 1)
        return (values[:, low] * (1 - part) + values[:, high] * part).astype(np.float32)


def _chances(zone: Zone, slot_s: float) -> NDArray[np.float32]:
    """Return the chance of each next state of spot, from each; rows add up to 1."""
    chance = np.zeros((_STATES, _STATES), np.float32)
    ages_slots = np.diff(AGES_S, append=np.inf) / slot_s
    ages_on = np.minimum(1.0, 1 / ages_slots)
    for up, ends_per_h in enumerate((zone.down_ends_per_h, zone.up_ends_per_h)):
        for age, of_age in enumerate(ends_per_h):
            was_short = int(AGES_S[age] < SHORT_S[up])
            next_age = min(age + 1, _AGES - 1)
            for rhythm, per_h in enumerate(of_age):
                here = (up * _AGES + age) * RHYTHMS + rhythm
                ends = 1 - np.exp(-per_h * slot_s / _HOUR_S)
                after = NEXT_RHYTHM[up, was_short, rhythm]
                chance[here, (1 - up) * _AGES * RHYTHMS + after] += ends
                goes_on = 1 - ends
                chance[here, (up * _AGES + next_age) * RHYTHMS + rhythm] += goes_on * ages_on[age]
                chance[here, here] += goes_on * (1 - ages_on[age])
    return chance


def _bill(question: Question) -> Callable[..., NDArray[np.float32]]:
    """Return a function that bills slots on demand: so many, from so many before the deadline."""
    rates = np.concatenate([np.full(slots, cost) for slots, cost in question.on_demand])
    missing = max(0, question.slots - len(rates))
    rates = np.concatenate([rates, np.full(missing, question.on_demand[-1][1])])
    upto = np.concatenate([[0.0], np.cumsum(rates[: question.slots])])
    slots = np.arange(len(upto))

    def bill(left: int, count: NDArray[np.int64] | float) -> NDArray[np.float32]:
        until = left - np.asarray(count)
        late = np.maximum(-until, 0) * rates[0]
        return (upto[left] - np.interp(until, slots, upto) + late).astype(np.float32)

    return bill
