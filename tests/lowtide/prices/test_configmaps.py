from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st
from inline_snapshot import snapshot

from lowtide.errors import BadInputError
from lowtide.legs import Capacity
from lowtide.prices import (
    Demand,
    Flavor,
    Multipliers,
    PriceBook,
    Rates,
    Sheet,
    Window,
    price,
)
from lowtide.prices.configmaps import (
    EFFECTIVE_FROM,
    SchedulingPolicies,
    book_from_cost_model,
    cost_model_data,
    parse_policies,
    policies_for,
    scheduling_policies_data,
)
from tests.lowtide.prices.oracle import NIGHT, T4, ZONES, sheet_of

SPECIFIED = PriceBook(sheets=(sheet_of(version="specification-1"),))
RATE = st.decimals(0, 100, places=6)
FACTOR = st.decimals("0.01", 10, places=2)


@st.composite
def simple_books(draw: st.DrawFn) -> PriceBook:
    start, end = draw(st.lists(st.integers(0, 1439), min_size=2, max_size=2, unique=True))
    on_demand = Rates(
        gpu_usd_per_h=draw(RATE), cpu_usd_per_core_h=draw(RATE), memory_usd_per_gib_h=draw(RATE)
    )
    flavor = Flavor(
        name="t4",
        on_demand=on_demand,
        spot=replace(on_demand, gpu_usd_per_h=draw(RATE), follows_windows=False),
        interruption_rate=draw(st.decimals(0, 1, places=3)),
    )
    peak = Window(name="peak", start_min=end, end_min=start or 1440)
    off_peak = Window(
        name="off-peak", start_min=start, end_min=end or 1440, multiplier=draw(FACTOR)
    )
    sheet = Sheet(
        version="v1",
        effective_from=EFFECTIVE_FROM,
        zone=draw(st.sampled_from(ZONES)),
        windows=tuple(draw(st.permutations([peak, off_peak]))),
        flavors=(flavor,),
        multipliers=Multipliers(urgent=draw(FACTOR), normal=draw(FACTOR), background=draw(FACTOR)),
    )
    return PriceBook(sheets=(sheet,))


def test_the_cost_model_has_the_specifications_eleven_keys() -> None:
    assert cost_model_data(SPECIFIED) == snapshot(
        {
            "gpu_usd_per_hour": "0.25",
            "cpu_usd_per_core_hour": "0",
            "memory_usd_per_gib_hour": "0",
            "off_peak_multiplier": "0.5",
            "spot_gpu_usd_per_hour": "0.075",
            "spot_interruption_rate": "0.05",
            "priority_multiplier_urgent": "1.5",
            "priority_multiplier_normal": "1",
            "priority_multiplier_background": "0.8",
            "currency": "USD",
            "price_book_version": "specification-1",
        }
    )


def test_the_scheduling_policies_have_the_specifications_nine_keys() -> None:
    assert scheduling_policies_data(SchedulingPolicies()) == snapshot(
        {
            "max_concurrent_jobs": "3",
            "gpu_utilization_threshold_min": "30",
            "gpu_utilization_threshold_max": "90",
            "gpu_utilization_target": "70",
            "off_peak_start": "22:00",
            "off_peak_end": "06:00",
            "off_peak_timezone": "UTC",
            "default_priority": "normal",
            "preemption_enabled": "true",
        }
    )


def test_the_specifications_book_comes_back_from_the_cluster_as_it_was() -> None:
    assert book_from_cost_model(cost_model_data(SPECIFIED)) == SPECIFIED


@given(
    book=simple_books(),
    start=st.datetimes(
        datetime(2026, 1, 1),  # noqa: DTZ001 - Hypothesis adds the zone
        datetime(2030, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
    capacity=st.sampled_from(Capacity),
)
def test_two_config_maps_tell_the_prices_of_any_book_that_they_can_hold(
    book: PriceBook, start: datetime, capacity: Capacity
) -> None:
    told = scheduling_policies_data(policies_for(book))
    back = book_from_cost_model(cost_model_data(book), policies=parse_policies(told))

    demand = Demand(flavor="t4", capacity=capacity, cpus=Decimal(2), memory_gib=Decimal(4))
    end = start + timedelta(days=3)
    assert price(back, demand, start=start, end=end) == price(book, demand, start=start, end=end)
    assert back.versions == book.versions


def test_policies_come_back_and_keep_what_is_no_tariff() -> None:
    policies = SchedulingPolicies(max_concurrent_jobs=7, preemption_enabled=False)
    book = PriceBook(sheets=(sheet_of(zone="Asia/Kathmandu"),))

    both = policies_for(book, policies)

    assert parse_policies(scheduling_policies_data(both)) == both
    assert (both.max_concurrent_jobs, both.off_peak_timezone) == (7, "Asia/Kathmandu")


@pytest.mark.parametrize(
    "sheet",
    [
        sheet_of(flavor=replace(T4, spot=None)),
        sheet_of(flavor=replace(T4, interruption_rate=None)),
        sheet_of(Window(name="all-day")),
        sheet_of(replace(NIGHT[0], multiplier=Decimal(2)), NIGHT[1]),
        replace(sheet_of(), flavors=(T4, replace(T4, name="a100"))),
    ],
    ids=["no spot", "no interruption rate", "flat", "a dearer peak", "two flavors"],
)
def test_a_book_that_the_keys_can_not_tell_is_refused(sheet: Sheet) -> None:
    with pytest.raises(BadInputError, match="says more than the ConfigMap cost-model can"):
        cost_model_data(PriceBook(sheets=(sheet,)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gpu_usd_per_hour": "-1"}, "cost-model: gpu_usd_per_hour: Input should be greater"),
        ({"gpu_usd_per_hour": "cheap"}, "cost-model: gpu_usd_per_hour: .*expected a number"),
        ({"currency": "EUR"}, "cost-model: currency: the ledger keeps US dollars"),
        ({"gpu_usd_an_hour": "1"}, "cost-model: gpu_usd_an_hour: unknown key"),
    ],
)
def test_a_cost_model_that_can_not_be_used_is_refused_with_its_key(
    changes: dict[str, str], message: str
) -> None:
    with pytest.raises(BadInputError, match=message):
        book_from_cost_model({**cost_model_data(SPECIFIED), **changes})


def test_a_cost_model_that_lacks_a_key_is_refused() -> None:
    data = cost_model_data(SPECIFIED)
    del data["spot_gpu_usd_per_hour"]

    with pytest.raises(BadInputError, match="spot_gpu_usd_per_hour: the key is missing"):
        book_from_cost_model(data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"off_peak_start": "06:00"}, "the off-peak hours have no length"),
        ({"off_peak_timezone": "Mars/Olympus"}, "off_peak_timezone: unknown time zone"),
        ({"max_concurrent_jobs": "0"}, "max_concurrent_jobs: .*expected >= 1"),
        ({"off_peak_end": "6"}, "off_peak_end: String should match pattern"),
        ({"night": "22:00"}, "night: unknown key"),
    ],
)
def test_policies_that_can_not_be_used_are_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        parse_policies(changes)
