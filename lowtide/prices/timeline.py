"""The exact integral of a price along a year, and its exact inverse; whole numbers throughout.

A rate is constant between edges, so what a demand has cost since New Year is piecewise linear. It is
tabulated at the edges in the largest unit that makes every rate a whole number of units per
microsecond. Then a price is two look-ups and a subtraction, how long money lasts is one look-up and
one floor division, and neither rounds.
"""

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from math import floor, lcm
from operator import attrgetter

from lowtide.money import micro_of
from lowtide.prices.errors import PriceUnknownError
from lowtide.prices.instants import HOUR_US, from_us
from lowtide.prices.records import Demand, PriceBook
from lowtide.prices.stretches import Stretch, stretches


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What a demand costs along one UTC year.

    Attributes:
        whose: What is priced, for messages.
        stretches: They cover the year; neighbours differ.
        starts_us: Their starts.
        unit_per_us: Their rates, in units per microsecond; 0 where unknown.
        spent: Units spent since New Year, at each start and at the end of the year.
        unknowns: Number of unknown stretches before each start and before the end of the year.
        unit_per_usd: Units that make one US dollar.
    """

    whose: str
    stretches: tuple[Stretch, ...]
    starts_us: tuple[int, ...]
    unit_per_us: tuple[int, ...]
    spent: tuple[int, ...]
    unknowns: tuple[int, ...]
    unit_per_usd: int

    @property
    def end_us(self) -> int:
        """Where the next year begins."""
        return self.stretches[-1].end_us

    def usd(self, start_us: int, end_us: int) -> Fraction:
        """Return the exact price of a part of the year, US dollars.

        Raises:
            PriceUnknownError: a part of it has no price.
        """
        self.refuse_unknown(start_us, end_us)
        return Fraction(self._spent_at(end_us) - self._spent_at(start_us), self.unit_per_usd)

    def micro_usd(self, start_us: int, end_us: int) -> int:
        """Return the price of a part of the year, rounded to whole micro-dollars.

        Raises:
            PriceUnknownError: a part of it has no price.
        """
        self.refuse_unknown(start_us, end_us)
        return micro_of(self._spent_at(end_us) - self._spent_at(start_us), self.unit_per_usd)

    def reach(self, start_us: int, *, usd: Fraction, until_us: int) -> int:
        """Return the last moment, `until_us` at most, up to which the money pays.

        Raises:
            PriceUnknownError: the money is not used up when the price becomes unknown.
        """
        target = self._spent_at(start_us) + floor(usd * self.unit_per_usd)
        at = bisect_right(self.spent, target) - 1
        reached_us = until_us
        if at < len(self.stretches):
            # The rate is not 0 here, else the next entry would not exceed the target.
            left = (target - self.spent[at]) // self.unit_per_us[at]
            reached_us = min(until_us, self.starts_us[at] + left)
        self.refuse_unknown(start_us, reached_us)
        return reached_us

    def between(self, start_us: int, end_us: int) -> tuple[Stretch, ...]:
        """Return the stretches within a part of the year, clipped to it."""
        first, last = self._at(start_us), self._at(end_us - 1)
        found = list(self.stretches[first : last + 1])
        found[0] = found[0]._replace(start_us=start_us)
        found[-1] = found[-1]._replace(end_us=end_us)
        return tuple(found)

    def refuse_unknown(self, start_us: int, end_us: int) -> None:
        """Raise where a part of the year's part has no price.

        Raises:
            PriceUnknownError: it says from when on, and why.
        """
        if start_us >= end_us or not self.unknowns[-1]:
            return
        first, last = self._at(start_us), self._at(end_us - 1)
        if self.unknowns[first] == self.unknowns[last + 1]:
            return
        parts = self.between(start_us, end_us)
        unknown = next(stretch for stretch in parts if stretch.usd_per_h is None)
        since = from_us(unknown.start_us)
        msg = f"{self.whose} has no price at {since.isoformat()}: {unknown.why}"
        raise PriceUnknownError(msg, at=since, remedy=_REMEDY)

    def _at(self, instant_us: int) -> int:
        return bisect_right(self.starts_us, instant_us) - 1

    def _spent_at(self, instant_us: int) -> int:
        at = self._at(instant_us)
        return self.spent[at] + self.unit_per_us[at] * (instant_us - self.starts_us[at])


_REMEDY = "add the price to the price book, or choose another time, flavor or capacity"


@lru_cache(maxsize=256)
def timeline(book: PriceBook, demand: Demand, year: int) -> Timeline:
    """Tabulate what a demand costs along a UTC year.

    Raises:
        BadInputError: no version of the book has the flavor.
    """
    found = _merged(book, demand, year)
    scale = lcm(*(stretch.usd_per_h.denominator for stretch in found if stretch.usd_per_h))
    unit_per_us = tuple(int((stretch.usd_per_h or 0) * scale) for stretch in found)
    lengths_us = (stretch.end_us - stretch.start_us for stretch in found)
    costs = (unit * length for unit, length in zip(unit_per_us, lengths_us, strict=True))
    unknown = (stretch.usd_per_h is None for stretch in found)
    return Timeline(
        whose=f"flavor {demand.flavor!r} on {demand.capacity.value}",
        stretches=found,
        starts_us=tuple(map(attrgetter("start_us"), found)),
        unit_per_us=unit_per_us,
        spent=tuple(accumulate(costs, initial=0)),
        unknowns=tuple(accumulate(map(int, unknown), initial=0)),
        unit_per_usd=scale * HOUR_US,
    )


def _merged(book: PriceBook, demand: Demand, year: int) -> tuple[Stretch, ...]:
    merged: list[Stretch] = []
    for stretch in stretches(book, demand, year=year):
        if merged and merged[-1][2:] == stretch[2:]:
            merged[-1] = merged[-1]._replace(end_us=stretch.end_us)
        else:
            merged.append(stretch)
    return tuple(merged)
