"""The price of a demand along a year: stretches of one rate. What nobody knows is a stretch too.

Two steps. First the GPU's own price is laid out, by tariff windows, by a market series, or as one
fixed rate; then one formula turns each stretch's price into that of the whole demand.
"""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from lowtide.legs import Capacity
from lowtide.prices.instants import BEGINNING, HOUR_US, to_us, year_bounds_us
from lowtide.prices.records import Demand, PriceBook, Rates, Series, Sheet
from lowtide.prices.windows import spans_between


class Stretch(NamedTuple):
    """A stretch of time at one rate.

    Attributes:
        start_us: Microseconds since 1970.
        end_us: Likewise, later.
        usd_per_h: US dollars per hour of the whole demand; None: unknown.
        window: Name of the tariff window; "spot" or "market" where windows do not matter.
        version: Version of the sheet; empty where none is in force.
        why: What is missing where the rate is unknown.
    """

    start_us: int
    end_us: int
    usd_per_h: Fraction | None
    window: str = ""
    version: str = ""
    why: str = ""


def stretches(book: PriceBook, demand: Demand, *, year: int) -> Iterator[Stretch]:
    """Yield the stretches that cover a UTC year, in order.

    Args:
        book: The prices.
        demand: What is priced.
        year: UTC year.

    Yields:
        Stretches without gap or overlap; neighbours may have the same rate.

    Raises:
        BadInputError: no version of the book has the flavor.
    """
    book.flavor(demand.flavor)
    cursor_us, year_end_us = year_bounds_us(year)
    for sheet, from_us_, until_us in in_force(book):
        start_us, end_us = max(cursor_us, from_us_), min(year_end_us, until_us)
        if start_us >= end_us:
            continue
        if cursor_us < start_us:
            yield Stretch(cursor_us, start_us, None, why=_NOT_IN_FORCE)
        yield from _of_sheet(sheet, demand, start_us=start_us, end_us=end_us)
        cursor_us = end_us
    if cursor_us < year_end_us:
        yield Stretch(cursor_us, year_end_us, None, why=_NOT_IN_FORCE)


def in_force(book: PriceBook) -> Iterator[tuple[Sheet, int, int]]:
    """Yield each sheet with the moments from and until which it is in force, oldest first."""
    starts_us = [to_us(sheet.effective_from) for sheet in book.sheets]
    bounds_us = pairwise((*starts_us, _FOREVER_US))
    for sheet, (start_us, next_us) in zip(book.sheets, bounds_us, strict=True):
        until = sheet.effective_until
        yield sheet, start_us, min(next_us, to_us(until)) if until else next_us


class _GpuPrice(NamedTuple):
    start_us: int
    end_us: int
    usd_per_h: Decimal | None
    multiplier: Decimal = Decimal(1)
    window: str = ""
    why: str = ""


_NOT_IN_FORCE = "no version of the prices is in force"
_FOREVER_US = year_bounds_us(9999)[1]
_TERMS = {Capacity.SPOT: "spot", Capacity.ON_DEMAND: "market"}


def _of_sheet(sheet: Sheet, demand: Demand, *, start_us: int, end_us: int) -> Iterator[Stretch]:
    flavor = sheet.flavor(demand.flavor)
    rates = flavor.rates(demand.capacity) if flavor else None
    if rates is None:
        why = f"version {sheet.version!r} has no {demand.capacity.value} price for it"
        yield Stretch(start_us, end_us, None, version=sheet.version, why=why)
        return
    priority = sheet.multipliers.of(demand.priority)

    @cache
    def usd_per_h(gpu_usd_per_h: Decimal, multiplier: Decimal) -> Fraction:
        resources = (
            Fraction(gpu_usd_per_h) * demand.gpus
            + Fraction(rates.cpu_usd_per_core_h) * Fraction(demand.cpus)
            + Fraction(rates.memory_usd_per_gib_h) * Fraction(demand.memory_gib)
        )
        return resources * Fraction(multiplier) * Fraction(priority)

    for gpu in _gpu_prices(rates, sheet, start_us=start_us, end_us=end_us):
        known = None if gpu.usd_per_h is None else usd_per_h(gpu.usd_per_h, gpu.multiplier)
        window = gpu.window or _TERMS[demand.capacity]
        yield Stretch(gpu.start_us, gpu.end_us, known, window, sheet.version, gpu.why)


def _gpu_prices(rates: Rates, sheet: Sheet, *, start_us: int, end_us: int) -> Iterator[_GpuPrice]:
    gpu = rates.gpu_usd_per_h
    if isinstance(gpu, Series):
        yield from _of_series(gpu, start_us=start_us, end_us=end_us)
    elif rates.follows_windows:
        for span in spans_between(sheet.zone, sheet.windows, start_us=start_us, end_us=end_us):
            window = span.window
            yield _GpuPrice(span.start_us, span.end_us, gpu, window.multiplier, window.name)
    else:
        yield _GpuPrice(start_us, end_us, gpu)


def _of_series(series: Series, *, start_us: int, end_us: int) -> Iterator[_GpuPrice]:
    for change, following in pairwise((*_changes(series), _Change(end_us, None, ""))):
        from_us_, until_us = max(start_us, change.at_us), min(end_us, following.at_us)
        if from_us_ < until_us:
            yield _GpuPrice(from_us_, until_us, change.usd_per_h, why=change.why)


class _Change(NamedTuple):
    at_us: int
    usd_per_h: Decimal | None
    why: str


def _changes(series: Series) -> Iterator[_Change]:
    """Yield each moment at which the series' price changes, becomes known, or no longer is."""
    yield _Change(to_us(BEGINNING), None, "its price series begins later")
    stale_us = int(series.stale_after_h * HOUR_US)
    for point, following in zip(series.points, (*series.points[1:], None), strict=True):
        at_us = to_us(point.at)
        if point.usd_per_h is None:
            yield _Change(at_us, None, "its price series has a gap")
            continue
        yield _Change(at_us, min(point.usd_per_h, series.max_usd_per_h), "")
        if following is None or to_us(following.at) > at_us + stale_us:
            why = f"its last price is older than {series.stale_after_h} h"
            yield _Change(at_us + stale_us, None, why)
