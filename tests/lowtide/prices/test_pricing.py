from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from lowtide.errors import BadInputError
from lowtide.job import Priority, TrainingJob
from lowtide.legs import Capacity
from lowtide.money import to_micro
from lowtide.prices import (
    Demand,
    Flavor,
    PriceUnknownError,
    Rates,
    Sheet,
    lasts,
    price,
    segments,
)
from tests.lowtide.prices.oracle import (
    MICROSECOND,
    NIGHT,
    ONE_T4,
    T4,
    book_of,
    sheet_of,
)

DAY = timedelta(days=1)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@dataclass(frozen=True, kw_only=True)
class Case:
    id: str
    zone: str
    start: str
    end: str
    usd: str


CASES = [
    Case(
        id="four GPU-hours by day cost a dollar",
        zone="UTC",
        start="2026-11-23T08:00",
        end="2026-11-23T12:00",
        usd="1",
    ),
    Case(
        id="four GPU-hours by night cost half of it",
        zone="UTC",
        start="2026-11-23T22:00",
        end="2026-11-24T02:00",
        usd="0.5",
    ),
    Case(
        id="a leg over the window's edge pays both rates",
        zone="UTC",
        start="2026-11-23T21:00",
        end="2026-11-23T23:00",
        usd="0.375",
    ),
    Case(
        id="a leg over midnight stays off-peak",
        zone="UTC",
        start="2026-11-23T23:59",
        end="2026-11-24T00:01",
        usd="0.0041666666666666666667",
    ),
    Case(
        id="a plain local day costs five dollars",
        zone="Europe/Berlin",
        start="2026-03-28T00:00",
        end="2026-03-29T00:00",
        usd="5",
    ),
    Case(
        id="the day of 23 hours lacks an off-peak hour",
        zone="Europe/Berlin",
        start="2026-03-29T00:00",
        end="2026-03-30T00:00",
        usd="4.875",
    ),
    Case(
        id="the day of 25 hours has one more",
        zone="Europe/Berlin",
        start="2026-10-25T00:00",
        end="2026-10-26T00:00",
        usd="5.125",
    ),
    Case(
        id="Lord Howe's autumn day has half an hour more",
        zone="Australia/Lord_Howe",
        start="2026-04-05T00:00",
        end="2026-04-06T00:00",
        usd="5.0625",
    ),
    Case(
        id="Lord Howe's spring day has half an hour less",
        zone="Australia/Lord_Howe",
        start="2026-10-04T00:00",
        end="2026-10-05T00:00",
        usd="4.9375",
    ),
    Case(
        id="a year's end is nothing special",
        zone="UTC",
        start="2026-12-31T12:00",
        end="2027-01-01T12:00",
        usd="5",
    ),
    Case(
        id="nothing costs nothing",
        zone="UTC",
        start="2026-11-23T08:00",
        end="2026-11-23T08:00",
        usd="0",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_one_gpu_under_the_specifications_tariff(case: Case) -> None:
    book = book_of(sheet_of(zone=case.zone))

    usd = price(book, ONE_T4, start=at(case.start, case.zone), end=at(case.end, case.zone))

    assert to_micro(usd) == to_micro(Decimal(case.usd))


def test_a_price_is_exact_to_the_last_fraction() -> None:
    start = at("2026-11-23T23:59:59.999999")

    assert price(book_of(), ONE_T4, start=start, end=start + MICROSECOND) == Fraction(
        1, 8 * 3_600_000_000
    )


def test_gpus_cores_and_memory_add_up_before_the_factors_of_window_and_priority() -> None:
    rates = Rates(
        gpu_usd_per_h=Decimal("1.5"),
        cpu_usd_per_core_h=Decimal("0.03"),
        memory_usd_per_gib_h=Decimal("0.004"),
    )
    book = book_of(sheet_of(flavor=Flavor(name="a100", on_demand=rates)))
    demand = Demand(
        flavor="a100",
        gpus=2,
        cpus=Decimal("3.5"),
        memory_gib=Decimal(10),
        priority=Priority.URGENT,
    )
    night = at("2026-11-23T23:00")

    usd = price(book, demand, start=night, end=night + timedelta(hours=2))

    assert usd == 2 * Fraction("3.145") * Fraction("0.5") * Fraction("1.5")


def test_spot_has_its_own_rate_and_no_window_discounts_it_again() -> None:
    spot = replace(ONE_T4, capacity=Capacity.SPOT)
    night = at("2026-11-23T23:00")

    assert price(book_of(), spot, start=night, end=night + timedelta(hours=26)) == Fraction("1.95")
    assert [part.window for part in segments(book_of(), spot, start=night, end=night + DAY)] == [
        "spot"
    ]


def test_priority_multiplies_spot_too() -> None:
    background = replace(ONE_T4, capacity=Capacity.SPOT, priority=Priority.BACKGROUND)
    noon = at("2026-11-23T12:00")

    usd = price(book_of(), background, start=noon, end=noon + timedelta(hours=10))

    assert usd == Fraction("0.6")


def test_a_demand_is_what_the_job_asks_for() -> None:
    job = TrainingJob.model_validate(
        {
            "name": "digits",
            "command": ["train"],
            "priority": "urgent",
            "resources": {"flavor": "a100", "gpus": 4, "cpus": 8, "memory_gib": 64},
        }
    )

    assert Demand.of(job, Capacity.SPOT) == Demand(
        flavor="a100",
        capacity=Capacity.SPOT,
        gpus=4,
        cpus=Decimal(8),
        memory_gib=Decimal(64),
        priority=Priority.URGENT,
    )


def test_a_new_version_prices_from_its_first_microsecond_on() -> None:
    change = at("2026-11-23T12:00:00.000001")
    dear = replace(T4, on_demand=Rates(gpu_usd_per_h=Decimal(100)))
    book = book_of(
        sheet_of(version="old", flavor=T4),
        sheet_of(version="new", effective_from=change, flavor=dear),
    )
    start, end = change - timedelta(hours=1), change + timedelta(hours=1)

    assert price(book, ONE_T4, start=start, end=end) == Fraction("100.25")
    assert [
        (part.version, part.start) for part in segments(book, ONE_T4, start=start, end=end)
    ] == [
        ("old", start),
        ("new", change),
    ]
    assert book.sheet_at(change - MICROSECOND).version == "old"
    assert book.sheet_at(change).version == "new"


def test_before_the_first_version_the_price_is_unknown_and_not_nothing() -> None:
    book = book_of(sheet_of(effective_from=at("2026-06-01T00:00")))

    with pytest.raises(PriceUnknownError, match="no version of the prices is in force") as caught:
        price(book, ONE_T4, start=at("2026-05-31T23:00"), end=at("2026-06-01T01:00"))

    assert caught.value.at == at("2026-05-31T23:00")
    with pytest.raises(PriceUnknownError, match="in force"):
        book.sheet_at(at("2026-05-31T23:00"))


def test_between_two_versions_the_price_is_unknown() -> None:
    book = book_of(
        sheet_of(version="a", effective_until=at("2026-06-01T00:00")),
        sheet_of(version="b", effective_from=at("2026-06-02T00:00")),
    )

    with pytest.raises(PriceUnknownError, match="2026-06-01T00:00:00"):
        segments(book, ONE_T4, start=at("2026-05-30T00:00"), end=at("2026-06-03T00:00"))
    assert price(book, ONE_T4, start=at("2026-06-02T00:00"), end=at("2026-06-03T00:00")) == 5


def test_spot_that_is_not_offered_is_unknown() -> None:
    book = book_of(sheet_of(flavor=replace(T4, spot=None)))
    spot = replace(ONE_T4, capacity=Capacity.SPOT)

    with pytest.raises(PriceUnknownError, match=r"'t4' on spot has no price .* no spot price"):
        price(book, spot, start=at("2026-06-01T00:00"), end=at("2026-06-02T00:00"))


def test_a_flavor_that_a_later_version_drops_is_unknown_from_then_on() -> None:
    change = at("2026-06-01T00:00")
    other = Flavor(name="a100", on_demand=Rates(gpu_usd_per_h=Decimal(3)))
    book = book_of(sheet_of(), sheet_of(version="v2", effective_from=change, flavor=other))

    assert price(book, ONE_T4, start=change - DAY, end=change) == 5
    with pytest.raises(PriceUnknownError, match="version 'v2' has no on-demand price"):
        price(book, ONE_T4, start=change - DAY, end=change + MICROSECOND)


def test_a_flavor_that_no_version_has_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInputError, match=r"expected one of t4, got 'h100'"):
        price(book_of(), Demand(flavor="h100"), start=at("2026-06-01"), end=at("2026-06-02"))
    with pytest.raises(BadInputError, match=r"expected one of v1, got 'v9'"):
        book_of().pinned("v9")


def test_money_that_reaches_an_unknown_price_is_refused_but_less_money_is_not() -> None:
    end = at("2026-06-01T00:00")
    book = book_of(sheet_of(effective_until=end))
    start, horizon = end - DAY, 9 * DAY

    assert lasts(book, ONE_T4, start=start, usd=Decimal("4.99"), horizon=horizon) < DAY
    assert lasts(book, ONE_T4, start=start, usd=99, horizon=DAY) == DAY
    with pytest.raises(PriceUnknownError):
        lasts(book, ONE_T4, start=start, usd=99, horizon=horizon)


def test_no_money_lasts_no_time_and_free_capacity_lasts_to_the_horizon() -> None:
    start, nothing = at("2026-06-01T12:00"), replace(ONE_T4, gpus=0)

    assert lasts(book_of(), ONE_T4, start=start, usd=0, horizon=DAY) == timedelta()
    assert lasts(book_of(), ONE_T4, start=start, usd=-1, horizon=DAY) == timedelta()
    assert lasts(book_of(), nothing, start=start, usd=0, horizon=999 * DAY) == 999 * DAY


def test_money_lasts_through_a_free_window() -> None:
    free_night = (NIGHT[0], replace(NIGHT[1], multiplier=Decimal(0)))
    book = book_of(sheet_of(*free_night))

    lasting = lasts(
        book, ONE_T4, start=at("2026-06-01T21:00"), usd=Decimal("0.25"), horizon=9 * DAY
    )

    assert lasting == timedelta(hours=9)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("2026-06-01T00:00", "2026-06-02T00:00+00:00", "without a time zone"),
        ("2026-06-01T00:00+00:00", "2026-06-02T00:00", "without a time zone"),
        ("2026-06-02T00:00+00:00", "2026-06-01T00:00+00:00", "ends before it starts"),
    ],
)
def test_times_that_make_no_sense_are_refused(start: str, end: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        price(
            book_of(),
            ONE_T4,
            start=datetime.fromisoformat(start),
            end=datetime.fromisoformat(end),
        )


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-1"])
def test_a_demand_of_no_real_amount_is_refused(amount: str) -> None:
    with pytest.raises(BadInputError, match="finite number, not negative"):
        Demand(flavor="t4", cpus=Decimal(amount))


def test_equal_books_share_their_tables() -> None:
    once, again = book_of(), book_of()

    assert once is not again
    assert (once, hash(once)) == (again, hash(again))
    assert once.pinned("v1") is again.pinned("v1")


def test_a_local_time_is_priced_as_the_moment_that_it_is() -> None:
    sheet: Sheet = sheet_of(zone="Europe/Berlin")
    # 02:30 comes twice that night: `fold` says which.
    twice = at("2026-10-25T02:30", "Europe/Berlin")

    assert price(book_of(sheet), ONE_T4, start=twice, end=twice.replace(fold=1)) == Fraction(1, 8)
