"""Everything that a policy may know, in one value: the same in a back-test and in a real run.

Nothing is left to the surroundings, so a stored observation decides again what it decided then.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lowtide.documents import explain
from lowtide.job import CapacityAsk, PolicyName
from lowtide.legs import Capacity
from lowtide.policy.sightings import Sightings
from lowtide.policy.zone import PRIOR, Zone

EPSILON_S = 1e-6
"""Differences below this are no differences: a microsecond is what a clock shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """A stretch of one on-demand rate.

    Attributes:
        start: Aware.
        end: Aware, later.
        usd_per_h: Rate of the whole demand.
    """

    start: datetime
    end: datetime
    usd_per_h: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is known of a run at one moment.

    Attributes:
        policy: The rule that decides.
        now: Aware.
        ready_at: Since when the run may run; aware.
        deadline: When it must be done; None: at any time.
        work_s: All of its work by the latest forecast (P50), seconds of training; >= 0.
        work_left_s: What is left of it (P50); <= 0: the run has outlived its forecast.
        work_left_s_p90: What is left of it (P90): the deadline is kept for this much.
        epochs_left: The epochs that it consists of; 0: not known.
        held: The capacity that it runs on; None: it does not run.
        changeover_s: What a new leg loses: launch, restore and the work since the last checkpoint.
        changeover_s_max: The most that it can lose; the deadline is kept for this much.
        changeover_left_s: What the present leg has still to lose before it makes progress.
        poll_s: The longest time between two looks.
        on_demand: On-demand rates from `ready_at` or now on, in order, without gaps, at least one;
            the last goes on for ever. With the past ones, the adaptive policy's tables stay the same.
        spot: What was seen of spot capacity.
        terms: The capacity that the job accepts.
        urgent: Whether it must never wait for a price.
        money_left_usd: What may still be spent; None: no limit here.
        unsaved_s: Seconds of training that would be lost by leaving the present leg now.
        latched: What the last decision said of the safety net.
        zone: How this spot capacity comes and goes.
    """

    policy: PolicyName
    now: datetime
    ready_at: datetime
    deadline: datetime | None
    work_s: float
    work_left_s: float
    work_left_s_p90: float
    held: Capacity | None
    changeover_s: float
    changeover_s_max: float
    poll_s: float
    on_demand: tuple[Tariff, ...]
    spot: Sightings = field(default_factory=Sightings)
    changeover_left_s: float = 0.0
    epochs_left: int = 0
    terms: CapacityAsk = CapacityAsk.ANY
    urgent: bool = False
    money_left_usd: Decimal | None = None
    unsaved_s: float = 0.0
    latched: bool = False
    zone: Zone = PRIOR

    @property
    def slack_s(self) -> float:
        """Time to the deadline beyond the work left (P90), seconds; infinite without a deadline."""
        if self.deadline is None:
            return float("inf")
        return (self.deadline - self.now).total_seconds() - self.work_left_s_p90

    @property
    def tariffs_ahead(self) -> tuple[Tariff, ...]:
        """The on-demand rates from now on, the present one first."""
        ahead = self.on_demand
        while len(ahead) > 1 and ahead[0].end <= self.now:
            ahead = ahead[1:]
        return ahead

    @property
    def on_demand_usd_per_h(self) -> float:
        """The on-demand rate now."""
        return self.tariffs_ahead[0].usd_per_h

    @property
    def takes_spot(self) -> bool:
        """Whether a spot leg may be tried now.

        Where nobody knows whether capacity is there, trying tells, and costs nothing until it
        starts. Spot that costs more than on demand is no offer.
        """
        if self.terms is CapacityAsk.ON_DEMAND or self.spot.available is False:
            return False
        usd_per_h = self.spot.usd_per_h
        if self.terms is CapacityAsk.SPOT or usd_per_h is None:
            return True
        return usd_per_h <= self.on_demand_usd_per_h

    def document(self) -> dict[str, Any]:
        """Return the observation as a JSON document that `read_observation` reads back unchanged."""
        return _ADAPTER.dump_python(self, mode="json")


_ADAPTER = TypeAdapter(Observation)


def read_observation(document: object) -> Observation:
    """Read a stored observation.

    Args:
        document: What `Observation.document` returned.

    Raises:
        BadInputError: it is no observation.
    """
    try:
        return _ADAPTER.validate_python(document)
    except ValidationError as error:
        raise explain(error, source="observation", schema=None) from None
