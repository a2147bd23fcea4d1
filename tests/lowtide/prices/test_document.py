import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot

from lowtide.errors import BadInputError
from lowtide.legs import Capacity
from lowtide.prices import Demand, Series, Window, book_schema, parse_book, price

Document = dict[str, Any]
SCHEMA = Path(__file__).parents[3] / "docs" / "schemas" / "prices.json"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SERIES = "at,usd_per_h\n2026-11-01T00:00:00Z,0.1\n"
GOOD: Document = {
    "currency": "USD",
    "zone": "Europe/Berlin",
    "sheets": [
        {
            "version": "2026-1",
            "effective_from": "2026-01-01T00:00:00Z",
            "windows": [
                {"name": "day", "start": "06:00", "end": "22:00"},
                {"name": "night", "start": "22:00", "end": "06:00", "multiplier": 0.5},
            ],
            "flavors": {
                "a100": {
                    "on_demand": {
                        "gpu_usd_per_h": 3.5,
                        "cpu_usd_per_core_h": 0.03,
                        "memory_usd_per_gib_h": "0.004",
                    },
                    "spot": {"gpu_usd_per_h": 1, "interruption_rate": 0.05},
                }
            },
            "priority_multipliers": {"urgent": 2, "normal": 1, "background": 0.5},
            "source": "a contract",
        },
        {
            "version": "2026-2",
            "effective_from": "2026-07-01T00:00:00+02:00",
            "zone": "America/New_York",
            "flavors": {"a100": {"on_demand": {"gpu_usd_per_h": 3}}},
        },
    ],
}


def changed(change: Callable[[Document], object]) -> Document:
    document = copy.deepcopy(GOOD)
    change(document)
    return document


def sheet(document: Document) -> Document:
    return document["sheets"][0]


def flavor(document: Document) -> Document:
    return sheet(document)["flavors"]["a100"]


def window(document: Document, number: int = 0) -> Document:
    return sheet(document)["windows"][number]


def parse(document: object) -> str:
    with pytest.raises(BadInputError) as caught:
        parse_book(document, source="prices.yaml")
    return str(caught.value)


def test_a_document_makes_the_book_that_it_says() -> None:
    book = parse_book(GOOD, source="prices.yaml")

    first, second = book.sheets
    assert (book.name, book.versions, book.flavors) == (
        "prices.yaml",
        ("2026-1", "2026-2"),
        ("a100",),
    )
    assert (first.zone, first.source, second.zone) == (
        "Europe/Berlin",
        "a contract",
        "America/New_York",
    )
    assert second.effective_from == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert first.windows[1] == Window(
        name="night", start_min=22 * 60, end_min=6 * 60, multiplier=Decimal("0.5")
    )
    assert second.windows == (Window(name="all-day"),)
    assert first.multipliers.urgent == 2
    assert second.multipliers.urgent == 1
    assert book.flavor("a100").on_demand.gpu_usd_per_h == 3


def test_spot_takes_cpu_and_memory_rates_from_on_demand_unless_it_has_its_own() -> None:
    own = changed(lambda d: flavor(d)["spot"].update(cpu_usd_per_core_h=0, memory_usd_per_gib_h=0))
    demand = Demand(
        flavor="a100", capacity=Capacity.SPOT, cpus=Decimal(10), memory_gib=Decimal(100)
    )
    start = datetime(2026, 3, 1, 23, tzinfo=UTC)

    shared_usd = price(parse_book(GOOD, source="x"), demand, start=start, end=start + HOUR)
    own_usd = price(parse_book(own, source="x"), demand, start=start, end=start + HOUR)

    assert (shared_usd, own_usd) == (Fraction("1.7"), 1)


def test_a_windows_days_are_all_or_a_list_and_its_end_may_be_24_00() -> None:
    weekly = [
        {
            "name": "work",
            "days": ["mon", "tue", "wed", "thu", "fri"],
            "start": "00:00",
            "end": "24:00",
        },
        {"name": "rest", "days": ["sat", "sun"], "start": "00:00", "end": "24:00"},
    ]

    book = parse_book(changed(lambda d: sheet(d).update(windows=weekly)), source="x")

    assert [len(window.days) for window in book.sheets[0].windows] == [5, 2]


def with_series(**series: object) -> Document:
    asked = {"file": "spot.csv", "stale_after_h": 1000, **series}
    return changed(lambda d: flavor(d).update(spot={"series": asked}))


