"""Off-peak, spot and priority: the same work at another price."""

from datetime import timedelta
from decimal import Decimal

import pytest

from lowtide.advice import AdviceKind
from lowtide.job import Priority
from lowtide.legs import Capacity
from lowtide.prices import PriceBook, Rates
from lowtide.prices.records import ALL_DAY
from tests.lowtide.books import book
from tests.lowtide.recommend.records import HOUR_S, NOON, advice, found, job, only, record

SHORT = [HOUR_S] * 4
MIDNIGHT = NOON + timedelta(hours=12)


def test_off_peak_halves_a_run_by_day() -> None:
    item = only(advice(record(epoch_s=SHORT)), AdviceKind.OFF_PEAK)

    assert item.saving_usd.p10 == item.saving_usd.p50 == item.saving_usd.p90 == Decimal("0.50")
    assert item.saving_pct == 50.0
    assert item.confidence == "high"
    assert item.evidence["start"] == NOON + timedelta(hours=10)
    assert item.action == "lowtide train r-000000000001 --set policy=off-peak"
    assert "in one stretch" in item.description


def test_a_run_longer_than_the_night_pauses_and_pays_its_restarts() -> None:
    """12 h by night in two slots; a start costs an hour more than an epoch."""
    item = only(advice(record(epoch_s=[2 * HOUR_S, *[HOUR_S] * 10])), AdviceKind.OFF_PEAK)

    assert item.evidence["pauses"] == 1
    assert item.evidence["restart_s"] == HOUR_S
    # As it was: 10 h of day at 0.25 and 2 h of night at 0.125; then 13 h of night, or 14.
    assert item.saving_usd.p50 == Decimal("2.75") - Decimal("1.625")
    assert item.saving_usd.p10 == Decimal("2.75") - Decimal("1.750")
    assert item.confidence == "medium"


def test_a_run_by_night_has_nothing_to_gain() -> None:
    assert found(advice(record(epoch_s=SHORT, start=MIDNIGHT)), AdviceKind.OFF_PEAK) == []


def test_what_is_urgent_is_not_put_off() -> None:
    assert found(advice(record(of=job(priority="urgent"))), AdviceKind.OFF_PEAK) == []


def test_a_deadline_before_the_night_is_kept() -> None:
    asked = job(deadline=(NOON + timedelta(hours=13)).isoformat())

    assert found(advice(record(of=asked, epoch_s=SHORT)), AdviceKind.OFF_PEAK) == []


def test_without_tariff_windows_no_time_is_cheaper() -> None:
    flat = book(windows=ALL_DAY)

    assert found(advice(record(), prices=flat), AdviceKind.OFF_PEAK) == []


def test_spot_saves_its_price_less_what_interruptions_cost() -> None:
    """No start-up, an hour between saves: an interruption loses half an hour at 0.075 an hour."""
    item = only(advice(record(epoch_s=SHORT)), AdviceKind.SPOT)

    assert item.saving_usd.p90 == Decimal("0.70")
    assert item.saving_usd.p10 == Decimal("0.70") - Decimal("0.0375")
    assert item.evidence["interruptions"] == pytest.approx(0.0513, abs=1e-4)
    assert item.saving_usd.p50 == pytest.approx(Decimal("0.6981"), abs=Decimal("0.0001"))
    assert item.action == "lowtide train r-000000000001 --set capacity=spot"


def test_spot_that_would_not_save_is_not_told() -> None:
    dear = book(spot=Rates(gpu_usd_per_h=Decimal("0.25"), follows_windows=False))

    assert found(advice(record(epoch_s=SHORT), prices=dear), AdviceKind.SPOT) == []


def test_interruptions_may_eat_all_that_spot_saves() -> None:
    """It lives a minute here and each loss is half an hour."""
    run = record(epoch_s=SHORT, spot_lifetime_s=60.0)

    assert found(advice(run), AdviceKind.SPOT) == []


def test_a_run_on_spot_is_there_already() -> None:
    run = record(epoch_s=SHORT, capacity=Capacity.SPOT)

    assert found(advice(run), AdviceKind.SPOT) == []


@pytest.mark.parametrize("prices", [book(spot=None), book(interruption_rate=None)])
def test_without_a_spot_price_or_rate_nobody_knows(prices: PriceBook) -> None:
    assert found(advice(record(), prices=prices), AdviceKind.SPOT) == []


def test_without_measured_epochs_nobody_knows_what_a_restart_costs() -> None:
    run = record(epoch_s=[], legs=record().legs)

    assert found(advice(run), AdviceKind.SPOT) == []


def test_a_stated_checkpoint_interval_bounds_the_loss() -> None:
    asked = job(checkpoint={"interval": 600})

    item = only(advice(record(of=asked, epoch_s=SHORT)), AdviceKind.SPOT)

    assert item.evidence["lost_s_each"] == 300


def test_urgent_that_never_waited_is_paid_for_nothing() -> None:
    run = record(of=job(priority="urgent"), epoch_s=SHORT, waited_s=3.0)

    item = only(advice(run), AdviceKind.PRIORITY)

    assert item.saving_usd.p50 == Decimal("0.50")
    assert item.saving_pct == pytest.approx(33.3)
    assert item.action == "lowtide train r-000000000001 --set priority=normal"


@pytest.mark.parametrize(
    ("priority", "waited_s"),
    [(Priority.URGENT, 600.0), (Priority.URGENT, None), (Priority.NORMAL, 0.0)],
    ids=["it waited", "nobody knows whether it waited", "it was not urgent"],
)
def test_otherwise_its_priority_is_left_alone(priority: Priority, waited_s: float | None) -> None:
    run = record(of=job(priority=priority), waited_s=waited_s)

    assert found(advice(run), AdviceKind.PRIORITY) == []


def test_a_priority_that_nobody_told_is_left_alone() -> None:
    run = record(of=job(priority="urgent"), waited_s=0.0, assumed=frozenset({"priority"}))

    assert found(advice(run), AdviceKind.PRIORITY) == []
