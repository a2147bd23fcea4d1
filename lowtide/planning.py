"""The cheapest way through known tariffs: an exact dynamic programme over time, work and capacity.

Time is cut into steps, but the programme does not walk them one by one. While no rate changes there
is nothing to decide in the middle: of two runs in one such stretch either can be moved to the other,
which saves a restart, and of two offers the cheaper can take over from the start. So a plan is made
of few moves for each stretch (wait, run through, run its first steps, run its last steps, run some
steps and pause), and "how many steps" is the least value in a sliding window. That is as exact as
walking every step, and some hundred times faster.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = NDArray[np.float64]

STEP_S = 300.0
"""Five minutes: plans are no finer than this."""

_HOUR_S = 3600
_ALMOST_S = 1e-6


class Rate(Protocol):
    """A stretch of one rate; `lowtide.prices.PricedSegment` is one."""

    @property
    def start(self) -> datetime:
        """When it begins."""
        ...

    @property
    def end(self) -> datetime:
        """When it ends."""
        ...

    @property
    def usd_per_h(self) -> Fraction:
        """What an hour costs."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Capacity that is there at known rates.

    Attributes:
        name: What it is.
        rates: Rates in order, without gaps, over the whole time that is planned.
    """

    name: str
    rates: Sequence[Rate]

    def usd(self, start: datetime, end: datetime) -> Fraction:
        """Return what it costs from one moment to another, exact."""
        total = Fraction(0)
        for rate in self.rates:
            span = min(end, rate.end) - max(start, rate.start)
            if span > timedelta(0):
                total += rate.usd_per_h * Fraction(span // timedelta(microseconds=1))
        return total / (_HOUR_S * 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """One unbroken run on one offer.

    Attributes:
        offer: Name of the offer.
        start: Aware.
        end: Aware, later.
    """

    offer: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When to run on what.

    Attributes:
        stretches: In order.
        usd: What they cost, US dollars, exact.
    """

    stretches: tuple[Stretch, ...]
    usd: Fraction

    @property
    def start(self) -> datetime:
        """When it begins to run."""
        return self.stretches[0].start

    @property
    def end(self) -> datetime:
        """When the work is done."""
        return self.stretches[-1].end


def cheapest_schedule(
    offers: Sequence[Offer],
    *,
    work_s: float,
    now: datetime,
    deadline: datetime,
    restart_s: float = 0.0,
    step_s: float = STEP_S,
) -> Schedule | None:
    """Return the cheapest way to do the work by the deadline, in one piece or in several.

    Args:
        offers: At least one, each with rates from `now` to `deadline`.
        work_s: Seconds of running, > 0; rounded up to steps while planning.
        now: Aware; nothing runs before.
        deadline: Aware; everything is done by then.
        restart_s: Seconds lost by each start but the first, at the rate of the new offer; rounded up.
        step_s: Seconds of one step.

    Returns:
        The schedule; None where the work does not fit.
    """
    steps = int((deadline - now).total_seconds() / step_s + _ALMOST_S)
    work = max(1, int(np.ceil(work_s / step_s - _ALMOST_S)))
    at_once = _at_once(offers, work_s=work_s, now=now, deadline=deadline)
    if work > steps:
        return at_once
    tape = _Tape(
        np.stack([_costs(offer, now=now, steps=steps, step_s=step_s) for offer in offers]),
        work=work,
        restart=int(np.ceil(restart_s / step_s - _ALMOST_S)),
    )
    planned = _trimmed(
        [(offers[number], first, last) for number, first, last in tape.follow()],
        now=now,
        step_s=step_s,
        spare_s=work * step_s - work_s,
    )
    # The last step is cut to the work, so two plans that differ by less may change places.
    return planned if at_once is None else min(planned, at_once, key=lambda plan: plan.usd)