def test_a_series_is_read_through_the_callers_hands() -> None:
    asked: list[str] = []

    def read(name: str) -> str:
        asked.append(name)
        return SERIES

    book = parse_book(with_series(), source="prices.yaml", read_text=read)

    spot = book.sheets[0].flavors[0].spot
    assert asked == ["spot.csv"]
    assert spot is not None
    assert isinstance(spot.gpu_usd_per_h, Series)
    assert spot.gpu_usd_per_h.max_usd_per_h == Decimal("3.5")


def test_a_series_may_have_its_own_maximum() -> None:
    book = parse_book(with_series(max_usd_per_h=2), source="x", read_text=lambda _: SERIES)

    spot = book.sheets[0].flavors[0].spot
    assert spot is not None
    assert spot.held_gpu_usd_per_h == 2


def test_a_document_without_its_files_says_so() -> None:
    assert parse(with_series()) == snapshot(
        "spot.csv: a price series is in a file, and this document came without its files; load the price book from the folder that has the series"
    )


def test_on_demand_may_follow_a_market_too() -> None:
    series = {"file": "day-ahead.csv", "stale_after_h": 1000, "max_usd_per_h": 9}
    document = changed(lambda d: flavor(d).update(on_demand={"series": series}))

    book = parse_book(document, source="x", read_text=lambda _: SERIES)

    pinned, demand = book.pinned("2026-1"), Demand(flavor="a100")
    assert price(pinned, demand, start=NOON, end=NOON + HOUR) == Fraction("0.1")
    midnight = NOON + 12 * HOUR
    assert price(pinned.held(), demand, start=midnight, end=midnight + HOUR) == 9


