"""The cheapest way through known tariffs: an exact dynamic programme over time, work and capacity.

Time is cut into steps, but the programme does not walk them one by one. While no rate changes there
is nothing to decide in the middle: of two runs in one such stretch either can be moved to the other,
which saves a restart, and of two offers the cheaper can take over from the start. So a plan is made
of few moves for each stretch (wait, run through, run its first steps, run its last steps, run some
steps and pause), and "how many steps" is the least value in a sliding window. That is as exact as
walking every step, and some hundred times faster.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = NDArray[np.float64]

STEP_S = 300.0
"""Five minutes: plans are no finer than this."""

_HOUR_S = 3600
_MICROSECOND = timedelta(microseconds=1)
_ALMOST_S = 1e-6
_UNIT_USD = 1e-9
"""What the programme counts in. Sums of whole numbers are exact, so what costs the same is a tie."""


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
        # Added up by denominator: a sum of fractions looks for a common divisor at each step.
        parts: dict[int, int] = {}
        for number in range(bisect_right(self.rates, start, key=_end_of), len(self.rates)):
            rate = self.rates[number]
            if rate.start >= end:
                break
            span = min(end, rate.end) - max(start, rate.start)
            top, bottom = rate.usd_per_h.as_integer_ratio()
            parts[bottom] = parts.get(bottom, 0) + top * (span // _MICROSECOND)
        total = sum((Fraction(top, bottom) for bottom, top in parts.items()), Fraction(0))
        return total / (_HOUR_S * 1_000_000)


def _end_of(rate: Rate) -> datetime:
    return rate.end


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
    """Return what an hour costs in each step, in the programme's unit, as whole numbers."""
    edges_s = np.array([(rate.end - now).total_seconds() for rate in offer.rates])
    usd_per_h = np.array([float(rate.usd_per_h) for rate in offer.rates])
    begins_s = np.maximum(np.concatenate([[-np.inf], edges_s[:-1]]), 0.0)
    paid = np.concatenate([[0.0], np.cumsum(np.maximum(edges_s - begins_s, 0.0) * usd_per_h)])
    times_s = np.arange(steps + 1) * step_s
    costs = np.diff(np.interp(times_s, np.concatenate([[0.0], np.maximum(edges_s, 0.0)]), paid))
    return np.round(costs / (step_s * _UNIT_USD))


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