def cheapest_start(
    offer: Offer, *, work_s: float, now: datetime, deadline: datetime
) -> Schedule | None:
    """Return the cheapest way to do the work in one piece; None where it does not fit.

    One piece is cheapest where it begins or ends with a rate, or as early as it can: between those
    its cost is a straight line.
    """
    span = timedelta(seconds=work_s)
    edges = {edge for rate in offer.rates for edge in (rate.start, rate.end - span)}
    starts = sorted(start for start in edges | {now} if now <= start <= deadline - span)
    if not starts:
        return None
    best = min(starts, key=lambda start: offer.usd(start, start + span))
    stretch = Stretch(offer=offer.name, start=best, end=best + span)
    return Schedule(stretches=(stretch,), usd=offer.usd(best, best + span))


def _at_once(
    offers: Sequence[Offer], *, work_s: float, now: datetime, deadline: datetime
) -> Schedule | None:
    end = now + timedelta(seconds=work_s)
    if end > deadline:
        return None
    offer = min(offers, key=lambda one: one.usd(now, end))
    stretch = Stretch(offer=offer.name, start=now, end=end)
    return Schedule(stretches=(stretch,), usd=offer.usd(now, end))


def _costs(offer: Offer, *, now: datetime, steps: int, step_s: float) -> Values:
    """Return what each step costs, US dollars."""
    edges_s = np.array([(rate.end - now).total_seconds() for rate in offer.rates])
    usd_per_s = np.array([float(rate.usd_per_h) for rate in offer.rates]) / _HOUR_S
    begins_s = np.maximum(np.concatenate([[-np.inf], edges_s[:-1]]), 0.0)
    paid = np.concatenate([[0.0], np.cumsum(np.maximum(edges_s - begins_s, 0.0) * usd_per_s)])
    times_s = np.arange(steps + 1) * step_s
    costs = np.diff(np.interp(times_s, np.concatenate([[0.0], np.maximum(edges_s, 0.0)]), paid))
    # Steps at one rate must be equal to the last bit, or each would be a stretch of its own.
    return np.round(costs, 12)


def _trimmed(
    runs: Sequence[tuple[Offer, int, int]], *, now: datetime, step_s: float, spare_s: float
) -> Schedule:
    """Return the runs as a schedule whose last step ends with the work."""
    stretches: list[Stretch] = []
    usd = Fraction(0)
    for number, (offer, first, last) in enumerate(runs, start=1):
        start = now + timedelta(seconds=first * step_s)
        cut_s = spare_s if number == len(runs) else 0.0
        end = now + timedelta(seconds=last * step_s - cut_s)
        stretches.append(Stretch(offer=offer.name, start=start, end=end))
        usd += offer.usd(start, end)
    return Schedule(stretches=tuple(stretches), usd=usd)


Run: TypeAlias = tuple[int, int, int]
"""Number of the offer, first step, and the step after the last."""


class _Value(NamedTuple):
    """The least cost from the beginning of a stretch on.

    Attributes:
        fresh: When nothing has run yet.
        paused: By steps of work left, when nothing runs any more; shape (work,).
        running: Likewise while an offer runs; shape (offers, work).
    """

    fresh: float
    paused: Values
    running: Values


