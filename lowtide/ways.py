"""Ways to run a job that has not started: when, on what, how large a batch, how many epochs.

Each way is priced exactly for what it settles. One that settles no time is priced at the dearest
rate of the week, so it is right whenever the job runs; one that keeps to the lowest rate, by the
slots that it would run in.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

from lowtide.forecast import TimeForecast, Unstarted
from lowtide.job import Priority, TrainingJob
from lowtide.legs import Capacity
from lowtide.limits import SKEW_S
from lowtide.money import UsdRange, quantize_usd
from lowtide.prices import Demand, PriceBook
from lowtide.slots import Slot, at_dearest, cheapest_slots, dearest_rate, price_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to run.

    Attributes:
        epochs: Epochs to train.
        batch_size: Samples in one step.
        capacity: On demand or spot.
        off_peak: Whether it runs only while the rate is lowest.
        kind: What it changes, each part.
        why: What it does and assumes, each part.
        change: Keys of the job file and their new values.
    """

    epochs: int
    batch_size: int
    capacity: Capacity = Capacity.ON_DEMAND
    off_peak: bool = False
    kind: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    change: Mapping[str, int | str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def changes_training(self) -> bool:
        """Whether it trains otherwise than asked, not only at another time or place."""
        return not {"epochs", "batch_size"}.isdisjoint(self.change)

    def also(self, kind: str, why: str, **change: int | str) -> "Way":
        """Return the way with one more change told; the caller makes it."""
        return replace(
            self,
            kind=(*self.kind, kind),
            why=(*self.why, why),
            change={**self.change, **change},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """A moment with its doubt, aware UTC."""

    p10: datetime
    p50: datetime
    p90: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a way takes and costs.

    Attributes:
        time: How long it runs.
        start: When it starts.
        finish: When it would be done.
        cost_usd: What it costs, US dollars.
        hold_usd: What must be set aside for it, US dollars: the upper forecast, with the time that
            it has to end.
    """

    time: TimeForecast
    start: datetime
    finish: Moments
    cost_usd: UsdRange
    hold_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A job, and what its ways are priced with.

    Attributes:
        job: What is to be trained.
        book: The prices.
        now: Aware; nothing starts before.
        known: What is known of its epochs.
    """

    job: TrainingJob
    book: PriceBook
    now: datetime
    known: Unstarted

    @property
    def margin_s(self) -> float:
        """Seconds that a leg may run beyond its work: its grace, and clocks that differ."""
        return self.job.checkpoint.grace_s + SKEW_S

    def demand(self, way: Way) -> Demand:
        """Return what a way asks for."""
        return Demand.of(self.job, way.capacity)

    def quote(self, way: Way) -> Quote | None:
        """Price a way.

        Args:
            way: How to run.

        Returns:
            What it takes and costs; None where a year has too few slots for it.

        Raises:
            PriceUnknownError: a part of the time has no price.
            BadInputError: the book does not have the flavor, or not on these terms.
        """
        return self._in_slots(way) if way.off_peak else self.quote_any_time(way)

    def epochs_that_fit(self, way: Way, *, budget_usd: Decimal) -> int:
        """Return how many epochs a way can train so that its hold fits; 0 where none does.

        Args:
            way: How to run, at no settled time.
            budget_usd: What there is, US dollars.
        """
        usd_per_h = dearest_rate(self.book, self.demand(way), now=self.now)
        each = self.known.time(epochs=1, batch_size=way.batch_size).epoch_s
        if usd_per_h == 0 or each.p90 == 0:
            return way.epochs
        lasts_s = Fraction(budget_usd) / usd_per_h * 3600 - Fraction(self.margin_s)
        return max(0, min(way.epochs, int(lasts_s / Fraction(each.p90))))

    def quote_any_time(self, way: Way) -> Quote:
        """Price a way at the dearest rate of the week.

        Args:
            way: How to run.

        Raises:
            PriceUnknownError: a part of the time has no price.
            BadInputError: the book does not have the flavor, or not on these terms.
        """
        time = self.known.time(epochs=way.epochs, batch_size=way.batch_size)
        demand, time_s = self.demand(way), time.time_remaining_s

        def usd(duration_s: float) -> Decimal:
            exact = at_dearest(self.book, demand, now=self.now, duration_s=duration_s)
            return quantize_usd(exact)

        return Quote(
            time=time,
            start=self.now,
            finish=Moments(
                p10=self.now + timedelta(seconds=time_s.p10),
                p50=self.now + timedelta(seconds=time_s.p50),
                p90=self.now + timedelta(seconds=time_s.p90),
            ),
            cost_usd=UsdRange(p10=usd(time_s.p10), p50=usd(time_s.p50), p90=usd(time_s.p90)),
            hold_usd=usd(time_s.p90 + self.margin_s),
        )

    def _in_slots(self, way: Way) -> Quote | None:
        time = self.known.time(epochs=way.epochs, batch_size=way.batch_size)
        demand, time_s = self.demand(way), time.time_remaining_s

        def slots(duration_s: float) -> tuple[Slot, ...]:
            found = cheapest_slots(self.book, demand, now=self.now, duration_s=duration_s)
            return found or ()

        def usd(laid_out: tuple[Slot, ...]) -> Decimal:
            return quantize_usd(price_of(self.book, demand, laid_out))

        low, middle, high = slots(time_s.p10), slots(time_s.p50), slots(time_s.p90)
        held = slots(time_s.p90 + self.margin_s)
        if not (low and middle and high and held):
            return None
        return Quote(
            time=time,
            start=middle[0].start,
            finish=Moments(p10=low[-1].end, p50=middle[-1].end, p90=high[-1].end),
            cost_usd=UsdRange(p10=usd(low), p50=usd(middle), p90=usd(high)),
            hold_usd=usd(held),
        )


def other_ways(question: Question, asked: Way, *, budget_usd: Decimal) -> Iterator[Way]:
    """Yield the ways that might cost less: each change alone, then together.

    Args:
        question: The job.
        asked: The way it was asked for.
        budget_usd: What there is, US dollars.

    Yields:
        Ways, not priced yet.
    """
    schedules = [*_on_spot(question, asked), *_off_peak(question, asked)]
    yield from schedules
    for way in (asked, *schedules):
        yield _larger_batch(question, way)
    yield from _fewer_epochs(question, asked, budget_usd=budget_usd)


def _on_spot(question: Question, way: Way) -> Iterator[Way]:
    flavor = question.book.flavor(question.job.resources.flavor)
    if flavor.spot is None:
        return
    rate = flavor.interruption_rate
    risk = "" if rate is None else f" ({100 * float(rate):g} % of runs are interrupted)"
    why = f"run on spot{risk}, resuming from a checkpoint"
    yield replace(way.also("spot", why, capacity="spot"), capacity=Capacity.SPOT)


def _off_peak(question: Question, way: Way) -> Iterator[Way]:
    # What is urgent is never deferred for its price.
    if question.job.priority is not Priority.URGENT:
        why = "run only while the rate is lowest, pausing at a checkpoint in between"
        yield replace(way.also("off-peak", why, policy="off-peak"), off_peak=True)


def _larger_batch(question: Question, way: Way) -> Way:
    size = 2 * way.batch_size
    basis = question.known.model.stated(size) or "measured on past runs"
    why = f"double the batch to {size} ({basis}; what it does to convergence is unknown)"
    return replace(way.also("batch-size", why, batch_size=size), batch_size=size)


def _fewer_epochs(question: Question, way: Way, *, budget_usd: Decimal) -> Iterator[Way]:
    epochs = question.epochs_that_fit(way, budget_usd=budget_usd)
    if 0 < epochs < way.epochs:
        why = f"train {epochs} of the {way.epochs} epochs"
        yield replace(way.also("epochs", why, epochs=epochs), epochs=epochs)
