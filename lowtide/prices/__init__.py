"""Prices: a versioned book, exact pricing of any stretch of time, and its exact inverse.

book = parse_book(document, source="prices.yaml")
demand = Demand.of(job, Capacity.ON_DEMAND)
price(book, demand, start=start, end=end)                   exact US dollars
segments(book, demand, start=start, end=end)                the same, in parts of one rate
lasts(book, demand, start=start, usd=1, horizon=A_DAY)      how long the money lasts
"""

from lowtide.prices.errors import PriceUnknownError
from lowtide.prices.parse import book_schema, parse_book
from lowtide.prices.pricing import PricedSegment, lasts, price, price_micro, segments
from lowtide.prices.records import (
    Demand,
    Flavor,
    Multipliers,
    PriceBook,
    PricePoint,
    Rates,
    Series,
    Sheet,
    Window,
)
from lowtide.prices.upcoming import TariffWindow, next_window, windows_between

__all__ = [
    "Demand",
    "Flavor",
    "Multipliers",
    "PriceBook",
    "PricePoint",
    "PriceUnknownError",
    "PricedSegment",
    "Rates",
    "Series",
    "Sheet",
    "TariffWindow",
    "Window",
    "book_schema",
    "lasts",
    "next_window",
    "parse_book",
    "price",
    "price_micro",
    "segments",
    "windows_between",
]
