"""Options in which chance decides: spot with a fall-back, and whatever is cheapest to expect."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from lowtide.backtest import Ask, Market, Result, simulate
from lowtide.job import CapacityAsk, PolicyName
from lowtide.legs import Capacity
from lowtide.money import UsdRange, quantize_usd
from lowtide.plan.records import Kind, PlanAsk, PlanOption, Spot
from lowtide.policy.paths import draw_paths
from lowtide.ways import Moments

_TICKS = 240
_GAP_S_MIN = 30.0
# Swanson's rule: three values with these weights, of ten, stand for a range from P10 to P90.
_OF_TEN = (3, 4, 3)
_KINDS = {Kind.SPOT: PolicyName.UNIFORM_PROGRESS, Kind.MIXED: PolicyName.ADAPTIVE}
_WHY = {
    Kind.SPOT: "run on spot while it is there, on demand where the deadline asks for it",
    Kind.MIXED: "run on spot, on demand or not at all, whichever is cheapest to expect",
}


def spot_options(ask: PlanAsk, spot: Spot, *, paths: int, seed: int) -> Iterator[PlanOption]:
    """Yield the spot options, each policy replayed on the same drawn futures.

    Without a deadline both policies only wait for spot, so there is one option.
    """
    gap_s = max(_GAP_S_MIN, (ask.horizon - ask.now).total_seconds() / _TICKS)
    ticks = int(np.ceil((ask.horizon - ask.now).total_seconds() / gap_s)) + 1
    futures = draw_paths(
        spot.zone, paths=paths, ticks=ticks, gap_s=gap_s, generator=np.random.default_rng(seed)
    )
    markets = _markets(ask, spot, futures, gap_s=gap_s)
    for kind, policy in _KINDS.items():
        if kind is Kind.MIXED and ask.deadline is None:
            continue
        results = [
            simulate(
                market,
                Ask(
                    work_s=work_s,
                    deadline_s=(ask.horizon - ask.now).total_seconds(),
                    changeover_s=ask.changeover_s,
                ),
                policy=policy,
                zone=spot.zone,
            )
            for market, work_s in zip(markets, _works(ask, paths), strict=True)
        ]
        yield _option(ask, results, kind=kind)


def _works(ask: PlanAsk, paths: int) -> list[float]:
    low, middle, high = _OF_TEN
    ten = [ask.time.p10] * low + [ask.time.p50] * middle + [ask.time.p90] * high
    return [ten[number % len(ten)] for number in range(paths)]


def _markets(
    ask: PlanAsk, spot: Spot, futures: NDArray[np.bool_], *, gap_s: float
) -> list[Market]:
    ticks: int = futures.shape[1]
    times = [ask.now + timedelta(seconds=tick * gap_s) for tick in range(ticks)]
    on_demand = np.array([min(_rates_at(ask, time)) for time in times])
    return [
        Market(
            gap_s=gap_s,
            available=future,
            spot_usd_per_h=np.full(ticks, float(spot.usd_per_h)),
            on_demand_usd_per_h=on_demand,
            start=ask.now,
        )
        for future in futures
    ]


def _rates_at(ask: PlanAsk, moment: datetime) -> Iterator[float]:
    for offer in ask.offers:
        rates = (rate.usd_per_h for rate in offer.rates if rate.end > moment)
        yield float(next(rates, offer.rates[-1].usd_per_h))


def _option(ask: PlanAsk, results: Sequence[Result], *, kind: Kind) -> PlanOption:
    horizon_s = (ask.horizon - ask.now).total_seconds()
    finish_s = [horizon_s if one.finish_s is None else one.finish_s for one in results]
    finish = Moments(
        p10=_moment(ask, finish_s, 10),
        p50=_moment(ask, finish_s, 50),
        p90=_moment(ask, finish_s, 90),
    )
    costs_usd = [one.cost_usd for one in results]
    cost_usd = UsdRange(p10=_usd(costs_usd, 10), p50=_usd(costs_usd, 50), p90=_usd(costs_usd, 90))
    hold_usd = ask.hold_usd(cost_usd.p90)
    unfinished = sum(one.finish_s is None for one in results)
    late = (
        sum(one.missed(horizon_s) for one in results) if ask.deadline is not None else unfinished
    )
    return PlanOption(
        kind=kind,
        flavor=ask.offers[0].name,
        capacity=Capacity.SPOT,
        start=ask.now,
        finish=finish,
        cost_usd=cost_usd,
        hold_usd=hold_usd,
        meets_deadline=None if ask.deadline is None else late == 0,
        fits_budget=ask.affordable(hold_usd),
        why=_WHY[kind],
        risk=_risk(results, late=late),
        change={"policy": _KINDS[kind].value, "capacity": CapacityAsk.ANY.value},
    )


def _risk(results: Sequence[Result], *, late: int) -> str:
    of = len(results)
    legs = float(np.median([one.changeovers for one in results]))
    on_demand = sum(one.on_demand_s > one.spot_s for one in results)
    told = f"in {of} drawn futures it takes {legs:g} legs in the middle, and runs mostly on demand"
    told += f" in {on_demand}"
    return f"{told}; {late} are not done in time" if late else told


def _moment(ask: PlanAsk, finish_s: Sequence[float], percentile: float) -> datetime:
    return ask.now + timedelta(seconds=float(np.percentile(finish_s, percentile)))


def _usd(costs_usd: Sequence[float], percentile: float) -> Decimal:
    return quantize_usd(Decimal(repr(float(np.percentile(costs_usd, percentile)))))
