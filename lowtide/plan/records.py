"""A plan's words: what is asked, an option, and the options in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any

from lowtide.forecast import Range
from lowtide.job import CapacityAsk
from lowtide.legs import Capacity
from lowtide.money import ZERO_USD, UsdRange, quantize_usd, show_usd
from lowtide.plain import plain_moment, plain_usd, plain_usd_range
from lowtide.planning import Offer, Stretch
from lowtide.policy import PRIOR, Zone
from lowtide.verdict import RefusalReason, Refused
from lowtide.ways import Moments
from lowtide.words import show_duration

LOOK_AHEAD = timedelta(days=14)
"""How far is planned where there is no deadline."""

_HOUR_S = 3600


class Kind(StrEnum):
    """What an option does. The values are a contract."""

    NOW = "now"
    """On demand, at once."""
    OFF_PEAK = "off-peak"
    """On demand, in the cheapest single stretch."""
    PIECES = "off-peak-pieces"
    """On demand, in the cheapest stretches, paused in between."""
    SPOT = "spot"
    """On spot while it is there, on demand where the deadline asks for it."""
    MIXED = "mixed"
    """On spot, on demand or not at all, whatever is cheapest to expect at each moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Spot capacity that the job may use.

    Attributes:
        usd_per_h: What it costs now, for the whole demand.
        zone: How it comes and goes.
    """

    usd_per_h: Fraction
    zone: Zone = PRIOR


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAsk:
    """A job, as a plan needs it.

    Attributes:
        time: What its training takes, seconds.
        now: Aware; nothing runs before.
        offers: Capacity on demand, by flavor, with rates from `now` to `horizon`; at least one.
        deadline: Done by then; None: at any time.
        budget_usd: What there is, US dollars; None: no limit here.
        spot: Spot capacity; None: there is none.
        terms: The capacity that the job accepts.
        urgent: Whether it must never wait for a price.
        changeover_s: What each leg but the first loses.
        margin_s: What a leg may run beyond its work; it is held for, not forecast.
    """

    time: Range
    now: datetime
    offers: Sequence[Offer]
    deadline: datetime | None = None
    budget_usd: Decimal | None = None
    spot: Spot | None = None
    terms: CapacityAsk = CapacityAsk.ANY
    urgent: bool = False
    changeover_s: float = 0.0
    margin_s: float = 0.0

    @property
    def horizon(self) -> datetime:
        """Until when is planned; rates must be known until then."""
        return horizon_of(self.time, now=self.now, deadline=self.deadline)

    def hold_usd(self, cost_usd: Decimal) -> Decimal:
        """Return what must be set aside for an upper cost, US dollars."""
        dearest_usd_per_h = max(rate.usd_per_h for offer in self.offers for rate in offer.rates)
        return cost_usd + quantize_usd(dearest_usd_per_h * Fraction(self.margin_s) / _HOUR_S)

    def in_time(self, finish: datetime) -> bool | None:
        """Return whether a finish is in time; None without a deadline."""
        return None if self.deadline is None else finish <= self.deadline

    def affordable(self, hold_usd: Decimal) -> bool | None:
        """Return whether a hold fits the budget; None without a budget."""
        return None if self.budget_usd is None else hold_usd <= self.budget_usd


def horizon_of(time: Range, *, now: datetime, deadline: datetime | None) -> datetime:
    """Return until when rates must be known for a plan.

    Args:
        time: What the training takes, seconds.
        now: Aware.
        deadline: Done by then; None: at any time.
    """
    at_once = now + timedelta(seconds=time.p90)
    if deadline is not None:
        return max(deadline, at_once)
    return at_once + LOOK_AHEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOption:
    """One way to run, with what it takes, costs and risks.

    Attributes:
        kind: What it does.
        flavor: Kinds of capacity, joined by "+".
        capacity: On demand or spot.
        start: When it begins to run, or to look for capacity.
        finish: When it would be done; P90 is the latest to expect.
        cost_usd: What it costs, US dollars.
        hold_usd: What must be set aside: its upper cost, and the margin at the dearest rate.
        meets_deadline: Whether its P90 is in time; None without a deadline.
        fits_budget: Whether its hold fits; None without a budget.
        why: What it does, one sentence.
        risk: What may go wrong, one sentence.
        change: Keys of the job file and their new values.
        stretches: When it would run, in the middle case; empty where chance decides.
        saves_usd: What its middle saves against running now, US dollars.
    """

    kind: Kind
    flavor: str
    capacity: Capacity
    start: datetime
    finish: Moments
    cost_usd: UsdRange
    hold_usd: Decimal
    meets_deadline: bool | None
    fits_budget: bool | None
    why: str
    risk: str
    change: Mapping[str, str]
    stretches: tuple[Stretch, ...] = ()
    saves_usd: Decimal = ZERO_USD

    @property
    def feasible(self) -> bool:
        """Whether neither the deadline nor the budget stands against it."""
        return self.meets_deadline is not False and self.fits_budget is not False

    def document(self, rank: int) -> dict[str, Any]:
        """Return the option as design §8 names its keys."""
        return {
            "rank": rank,
            "kind": self.kind.value,
            "flavor": self.flavor,
            "capacity": self.capacity.value,
            "start": plain_moment(self.start),
            "finish": _plain_moments(self.finish),
            "cost_usd": plain_usd_range(self.cost_usd),
            "hold_usd": plain_usd(self.hold_usd),
            "saves_usd": plain_usd(self.saves_usd),
            "meets_deadline": self.meets_deadline,
            "fits_budget": self.fits_budget,
            "why": self.why,
            "risk": self.risk,
            "change": dict(self.change),
            "stretches": [
                {
                    "flavor": stretch.offer,
                    "start": plain_moment(stretch.start),
                    "end": plain_moment(stretch.end),
                }
                for stretch in self.stretches
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Ways to run a job, the best first.

    Attributes:
        ask: The job.
        options: In order: feasible ones first, then by their middle cost, then by their finish.
    """

    ask: PlanAsk
    options: tuple[PlanOption, ...]

    @property
    def best(self) -> PlanOption:
        """The first option."""
        return self.options[0]

    @property
    def verdict(self) -> Refused | None:
        """Return why no option can be taken, and what would be needed; None when one can."""
        if self.best.feasible:
            return None
        deadline, budget_usd = self.ask.deadline, self.ask.budget_usd
        if deadline is not None and not any(option.meets_deadline for option in self.options):
            # To the next whole minute: nobody sets a deadline to the second.
            soonest = min(option.finish.p90 for option in self.options)
            soonest = soonest.replace(second=0, microsecond=0) + timedelta(minutes=1)
            late = show_duration((soonest - deadline).total_seconds())
            what = "has passed" if deadline <= self.ask.now else "is too tight for every option"
            return Refused(
                reason=RefusalReason.DEADLINE,
                message=f"the deadline {what}: the soonest is {late} late",
                remedy=f"a deadline of {plain_moment(soonest)} or later would do, or less work",
            )
        cheapest = min(
            (option for option in self.options if option.meets_deadline is not False),
            key=lambda option: option.hold_usd,
        )
        return Refused(
            reason=RefusalReason.BUDGET,
            gap_usd=cheapest.hold_usd - (budget_usd or Decimal(0)),
            message=f"the cheapest option in time asks for a hold of {show_usd(cheapest.hold_usd)}",
            remedy="raise the budget, give it more time, or train less",
        )

    def document(self) -> dict[str, Any]:
        """Return the plan as the body of design §8's `plan`."""
        best, budget_usd, no = self.best, self.ask.budget_usd, self.verdict
        return {
            "feasible": no is None,
            "budget_usd": None if budget_usd is None else plain_usd(budget_usd),
            "forecast_usd": plain_usd_range(best.cost_usd),
            "hold_usd": plain_usd(best.hold_usd),
            "utilisation_pct": (
                round(float(100 * best.hold_usd / budget_usd), 2) if budget_usd else None
            ),
            "finish": _plain_moments(best.finish),
            "refused": None if no is None else _plain_no(no),
            "options": [one.document(rank) for rank, one in enumerate(self.options, 1)],
        }


def _plain_no(no: Refused) -> dict[str, Any]:
    return {
        "reason": no.reason.value,
        "message": no.message,
        "remedy": no.remedy,
        "gap_usd": None if no.gap_usd is None else plain_usd(no.gap_usd),
    }


def _plain_moments(moments: Moments) -> dict[str, str]:
    return {
        "p10": plain_moment(moments.p10),
        "p50": plain_moment(moments.p50),
        "p90": plain_moment(moments.p90),
    }
