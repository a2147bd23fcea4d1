"""Another way to the same prices: ask a clock in the zone what time it is, moment after moment.

Nothing of `lowtide.prices` but its records is used here. It is slow and can't be wrong in the same way.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from zoneinfo import ZoneInfo

from lowtide.prices import Demand, Flavor, Multipliers, PriceBook, Rates, Sheet, Window

DAY, MINUTE, SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# Two hours at Troll, half an hour on Lord Howe, Ramadan in Casablanca, quarter hours in Chatham and
# Kathmandu, four changes a year in Gaza; the last four stay as they are.
ZONES = (
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "America/Sao_Paulo",
    "UTC",
)
NIGHT = (
    Window(name="peak", start_min=6 * 60, end_min=22 * 60),
    Window(name="off-peak", start_min=22 * 60, end_min=6 * 60, multiplier=Decimal("0.5")),
)
T4 = Flavor(
    name="t4",
    on_demand=Rates(gpu_usd_per_h=Decimal("0.25")),
    spot=Rates(gpu_usd_per_h=Decimal("0.075"), follows_windows=False),
    interruption_rate=Decimal("0.05"),
)
ONE_T4 = Demand(flavor="t4")
YEAR_2000 = datetime(2000, 1, 1, tzinfo=UTC)


def sheet_of(
    *windows: Window,
    zone: str = "UTC",
    version: str = "v1",
    effective_from: datetime = YEAR_2000,
    effective_until: datetime | None = None,
    flavor: Flavor = T4,
) -> Sheet:
    return Sheet(
        version=version,
        effective_from=effective_from,
        effective_until=effective_until,
        zone=zone,
        windows=windows or NIGHT,
        flavors=(flavor,),
        multipliers=Multipliers(urgent=Decimal("1.5"), background=Decimal("0.8")),
    )


def book_of(*sheets: Sheet) -> PriceBook:
    return PriceBook(sheets=sheets or (sheet_of(),))


def window_at(sheet: Sheet, moment: datetime) -> Window:
    """The window that covers the wall time which a clock in the zone shows."""
    wall = moment.astimezone(ZoneInfo(sheet.zone))
    minute = wall.hour * 60 + wall.minute
    today, yesterday = DAYS[wall.weekday()], DAYS[wall.weekday() - 1]
    found = [window for window in sheet.windows if _covers(window, minute, today, yesterday)]
    assert len(found) == 1, (moment, wall, found)
    return found[0]


def _covers(window: Window, minute: int, today: str, yesterday: str) -> bool:
    if window.start_min < window.end_min:
        return today in window.days and window.start_min <= minute < window.end_min
    return (today in window.days and minute >= window.start_min) or (
        yesterday in window.days and minute < window.end_min
    )


def walked_usd(
    sheet: Sheet, *, start: datetime, end: datetime, step: timedelta, gpu_usd_per_h: Decimal
) -> Fraction:
    """Sum step after step; exact where no edge falls into a step."""
    microseconds: Counter[Decimal] = Counter()
    moment = start.astimezone(UTC)
    while moment < end:
        until = min(moment + step, end)
        microseconds[window_at(sheet, moment).multiplier] += (until - moment) // MICROSECOND
        moment = until
    factors = sum(
        (Fraction(multiplier) * count for multiplier, count in microseconds.items()), Fraction(0)
    )
    return Fraction(gpu_usd_per_h) * factors / 3_600_000_000


@cache
def clock_changes(zone: str) -> tuple[datetime, ...]:
    """All moments of 2026 to 2030 at which clocks of the zone change, found by asking each day.

    A day in which they change is asked minute by minute; that they change twice in a day, and back,
    happens nowhere.
    """
    tz = ZoneInfo(zone)

    def offset(moment: datetime) -> timedelta | None:
        return moment.astimezone(tz).utcoffset()

    found: list[datetime] = []
    day, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
    while day < end:
        if offset(day) != offset(day + DAY):
            minutes = (day + n * MINUTE for n in range(1, 24 * 60 + 1))
            found.append(next(moment for moment in minutes if offset(moment) != offset(day)))
        day += DAY
    return tuple(found)
