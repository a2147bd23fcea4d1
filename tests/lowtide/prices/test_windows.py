from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from lowtide.errors import BadInputError
from lowtide.prices import Window
from lowtide.prices.instants import to_us, year_bounds_us
from lowtide.prices.records import DAYS, Day
from lowtide.prices.windows import local_week, spans_between, zone_named
from tests.lowtide.prices.oracle import NIGHT, ZONES, clock_changes

WORKDAYS = DAYS[:5]


def window(name: str, start: str, end: str, *days: Day) -> Window:
    start_min, end_min = (int(text[:2]) * 60 + int(text[3:]) for text in (start, end))
    return Window(name=name, days=days or DAYS, start_min=start_min, end_min=end_min)


def test_a_night_window_belongs_to_the_day_on_which_it_begins() -> None:
    week = local_week(
        (
            window("weekend", "22:00", "06:00", "fri", "sat", "sun"),
            window("night", "22:00", "06:00", "mon", "tue", "wed", "thu"),
            window("day", "06:00", "22:00"),
        )
    )

    assert [span.window.name for span in week if span.start_min == 0] == ["weekend"]
    assert [span.window.name for span in week if span.end_min == 7 * 1440] == ["weekend"]
    saturday = 5 * 1440
    assert next(span for span in week if span.end_min > saturday).window.name == "weekend"


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (
            [window("day", "06:00", "22:00"), window("night", "21:00", "06:00")],
            "windows 'day' and 'night' both cover mon 21:00",
        ),
        (
            [window("day", "06:00", "22:00"), window("night", "22:00", "05:59")],
            "no window covers mon 05:59 to mon 06:00",
        ),
        (
            [window("work", "00:00", "24:00", *WORKDAYS), window("rest", "00:00", "24:00", "sat")],
            "no window covers sun 00:00 to mon 00:00",
        ),
        (
            [window("all", "00:00", "24:00"), window("more", "00:00", "24:00", "wed")],
            "windows 'all' and 'more' both cover wed 00:00",
        ),
        (
            [window("twice", "00:00", "24:00", *WORKDAYS, "sat", "sun", "sun")],
            "windows 'twice' and 'twice' both cover sun 00:00",
        ),
        ([], "no window covers mon 00:00 to mon 00:00"),
    ],
    ids=["overlap", "gap of a minute", "gap of a day", "same day twice", "named twice", "none"],
)
def test_windows_that_do_not_cover_the_week_once_are_refused(
    windows: list[Window], message: str
) -> None:
    with pytest.raises(BadInputError, match=message) as caught:
        local_week(tuple(windows))

    assert caught.value.expected == "windows that cover every minute of the week once"
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["Europe/Berlyn", "", "localtime", "../etc/passwd", "utc"])
def test_a_zone_that_not_every_machine_knows_is_refused(name: str) -> None:
    with pytest.raises(BadInputError, match="unknown time zone"):
        zone_named(name)


@pytest.mark.parametrize("zone", ZONES)
def test_the_spans_of_a_stretch_cover_it_and_change_window_each_time(zone: str) -> None:
    start = to_us(datetime(2026, 3, 1, 1, 2, 3, tzinfo=UTC))
    end = to_us(datetime(2028, 11, 1, 3, 2, 1, tzinfo=UTC))

    spans = list(spans_between(zone, NIGHT, start_us=start, end_us=end))

    assert (spans[0].start_us, spans[-1].end_us) == (start, end)
    for left, right in pairwise(spans):
        assert left.end_us == right.start_us
        assert left.window != right.window


@pytest.mark.parametrize("zone", ZONES)
def test_a_night_is_as_long_as_it_really_is(zone: str) -> None:
    changes = set(clock_changes(zone))
    tz = ZoneInfo(zone)
    start, end = year_bounds_us(2027)[0], year_bounds_us(2029)[1]

    for span in list(spans_between(zone, NIGHT, start_us=start, end_us=end))[1:-1]:
        from_, until = (
            datetime.fromtimestamp(at_us / 1_000_000, UTC)
            for at_us in (span.start_us, span.end_us)
        )
        usual = timedelta(hours=16 if span.window.name == "peak" else 8)
        if not any(from_ <= change <= until for change in changes):
            assert until - from_ == usual
        shift = (until.astimezone(tz).utcoffset() or timedelta()) - (
            from_.astimezone(tz).utcoffset() or timedelta()
        )
        assert until - from_ == usual - shift


@pytest.mark.slow
def test_no_zone_changes_its_clocks_twice_between_two_daily_probes() -> None:
    days = [datetime(2026, 1, 1, tzinfo=UTC) + n * timedelta(days=1) for n in range(5 * 365)]
    for zone in sorted(available_timezones() - {"localtime", "Factory"}):
        tz = ZoneInfo(zone)
        offsets = [day.astimezone(tz).utcoffset() for day in days]

        changed = [
            day for day, (old, new) in zip(days, pairwise(offsets), strict=False) if old != new
        ]

        assert all(right - left > timedelta(days=6) for left, right in pairwise(changed)), zone
