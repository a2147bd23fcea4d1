from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from lowtide.legs import Capacity
from lowtide.prices import (
    PricedSegment,
    PriceUnknownError,
    Window,
    next_window,
    windows_between,
)
from lowtide.prices.records import DAYS
from tests.lowtide.prices.oracle import ONE_T4, T4, ZONES, book_of, clock_changes, sheet_of

HOUR = timedelta(hours=1)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def found(segment: PricedSegment | None) -> PricedSegment:
    assert segment is not None
    return segment


def test_the_next_cheaper_window_is_this_night() -> None:
    night = found(next_window(book_of(), ONE_T4, now=at("2026-11-23T12:00")))

    assert (night.window, night.start, night.end) == (
        "off-peak",
        at("2026-11-23T22:00"),
        at("2026-11-24T06:00"),
    )
    assert night.usd == 1


def test_the_next_dearer_window_is_when_one_must_be_done() -> None:
    day = found(next_window(book_of(), ONE_T4, now=at("2026-11-23T23:00"), cheaper=False))

    assert (day.window, day.start) == ("peak", at("2026-11-24T06:00"))


def test_in_the_cheapest_window_no_cheaper_one_comes() -> None:
    assert next_window(book_of(), ONE_T4, now=at("2026-11-23T23:00")) is None


def test_a_flat_tariff_saves_nothing_by_waiting() -> None:
    spot = replace(ONE_T4, capacity=Capacity.SPOT)

    assert next_window(book_of(), spot, now=at("2026-11-23T12:00")) is None
    assert next_window(book_of(), spot, now=at("2026-11-23T12:00"), cheaper=False) is None


def test_a_weekend_tariff_is_found_a_week_ahead_and_whole() -> None:
    weekly = (
        Window(name="work", days=DAYS[:5]),
        Window(name="rest", days=DAYS[5:], multiplier=Decimal("0.5")),
    )
    book = book_of(sheet_of(*weekly))

    rest = found(next_window(book, ONE_T4, now=at("2026-11-23T00:00")))

    assert (rest.start, rest.end) == (at("2026-11-28T00:00"), at("2026-11-30T00:00"))
    assert next_window(book, ONE_T4, now=at("2026-11-23T00:00"), look_ahead=4 * 24 * HOUR) is None


def test_what_becomes_unknown_later_does_not_hide_what_comes_before() -> None:
    book = book_of(sheet_of(effective_until=at("2026-11-24T00:00")))

    night = found(next_window(book, ONE_T4, now=at("2026-11-23T12:00")))

    assert (night.start, night.end) == (at("2026-11-23T22:00"), at("2026-11-24T00:00"))
    with pytest.raises(PriceUnknownError):
        next_window(book, ONE_T4, now=at("2026-11-24T00:00"))


def test_a_price_cut_by_a_new_version_counts_as_cheaper() -> None:
    cut = at("2026-11-23T13:00")
    cheap = replace(T4, on_demand=replace(T4.on_demand, gpu_usd_per_h=Decimal("0.2")))
    book = book_of(sheet_of(), sheet_of(version="v2", effective_from=cut, flavor=cheap))

    assert found(next_window(book, ONE_T4, now=at("2026-11-23T12:00"))).start == cut


@pytest.mark.parametrize("zone", ZONES)
def test_off_peak_opens_at_its_wall_time_on_the_days_of_every_clock_change(zone: str) -> None:
    book, tz = book_of(sheet_of(zone=zone)), ZoneInfo(zone)
    for change in clock_changes(zone):
        noon = change.astimezone(tz).replace(hour=12, minute=0) - timedelta(days=1)

        night = found(next_window(book, ONE_T4, now=noon))
        day = found(next_window(book, ONE_T4, now=night.start, cheaper=False))

        assert night.start.astimezone(tz).strftime("%H:%M") in {"22:00", "23:00"}
        assert (night.start.astimezone(tz).hour == 22) or night.start == change
        assert day.start.astimezone(tz).strftime("%H:%M") == "06:00"


def test_windows_between_two_moments_cover_them() -> None:
    windows = windows_between(book_of(), start=at("2026-12-31T12:00"), end=at("2027-01-01T12:00"))

    assert [(window.name, window.multiplier) for window in windows] == [
        ("peak", 1),
        ("off-peak", Decimal("0.5")),
        ("peak", 1),
    ]
    assert windows[0].start == at("2026-12-31T12:00")
    assert windows[1].end == at("2027-01-01T06:00")
    assert windows[-1].end == at("2027-01-01T12:00")
    assert windows[0].start.tzinfo is UTC


def test_windows_are_told_by_version_and_never_beyond_what_is_known() -> None:
    change, end = at("2026-06-01T12:00"), at("2026-06-03T00:00")
    book = book_of(
        sheet_of(version="a"), sheet_of(version="b", effective_from=change, effective_until=end)
    )

    windows = windows_between(book, start=change - HOUR, end=change + HOUR)

    assert [window.version for window in windows] == ["a", "b"]
    assert windows_between(book, start=end, end=end) == ()
    with pytest.raises(PriceUnknownError):
        windows_between(book, start=change, end=end + HOUR)
