"""Options whose hours are known: now, the cheapest stretch, the cheapest stretches."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from lowtide.job import CapacityAsk, PolicyName
from lowtide.legs import Capacity
from lowtide.money import UsdRange, quantize_usd
from lowtide.plan.records import Kind, PlanAsk, PlanOption
from lowtide.planning import Offer, Schedule, Stretch, cheapest_schedule, cheapest_start
from lowtide.ways import Moments
from lowtide.words import show_duration


def now_option(ask: PlanAsk) -> PlanOption:
    """Return the option to run on demand at once, on the cheapest offer."""

    def at_once(work_s: float) -> Schedule:
        end = ask.now + timedelta(seconds=work_s)
        offer = min(ask.offers, key=lambda one: one.usd(ask.now, end))
        return _piece(offer, ask, start_s=0.0, work_s=work_s)

    return _ranged(ask, at_once).option(
        ask,
        kind=Kind.NOW,
        why="run on demand at once",
        risk="none but its price",
        change={"policy": PolicyName.RUN_NOW.value, "capacity": CapacityAsk.ON_DEMAND.value},
    )


def off_peak_options(ask: PlanAsk) -> Iterator[PlanOption]:
    """Yield the options to wait for a lower rate, where there is one worth waiting for."""
    change = {"policy": PolicyName.OFF_PEAK.value, "capacity": CapacityAsk.ON_DEMAND.value}
    whole = _in_one_piece(ask)
    if whole is not None and whole.middle.start > ask.now:
        yield whole.option(
            ask,
            kind=Kind.OFF_PEAK,
            why=f"run on demand from {whole.middle.start:%d %b %H:%M} UTC on, when it is cheapest",
            risk="it starts late: what goes wrong then has less time to be mended",
            change=change,
        )
    pieces = _in_pieces(ask)
    if pieces is not None and len(pieces.middle.stretches) > 1:
        pauses = len(pieces.middle.stretches) - 1
        yield pieces.option(
            ask,
            kind=Kind.PIECES,
            why=f"run on demand while it is cheap, with {pauses} changes at a checkpoint",
            risk=f"each change loses {show_duration(ask.changeover_s)}, more without a checkpoint",
            change=change,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    """Schedules for the lower, the middle and the upper work."""

    low: Schedule
    middle: Schedule
    high: Schedule

    def option(
        self, ask: PlanAsk, *, kind: Kind, why: str, risk: str, change: Mapping[str, str]
    ) -> PlanOption:
        cost_usd = UsdRange(
            p10=quantize_usd(self.low.usd),
            p50=quantize_usd(self.middle.usd),
            p90=quantize_usd(self.high.usd),
        )
        hold_usd = ask.hold_usd(cost_usd.p90)
        flavors = dict.fromkeys(stretch.offer for stretch in self.middle.stretches)
        return PlanOption(
            kind=kind,
            flavor="+".join(flavors),
            capacity=Capacity.ON_DEMAND,
            start=self.middle.start,
            finish=Moments(p10=self.low.end, p50=self.middle.end, p90=self.high.end),
            cost_usd=cost_usd,
            hold_usd=hold_usd,
            meets_deadline=ask.in_time(self.high.end),
            fits_budget=ask.affordable(hold_usd),
            why=why,
            risk=risk,
            change=change,
            stretches=self.middle.stretches,
        )


def _ranged(ask: PlanAsk, schedule: Callable[[float], Schedule]) -> _Range:
    time = ask.time
    return _Range(low=schedule(time.p10), middle=schedule(time.p50), high=schedule(time.p90))


def _in_one_piece(ask: PlanAsk) -> _Range | None:
    """Return one start for all of the range: how long it takes is not known before."""
    found = [
        (schedule.usd, schedule.start, offer)
        for offer in ask.offers
        if (schedule := _start(offer, ask)) is not None
    ]
    if not found:
        return None
    _, start, offer = min(found, key=lambda one: one[:2])
    start_s = (start - ask.now).total_seconds()
    return _ranged(ask, lambda work_s: _piece(offer, ask, start_s=start_s, work_s=work_s))


def _start(offer: Offer, ask: PlanAsk) -> Schedule | None:
    return cheapest_start(offer, work_s=ask.time.p90, now=ask.now, deadline=ask.horizon)


def _piece(offer: Offer, ask: PlanAsk, *, start_s: float, work_s: float) -> Schedule:
    start = ask.now + timedelta(seconds=start_s)
    end = start + timedelta(seconds=work_s)
    stretch = Stretch(offer=offer.name, start=start, end=end)
    return Schedule(stretches=(stretch,), usd=offer.usd(start, end))


def _in_pieces(ask: PlanAsk) -> _Range | None:
    def pieces(work_s: float) -> Schedule | None:
        return cheapest_schedule(
            ask.offers,
            work_s=work_s,
            now=ask.now,
            deadline=ask.horizon,
            restart_s=ask.changeover_s,
        )

    low, middle, high = pieces(ask.time.p10), pieces(ask.time.p50), pieces(ask.time.p90)
    if low is None or middle is None or high is None:
        return None
    return _Range(low=low, middle=middle, high=high)
