"""A period begins and ends at a local midnight, whatever the clocks do."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from lowtide.ledger.periods import EPOCH, FOREVER, Period, PeriodKind, period_of

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",  # moves its clocks by 30 minutes
    "Africa/Cairo",  # skips midnight itself
    "America/Santiago",  # skips midnight itself
    "Pacific/Apia",  # skipped a whole day in 2011
    "America/Havana",  # has two midnights in autumn
    "Asia/Beirut",
]
MOMENTS = st.datetimes(datetime(2011, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
TICK = timedelta(microseconds=1)


def name_of(kind: PeriodKind, zone: str, at: datetime) -> tuple[int, ...]:
    """Return which period a moment is in, read off the local calendar."""
    local = at.astimezone(ZoneInfo(zone))
    return {
        PeriodKind.DAY: (local.year, local.month, local.day),
        PeriodKind.WEEK: tuple(local.isocalendar())[:2],
        PeriodKind.MONTH: (local.year, local.month),
        PeriodKind.QUARTER: (local.year, (local.month + 2) // 3),
        PeriodKind.TOTAL: (),
    }[kind]


@pytest.mark.parametrize("kind", list(PeriodKind))
@given(at=MOMENTS, zone=st.sampled_from(ZONES))
def test_a_period_holds_exactly_the_moments_of_its_local_calendar(
    kind: PeriodKind, at: datetime, zone: str
) -> None:
    period = period_of(kind, zone=zone, at=at)

    assert period.start <= at < period.end
    name = name_of(kind, zone, at)
    assert name_of(kind, zone, period.start) == name
    assert name_of(kind, zone, period.end - TICK) == name
    if kind is not PeriodKind.TOTAL:
        assert name_of(kind, zone, period.start - TICK) != name
        assert name_of(kind, zone, period.end) != name


@given(at=MOMENTS, zone=st.sampled_from(ZONES), kind=st.sampled_from(PeriodKind))
def test_periods_follow_each_other_without_a_gap(
    at: datetime, zone: str, kind: PeriodKind
) -> None:
    period = period_of(kind, zone=zone, at=at)

    if kind is not PeriodKind.TOTAL:
        assert period_of(kind, zone=zone, at=period.end).start == period.end
        assert period_of(kind, zone=zone, at=period.start - TICK).end == period.start


def test_a_total_is_one_period_for_all_time() -> None:
    assert period_of(PeriodKind.TOTAL, zone="UTC", at=datetime(2026, 1, 1, tzinfo=UTC)) == Period(
        start=EPOCH, end=FOREVER
    )


@pytest.mark.parametrize(("day", "hours"), [(29, 23), (28, 24)])
def test_a_day_may_lose_an_hour(day: int, hours: int) -> None:
    noon = datetime(2026, 3, day, 12, tzinfo=ZoneInfo("Europe/Berlin"))

    period = period_of(PeriodKind.DAY, zone="Europe/Berlin", at=noon)

    assert period.end - period.start == timedelta(hours=hours)
