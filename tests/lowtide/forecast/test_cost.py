from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given, strategies as st

from lowtide.forecast import TimeForecast, breach_probability, forecast_cost, forecast_time, moved
from lowtide.money import UsdRange
from lowtide.prices import Demand, price
from tests.lowtide.books import book


def usd(p10: str, p50: str, p90: str) -> UsdRange:
    return UsdRange(p10=Decimal(p10), p50=Decimal(p50), p90=Decimal(p90))


def test_each_percentile_of_the_time_is_priced_along_the_schedule() -> None:
    """Ten hours from 18:00, four at peak and six by night; 6 h 40 min, and 15 h."""
    start = datetime(2026, 11, 23, 18, tzinfo=UTC)
    time = forecast_time([], epochs_total=10, expected_epoch_s=3600)
    assert isinstance(time, TimeForecast)

    def price_of(duration_s: float) -> Fraction:
        end = start + timedelta(seconds=duration_s)
        return price(book(), Demand(flavor="t4"), start=start, end=end)

    cost = forecast_cost(time, price=price_of)

    assert cost == usd("1.333333", "1.750000", "2.750000")


def test_a_move_of_five_per_cent_is_not_told_and_more_is() -> None:
    before = usd("90", "100", "120")

    assert not moved(before, usd("0", "105", "200"))
    assert not moved(before, usd("0", "95", "200"))
    assert moved(before, usd("90", "105.01", "120"))
    assert moved(before, usd("90", "94.99", "120"))
    assert moved(before, usd("90", "103", "120"), threshold=0.02)
    assert moved(None, before)


def test_the_probability_of_a_breach_follows_the_percentiles() -> None:
    cost = usd("8", "10", "15")

    assert breach_probability(cost, budget_usd=Decimal(15)) == pytest.approx(0.1, abs=1e-9)
    assert breach_probability(cost, budget_usd=Decimal(10)) == pytest.approx(0.5)
    assert breach_probability(cost, budget_usd=Decimal(8)) == pytest.approx(0.9, abs=1e-9)


@pytest.mark.parametrize(("budget", "expected"), [("10", 0.0), ("9.99", 1.0), ("11", 0.0)])
def test_a_certain_cost_breaches_or_does_not(budget: str, expected: float) -> None:
    assert breach_probability(usd("10", "10", "10"), budget_usd=Decimal(budget)) == expected


def test_a_cost_that_may_only_rise_breaches_its_middle_as_often_as_not() -> None:
    assert breach_probability(usd("10", "10", "15"), budget_usd=Decimal(10)) == 0.5


@example(low=0, up=1, budget=100, more=1)
@given(
    low=st.integers(0, 100),
    up=st.integers(0, 100),
    budget=st.integers(-100, 400),
    more=st.integers(0, 50),
)
def test_more_money_never_makes_a_breach_likelier(
    low: int, up: int, budget: int, more: int
) -> None:
    cost = UsdRange(p10=Decimal(100 - low), p50=Decimal(100), p90=Decimal(100 + up))

    less = breach_probability(cost, budget_usd=Decimal(budget))
    richer = breach_probability(cost, budget_usd=Decimal(budget + more))

    assert 0 <= richer <= less <= 1