FAULTS = {
    "not a mapping": (
        ["peak"],
        (
            "prices.yaml: a price book is a mapping of keys (expected a mapping with at least sheets, "
            "got a list); start from blocks/books/specification.yaml"
        ),
    ),
    "nothing": (None, "got nothing"),
    "another currency": (
        changed(lambda d: d.update(currency="EUR")),
        (
            "prices.yaml: currency: the ledger keeps US dollars (expected USD, got 'EUR'); convert the "
            "rates to USD; `lowtide schema prices` prints every key"
        ),
    ),
    "an unknown zone": (
        changed(lambda d: sheet(d).update(zone="Europe/Berlyn")),
        (
            "prices.yaml: sheets.0.zone: unknown time zone (expected an IANA name, as Europe/Berlin, "
            "got 'Europe/Berlyn'); did you mean Europe/Berlin?; `lowtide schema prices` prints every key"
        ),
    ),
    "overlapping windows": (
        changed(lambda d: window(d, 1).update(start="21:00")),
        (
            "prices.yaml: sheets.0.windows: windows 'day' and 'night' both cover mon 21:00 (expected "
            "windows that cover every minute of the week once"
        ),
    ),
    "a gap in the day": (
        changed(lambda d: window(d, 1).update(end="05:00")),
        "sheets.0.windows: no window covers mon 05:00 to mon 06:00",
    ),
    "a window without length": (
        changed(lambda d: window(d).update(start="22:00")),
        "sheets.0.windows.0: window 'day' has no length",
    ),
    "a bare time, read by YAML as a number": (
        changed(lambda d: window(d).update(end=1320)),
        (
            'sheets.0.windows.0.end: not a time of the day (expected wall time in quotes, from "00:00" '
            'to "24:00", got 1320); write it in quotes, as "22:00"'
        ),
    ),
    "no time of the day": (
        changed(lambda d: window(d).update(end="25:00")),
        "sheets.0.windows.0.end: not a time of the day",
    ),
    "an unknown day": (
        changed(lambda d: window(d).update(days=["monday"])),
        "sheets.0.windows.0.days.0: ",
    ),
    "a negative rate": (
        changed(lambda d: flavor(d)["on_demand"].update(gpu_usd_per_h=-0.1)),
        (
            "sheets.0.flavors.a100.on_demand.gpu_usd_per_h: Input should be greater than or equal to 0 "
            "(expected >= 0, got -0.1)"
        ),
    ),
    "not a number": (
        changed(lambda d: flavor(d)["on_demand"].update(gpu_usd_per_h=float("nan"))),
        "on_demand.gpu_usd_per_h: Input should be a finite number",
    ),
    "true for a number": (
        changed(lambda d: flavor(d)["on_demand"].update(gpu_usd_per_h=True)),
        "on_demand.gpu_usd_per_h: a number is expected, not true or false",
    ),
    "an unknown key": (
        changed(lambda d: flavor(d)["on_demand"].update(gpu_eur_per_h=1)),
        "sheets.0.flavors.a100.on_demand.gpu_eur_per_h: unknown key",
    ),
    "no price at all": (
        changed(lambda d: flavor(d)["on_demand"].pop("gpu_usd_per_h")),
        (
            "sheets.0.flavors.a100.on_demand: a price is either a fixed rate or a series (expected one "
            "of gpu_usd_per_h and series, got neither); give one of them; an unknown price never"
        ),
    ),
    "two prices": (
        with_series()
        | {
            "sheets": [
                changed(
                    lambda d: flavor(d)["spot"].update(series={"file": "x", "stale_after_h": 1})
                )["sheets"][0]
            ]
        },
        "sheets.0.flavors.a100.spot: a price is either a fixed rate or a series",
    ),
    "an on-demand series without a maximum": (
        changed(
            lambda d: flavor(d).update(on_demand={"series": {"file": "x", "stale_after_h": 1}})
        ),
        "sheets.0.flavors.a100.on_demand: an on-demand series has no maximum",
    ),
    "no flavor": (
        changed(lambda d: sheet(d).update(flavors={})),
        "sheets.0.flavors: ",
    ),
    "an interruption rate above one": (
        changed(lambda d: flavor(d)["spot"].update(interruption_rate=5)),
        "spot.interruption_rate: Input should be less than or equal to 1",
    ),
    "a priority left out": (
        changed(lambda d: sheet(d)["priority_multipliers"].pop("urgent")),
        "sheets.0.priority_multipliers.urgent: the key is missing",
    ),
    "no version at all": (changed(lambda d: d.update(sheets=[])), "sheets: "),
    "a version that YAML reads as a date": (
        changed(lambda d: sheet(d).update(version=datetime(2026, 9, 6, tzinfo=UTC).date())),
        "sheets.0.version: not text",
    ),
    "a time without a zone": (
        changed(lambda d: sheet(d).update(effective_from="2026-01-01T00:00:00")),
        "sheets.0.effective_from: Input should have timezone info",
    ),
    "a year for a time": (
        changed(lambda d: sheet(d).update(effective_from=2026)),
        "sheets.0.effective_from: not a moment (expected a time with its zone",
    ),
    "versions out of order": (
        changed(lambda d: d["sheets"].reverse()),
        (
            "prices.yaml: sheets: versions '2026-2' and '2026-1' overlap or are out of order (expected "
            "effective_from at or after 2026-07-01T00:00:00+02:00, got 2026-01-01T00:00:00+00:00); order"
        ),
    ),
    "overlapping versions": (
        changed(lambda d: sheet(d).update(effective_until="2026-08-01T00:00:00Z")),
        "sheets: versions '2026-1' and '2026-2' overlap",
    ),
    "two versions at the same moment": (
        changed(lambda d: d["sheets"][1].update(effective_from="2026-01-01T00:00:00Z")),
        "sheets: versions '2026-1' and '2026-2' overlap",
    ),
    "a version that ends before it begins": (
        changed(lambda d: sheet(d).update(effective_until="2025-01-01T00:00:00Z")),
        "sheets: version '2026-1' ends before it begins",
    ),
    "the same version twice": (
        changed(lambda d: d["sheets"][1].update(version="2026-1")),
        "sheets: version '2026-1' is there twice",
    ),
}


@pytest.mark.parametrize(("document", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_a_book_that_can_not_be_used_is_refused_with_the_place_and_the_remedy(
    document: object, message: str
) -> None:
    told = parse(document)

    assert message in told
    assert "; " in told


def test_the_published_schema_is_the_models() -> None:
    published = json.loads(SCHEMA.read_text(encoding="utf-8"))

    assert published.pop("$schema") == "https://json-schema.org/draft/2020-12/schema"
    assert published == book_schema(), "run: lowtide schema prices > docs/schemas/prices.json"


def test_the_schema_knows_the_bounds_of_a_rate() -> None:
    rate = book_schema()["$defs"]["OnDemandDocument"]["properties"]["cpu_usd_per_core_h"]

    assert {"type": "number", "minimum": 0, "maximum": 1_000_000} in rate["anyOf"]
