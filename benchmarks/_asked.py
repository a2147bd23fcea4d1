"""What the policies' benchmark asks over and over: one decision, one plan."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from statistics import median

from lowtide.job import PolicyName
from lowtide.planning import Offer, cheapest_schedule
from lowtide.policy import Observation, Sightings, Tariff, decide
from lowtide.prices import PricedSegment

HOUR_S = 3600.0


def middle_ms(ask: Callable[[], object], *, times: int = 201) -> float:
    """Return how long a call takes, the middle of many, milliseconds; the first is left out."""
    ask()
    took_s: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        took_s.append(time.perf_counter() - began)
    return 1000 * median(took_s)


_NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def decision(policy: PolicyName) -> Callable[[], object]:
    """Return a call of `decide` in the middle of a run."""
    end = _NOW + timedelta(hours=60)
    seen = Observation(
        policy=policy,
        now=_NOW + timedelta(hours=7),
        ready_at=_NOW,
        deadline=end,
        work_s=48 * HOUR_S,
        work_left_s=44 * HOUR_S,
        work_left_s_p90=45 * HOUR_S,
        held=None,
        changeover_s=0.2 * HOUR_S,
        changeover_s_max=0.3 * HOUR_S,
        poll_s=60,
        on_demand=(Tariff(start=_NOW, end=end, usd_per_h=3.06),),
        spot=Sightings().seen(_NOW, available=False, usd_per_h=0.9731),
    )
    return lambda: decide(seen)


def a_plan() -> Callable[[], object]:
    """Return a call that plans 14 days in steps of 5 minutes over 6 flavors with hourly prices."""
    days = 14
    offers = [
        Offer(
            name=f"gpu-{number}",
            rates=[
                PricedSegment(
                    start=_NOW + timedelta(hours=hour),
                    end=_NOW + timedelta(hours=hour + 1),
                    window="",
                    version="",
                    usd_per_h=Fraction(100 + (37 * hour * (number + 3)) % 91, 100),
                    usd=Fraction(0),
                )
                for hour in range(24 * days)
            ],
        )
        for number in range(6)
    ]
    return lambda: cheapest_schedule(
        offers,
        work_s=72 * HOUR_S,
        now=_NOW,
        deadline=_NOW + timedelta(days=days),
        restart_s=900,
    )
