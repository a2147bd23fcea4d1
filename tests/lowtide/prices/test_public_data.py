"""Real prices of the public record, told by a second way of adding them up."""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from lowtide.legs import Capacity
from lowtide.prices import (
    Demand,
    Flavor,
    PriceBook,
    PricePoint,
    PriceUnknownError,
    Rates,
    Series,
    Sheet,
    Window,
    next_window,
    price,
    segments,
)
from lowtide.prices.records import DAYS
from lowtide.prices.series import parse_series
from tests.lowtide.prices.oracle import ONE_T4, T4, YEAR_2000, book_of, sheet_of
from tests.lowtide.prices.public_data import data_file

HOUR = timedelta(hours=1)
NEW_YORK = ZoneInfo("America/New_York")


def spot_2016() -> tuple[PricePoint, ...]:
    """g2.8xlarge in us-east-1a, 60 days of 2016, dollars per hour of the instance."""
    path = data_file("aws_spot_2016_gpu", "g2.8xlarge_us-east-1a.csv")
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    lines = (f"{row['timestamp_utc']},{row['spot_price_usd_per_hour']}" for row in rows)
    return parse_series("\n".join(["at,usd_per_h", *lines]), source=path.name)


def spot_book(
    points: tuple[PricePoint, ...], max_usd_per_h: str, *, stale_after_h: int = 25
) -> PriceBook:
    series = Series(
        points=points,
        max_usd_per_h=Decimal(max_usd_per_h),
        stale_after_h=Decimal(stale_after_h),
    )
    flavor = replace(T4, spot=Rates(gpu_usd_per_h=series, follows_windows=False))
    return book_of(sheet_of(flavor=flavor))


def test_sixty_days_of_a_real_spot_market_cost_their_time_weighted_mean() -> None:
    points = spot_2016()
    start, end = points[0].at, points[-1].at
    spot = replace(ONE_T4, capacity=Capacity.SPOT)

    usd = price(spot_book(points, "100"), spot, start=start, end=end)

    by_hand = sum(
        (
            Fraction(left.usd_per_h or 0) * ((right.at - left.at) // timedelta(seconds=1))
            for left, right in pairwise(points)
        ),
        Fraction(0),
    )
    assert usd == by_hand / 3600
    assert round(float(usd / Fraction((end - start) / HOUR)), 2) == 4.51


def test_a_real_gap_of_a_little_more_than_a_day_is_unknown_to_who_trusts_a_price_for_a_day() -> (
    None
):
    points = spot_2016()
    book = spot_book(points, "100", stale_after_h=24)
    spot = replace(ONE_T4, capacity=Capacity.SPOT)

    with pytest.raises(PriceUnknownError, match="2016-04-19T18:03:52"):
        price(book, spot, start=points[0].at, end=points[-1].at)


def test_a_maximum_bid_caps_the_spikes_of_a_real_spot_market() -> None:
    points = spot_2016()
    start, end = points[0].at, points[-1].at
    spot = replace(ONE_T4, capacity=Capacity.SPOT)

    bid = Fraction("2.60")
    parts = segments(spot_book(points, str(float(bid))), spot, start=start, end=end)

    capped = sum((part.end - part.start for part in parts if part.usd_per_h == bid), timedelta())
    assert max(part.usd_per_h for part in parts) == bid
    assert round(100 * capped / (end - start)) == 22  # per cent of the time dearer than on demand


def test_a_real_day_ahead_market_prices_days_of_23_and_25_hours() -> None:
    path = data_file("cz_day_ahead_electricity", "1h_2024.csv")
    prague = ZoneInfo("Europe/Prague")
    days: dict[str, list[Decimal]] = {}
    for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
        # Its rows are the hours of the local day by number; below zero nobody pays you to train.
        days.setdefault(row["date"], []).append(max(Decimal(row["price_eur_mwh"]), Decimal(0)))
    points = tuple(
        PricePoint(at=local_midnight(date, prague) + number * HOUR, usd_per_h=per_mwh)
        for date, day in days.items()
        for number, per_mwh in enumerate(day)
    )
    series = Series(points=points, max_usd_per_h=Decimal(900), stale_after_h=Decimal(1))
    market = Rates(gpu_usd_per_h=series, follows_windows=False)
    book = book_of(sheet_of(flavor=Flavor(name="t4", on_demand=market)))

    for date, hours in (("2024-03-31", 23), ("2024-10-27", 25), ("2024-07-01", 24)):
        start = local_midnight(date, prague)
        end = start + hours * HOUR

        assert len(days[date]) == hours
        assert end == local_midnight(str(end.astimezone(prague).date()), prague)
        assert price(book, ONE_T4, start=start, end=end) == sum(days[date])


def local_midnight(date: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(date).replace(tzinfo=zone).astimezone(UTC)


def utility_book(path: Path) -> PriceBook:
    """A utility's tariff for 2026, one version for each month, in dollars per kWh."""
    tariff = json.loads(path.read_text(encoding="utf-8"))["items"][0]
    flavor = Flavor(name="kwh", on_demand=Rates(gpu_usd_per_h=Decimal(1)))
    return PriceBook(
        sheets=tuple(
            Sheet(
                version=f"2026-{month + 1:02}",
                effective_from=datetime(2026, month + 1, 1, tzinfo=NEW_YORK).astimezone(UTC)
                if month
                else YEAR_2000,
                zone="America/New_York",
                windows=tuple(
                    Window(
                        name=f"period-{schedule[month][hour]}",
                        days=days,
                        start_min=hour * 60,
                        end_min=hour * 60 + 60,
                        multiplier=rate_of(tariff, schedule[month][hour]),
                    )
                    for days, schedule in (
                        (DAYS[:5], tariff["energyweekdayschedule"]),
                        (DAYS[5:], tariff["energyweekendschedule"]),
                    )
                    for hour in range(24)
                ),
                flavors=(flavor,),
            )
            for month in range(12)
        )
    )


def rate_of(tariff: dict[str, list[list[dict[str, float]]]], period: int) -> Decimal:
    tier = tariff["energyratestructure"][period][0]
    return Decimal(str(tier["rate"])) + Decimal(str(tier.get("adj", 0)))


@pytest.mark.slow
def test_a_real_time_of_use_tariff_is_the_sum_of_its_hours_over_months_and_weekends() -> None:
    path = data_file("openei_*_tariffs", "virginia.json")
    tariff = json.loads(path.read_text(encoding="utf-8"))["items"][0]
    start, end = datetime(2026, 1, 1, 5, tzinfo=UTC), datetime(2027, 1, 1, 5, tzinfo=UTC)

    looked_up = Fraction(0)
    hour = start
    while hour < end:
        wall = hour.astimezone(NEW_YORK)
        kind = "energyweekendschedule" if wall.weekday() >= 5 else "energyweekdayschedule"
        looked_up += Fraction(rate_of(tariff, tariff[kind][wall.month - 1][wall.hour]))
        hour += HOUR

    assert price(utility_book(path), Demand(flavor="kwh"), start=start, end=end) == looked_up


def test_a_real_flat_tariff_saves_nothing_by_waiting() -> None:
    book = utility_book(data_file("openei_*_tariffs", "ann_arbor.json"))
    summer = datetime(2026, 7, 1, tzinfo=UTC)

    for cheaper in (True, False):
        found = next_window(
            book,
            Demand(flavor="kwh"),
            now=summer,
            cheaper=cheaper,
            look_ahead=timedelta(days=60),
        )
        assert found is None