class _Tape:
    """The programme, solved backwards stretch by stretch, and then followed forwards.

    A start adds `restart` steps of work, which is the same as losing them. What is kept is the
    least cost from the beginning of a stretch to the end, in three tables:

    - `_paused` by stretch and steps of work left, when nothing runs any more;
    - `_started` likewise when an offer is started in this stretch;
    - `_running` by stretch, offer and steps left, while an offer runs.

    Each row begins with `_room` entries that mean nothing, so that a window may reach before it, and
    all rows of a stretch can be gone over as one line.
    """

    def __init__(self, costs: Values, *, work: int, restart: int) -> None:
        changes = np.flatnonzero((costs[:, 1:] != costs[:, :-1]).any(axis=0)) + 1
        edges = [0, *changes.tolist(), costs.shape[1]]
        self._spans = list(pairwise(edges))
        self._costs = costs
        self._work, self._restart = work, restart
        self._most = work + restart
        self._room = min(max(end - begin for begin, end in self._spans), self._most)
        # One piece of memory for each table: to ask for it stretch by stretch costs more than to fill it.
        stretches, offers, width = len(self._spans), len(costs), self._room + self._most + 1
        self._fresh = [np.inf] * (stretches + 1)
        self._paused = np.zeros((stretches + 1, width))
        self._started = np.empty((stretches + 1, width))
        self._running = np.empty((stretches + 1, offers, width))
        self._left = np.arange(width, dtype=np.float64) - self._room
        self._spent = np.empty((offers, width))
        self._scratch = np.zeros((3, 2, offers, width))
        self._paused[-1] = np.where(self._left == 0, 0.0, np.inf)
        self._running[-1] = self._paused[-1]
        for number in reversed(range(stretches)):
            self._solve(number)

    def _solve(self, number: int) -> None:
        begin, end = self._spans[number]
        room, steps = self._room, min(end - begin, self._room)
        later, now = self._running[number + 1], self._running[number]
        spent = np.multiply.outer(self._costs[:, begin], self._left, out=self._spent)
        # Row f: run some steps on f, then pause; or, below, run the last steps on f and go on.
        gains, *spare = self._scratch
        np.subtract(self._paused[number + 1], spent, out=gains[0])
        np.subtract(later, spent, out=gains[1])
        gains[..., :room] = np.inf
        some, last = _least_before(gains, steps, spare=spare)
        # To run first steps and pause is no cheaper than to run the last: what runs can pause.
        last += spent
        started = np.minimum.reduce(last, out=self._started[number])
        paused = self._paused[number]
        paused[:] = self._paused[number + 1]
        first, reach = room, room + self._work + 1
        np.minimum(paused[first:reach], started[first + self._restart :], out=paused[first:reach])
        # Or run through on f, the longest of the windows.
        line = some.ravel()[steps:]
        np.minimum(line, gains[1].ravel()[:-steps], out=line)
        np.add(some, spent, out=now)
        np.minimum(now, paused, out=now)
        self._fresh[number] = min(self._fresh[number + 1], float(started[room + self._work]))

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
        room, rates = self._room, self._costs[:, begin].tolist()
        paused = self._paused[number + 1, room:]
        running = self._running[number + 1, :, room:]
        least = self._fresh[number] if fresh else self._paused[number, room + left]
        if holding is not None:
            least = self._running[number, holding, room + left]
            ran = min(left, end - begin)
            cost = rates[holding] * ran + float(running[holding, left - ran])
            yield cost, (holding, begin, begin + ran), left - ran, holding
            cost, ran = _best(paused, left, end - begin, rate=rates[holding])
            if ran:
                yield cost, (holding, begin, begin + ran), left - ran, None
        owed = left if fresh else left + self._restart
        if owed <= self._most and self._started[number, room + owed] <= least:
            for offer, rate in enumerate(rates):
                cost, ran = _best(paused, owed, end - begin, rate=rate)
                if ran:
                    yield cost, (offer, begin, begin + ran), owed - ran, None
            for offer, rate in enumerate(rates):
                cost, ran = _best(running[offer], owed, end - begin, rate=rate)
                yield cost, (offer, end - ran, end) if ran else None, owed - ran, offer
        yield self._fresh[number + 1] if fresh else float(paused[left]), None, left, None


def _best(after: Values, left: int, steps: int, *, rate: float) -> tuple[float, int]:
    """Return the least cost of running some steps of a stretch and what follows, and how many."""
    most = min(left, steps)
    costs = rate * np.arange(most + 1) + after[left - most : left + 1][::-1]
    ran = int(np.argmin(costs))
    return float(costs[ran]), ran


def _least_before(values: Values, steps: int, *, spare: Sequence[Values]) -> Values:
    """Return the least of each entry and the `steps` before it, along all rows end to end.

    The least of a window is that of two windows half as long, so the windows are doubled. An
    algorithm that is linear in the entries compares less and takes longer: here each pass goes
    over one unbroken line.

    Args:
        values: Rows that begin with `steps` entries of infinity; there the answer means nothing.
        steps: At least 1.
        spare: Two like it, written over; the answer is one of them.
    """
    least, width = values.ravel(), 1
    wider, other = (one.ravel() for one in spare)
    while width <= steps:
        shift = min(width, steps + 1 - width)
        np.minimum(least[shift:], least[:-shift], out=wider[shift:])
        least, wider, other = wider, other, wider
        width += shift
    return least.reshape(values.shape)