class _Tape:
    """The programme, solved backwards stretch by stretch, and then followed forwards.

    A start adds `restart` steps of work, which is the same as losing them.
    """

    def __init__(self, costs: Values, *, work: int, restart: int) -> None:
        changes = np.flatnonzero((costs[:, 1:] != costs[:, :-1]).any(axis=0)) + 1
        edges = [0, *changes.tolist(), costs.shape[1]]
        self._spans = list(pairwise(edges))
        self._costs = costs
        self._work, self._restart = work, restart
        self._size = work + restart + 1
        self._values = self._solve()

    def _solve(self) -> list[_Value]:
        paused = np.full(self._size, np.inf)
        paused[0] = 0.0
        running = np.tile(paused, (len(self._costs), 1))
        values = [_Value(np.inf, paused, running)]
        for begin, end in reversed(self._spans):
            values.append(self._back(self._costs[:, begin], end - begin, values[-1]))
        return values[::-1]

    def _back(self, rates: Values, steps: int, later: _Value) -> _Value:
        paused, running = later.paused, later.running
        left = np.arange(self._size)
        spent = rates[:, None] * left
        # Row f: run some steps on f, then pause; or, below, run the last steps on f and go on.
        some = spent + _least_before(paused - spent, steps)
        last = spent + _least_before(running - spent, steps)
        starts = np.minimum(some, last).min(axis=0)
        now_paused = paused.copy()
        reach = self._size - self._restart
        np.minimum(now_paused[:reach], starts[self._restart :], out=now_paused[:reach])
        through = np.where(left < steps, spent, np.inf)
        if steps < self._size:
            through[:, steps:] = rates[:, None] * steps + running[:, : self._size - steps]
        return _Value(
            fresh=min(later.fresh, float(starts[self._work])),
            paused=now_paused,
            running=np.minimum(np.minimum(through, some), now_paused),
        )

    def follow(self) -> list[Run]:
        """Return the cheapest runs, those that touch on one offer joined."""
        runs: list[Run] = []
        left, holding, fresh = self._work, None, True
        for number in range(len(self._spans)):
            if left == 0:
                break
            # Of equal moves the first counts: those that are done earlier come first.
            moves = self._moves(number, left=left, holding=holding, fresh=fresh)
            _, run, left, holding = min(moves, key=lambda move: move[0])
            fresh = fresh and run is None and holding is None
            if run is None:
                continue
            if runs and runs[-1][0] == run[0] and runs[-1][2] == run[1]:
                run = (run[0], runs.pop()[1], run[2])
            runs.append(run)
        return runs

    def _moves(
        self, number: int, *, left: int, holding: int | None, fresh: bool
    ) -> Iterator[tuple[float, Run | None, int, int | None]]:
        """Yield what can be done in a stretch: its cost to the end, the run, what is left, held."""
        begin, end = self._spans[number]
        later = self._values[number + 1]
        rates = self._costs[:, begin].tolist()
        if holding is not None:
            ran = min(left, end - begin)
            cost = rates[holding] * ran + float(later.running[holding, left - ran])
            yield cost, (holding, begin, begin + ran), left - ran, holding
            cost, ran = _best(later.paused, left, end - begin, rate=rates[holding])
            if ran:
                yield cost, (holding, begin, begin + ran), left - ran, None
        owed = left if fresh else left + self._restart
        if owed < self._size:
            for offer, rate in enumerate(rates):
                cost, ran = _best(later.paused, owed, end - begin, rate=rate)
                if ran:
                    yield cost, (offer, begin, begin + ran), owed - ran, None
            for offer, rate in enumerate(rates):
                cost, ran = _best(later.running[offer], owed, end - begin, rate=rate)
                yield cost, (offer, end - ran, end) if ran else None, owed - ran, offer
        yield later.fresh if fresh else float(later.paused[left]), None, left, None


def _best(after: Values, left: int, steps: int, *, rate: float) -> tuple[float, int]:
    """Return the least cost of running some steps of a stretch and what follows, and how many."""
    most = min(left, steps)
    costs = rate * np.arange(most + 1) + after[left - most : left + 1][::-1]
    ran = int(np.argmin(costs))
    return float(costs[ran]), ran


def _least_before(values: Values, steps: int) -> Values:
    """Return the least of each entry and the `steps` before it, along the last axis.

    Cut into blocks as long as the window, every window is the end of one block and the beginning
    of the next. So two running minima are enough, however long it is; SciPy's filter does the same,
    and takes longer to import than a plan to make.

    Source:
        van Herk (1992), "A fast algorithm for local minimum and maximum filters on rectangular and
        octagonal kernels".
    """
    *rows, count = values.shape
    size = min(steps, count - 1) + 1
    blocks = np.full((*rows, -(-(count + size - 1) // size), size), np.inf)
    line = blocks.reshape(*rows, -1)
    line[..., size - 1 : size - 1 + count] = values
    begins = np.minimum.accumulate(blocks, axis=-1).reshape(line.shape)
    ends = np.minimum.accumulate(blocks[..., ::-1], axis=-1)[..., ::-1].reshape(line.shape)
    return np.minimum(ends[..., :count], begins[..., size - 1 : size - 1 + count])
