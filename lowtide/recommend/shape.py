"""A run as its price sees it: stretches of time on some capacity, and what was asked for.

Every saving is the price of the run as it was minus the price of a changed one, so it is exact for
this run, tariff windows included, and a combination of changes is priced like any other run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from lowtide.job import Priority
from lowtide.legs import Capacity
from lowtide.prices import Demand, PriceBook, price
from lowtide.recommend.record import RunRecord
from lowtide.slots import cheapest_slots


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """An unbroken time on one kind of capacity.

    Attributes:
        start: Aware.
        duration_s: Seconds, >= 0.
        capacity: On which terms.
    """

    start: datetime
    duration_s: float
    capacity: Capacity


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A run, priced by where and when it ran. Every method returns a changed one.

    Attributes:
        stretches: Oldest first.
        demand: What was asked for; each stretch sets its own capacity.
    """

    stretches: tuple[Stretch, ...]
    demand: Demand

    @classmethod
    def of(cls, record: RunRecord) -> "Shape":
        """Return the run as it was."""
        return cls(
            stretches=tuple(
                Stretch(
                    start=leg.started_at,
                    duration_s=max(0.0, (leg.ended_at - leg.started_at).total_seconds()),
                    capacity=leg.capacity or Capacity.ON_DEMAND,
                )
                for leg in record.legs
            ),
            demand=Demand.of(record.job, Capacity.ON_DEMAND),
        )

    @property
    def duration_s(self) -> float:
        """Seconds of running, waiting between stretches left out."""
        return sum(stretch.duration_s for stretch in self.stretches)

    @property
    def end(self) -> datetime:
        """When the last stretch ends."""
        last = self.stretches[-1]
        return last.start + timedelta(seconds=last.duration_s)

    def cost_usd(self, book: PriceBook) -> Fraction:
        """Return the price of all stretches, US dollars, exact.

        Raises:
            PriceUnknownError: a part of the time has no price.
            BadInputError: the book does not have the flavor, or not on these terms.
        """
        return sum(
            (
                price(
                    book,
                    replace(self.demand, capacity=stretch.capacity),
                    start=stretch.start,
                    end=stretch.start + timedelta(seconds=stretch.duration_s),
                )
                for stretch in self.stretches
            ),
            Fraction(0),
        )

    def scaled(self, factor: float) -> "Shape":
        """Return the run with each stretch so many times as long, from the same start."""
        return replace(
            self,
            stretches=tuple(
                replace(stretch, duration_s=stretch.duration_s * factor)
                for stretch in self.stretches
            ),
        )

    def cut(self, seconds: float) -> "Shape":
        """Return the run without its last seconds."""
        return replace(self, stretches=tuple(self._first(self.duration_s - seconds)))

    def longer(self, seconds: float) -> "Shape":
        """Return the run with its last stretch longer."""
        *before, last = self.stretches
        longer = replace(last, duration_s=last.duration_s + seconds)
        return replace(self, stretches=(*before, longer))

    def on_spot(self) -> "Shape":
        """Return the run with all of it on spot."""
        return replace(
            self,
            stretches=tuple(
                replace(stretch, capacity=Capacity.SPOT) for stretch in self.stretches
            ),
        )

    def asking(
        self,
        *,
        gpus: int | None = None,
        cpus: Decimal | None = None,
        memory_gib: Decimal | None = None,
        priority: Priority | None = None,
    ) -> "Shape":
        """Return the run with another request; None leaves a part as it is."""
        demand = self.demand
        return replace(
            self,
            demand=replace(
                demand,
                gpus=demand.gpus if gpus is None else gpus,
                cpus=demand.cpus if cpus is None else cpus,
                memory_gib=demand.memory_gib if memory_gib is None else memory_gib,
                priority=demand.priority if priority is None else priority,
            ),
        )

    def at_cheapest(self, book: PriceBook, *, restart_s: float = 0.0) -> "Shape":
        """Return the run laid out on the lowest rates after its start, with pauses between.

        Where part of it ran on another capacity than the first stretch, or a year has too few
        cheap hours, it stays as it is.
        """
        if len({stretch.capacity for stretch in self.stretches}) != 1:
            return self
        capacity = self.stretches[0].capacity
        slots = cheapest_slots(
            book,
            replace(self.demand, capacity=capacity),
            now=self.stretches[0].start,
            duration_s=self.duration_s,
            restart_s=restart_s,
        )
        if not slots:
            return self
        return replace(
            self,
            stretches=tuple(
                Stretch(start=slot.start, duration_s=slot.duration_s, capacity=capacity)
                for slot in slots
            ),
        )

    def _first(self, seconds: float) -> Iterator[Stretch]:
        for number, stretch in enumerate(self.stretches):
            kept_s = min(stretch.duration_s, max(0.0, seconds))
            seconds -= stretch.duration_s
            # The first stays even if nothing is left of it: a run has a start.
            if kept_s > 0 or number == 0:
                yield replace(stretch, duration_s=kept_s)
