"""Until when a running leg is paid for: never so near that the next look comes too late."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from lowtide.forecast import TimeForecast, forecast_time
from lowtide.limits import RUN_TIME_MIN
from lowtide.money import UsdRange
from lowtide.verdict import Refused
from tasks.forecast import Outlook
from tasks.monitor import paid_ends

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def outlook(epoch_s: float, *, epochs: int) -> Outlook:
    time = forecast_time([epoch_s] * 3, epochs_total=3 + epochs)
    assert not isinstance(time, Refused)
    assert isinstance(time, TimeForecast)
    cost_usd = UsdRange(p10=Decimal(1), p50=Decimal(1), p90=Decimal(1))
    return Outlook(time=time, cost_usd=cost_usd, at=NOON)


def test_a_long_run_is_paid_for_until_its_upper_forecast() -> None:
    ahead = outlook(600.0, epochs=10)
    end = NOON + timedelta(seconds=ahead.time.time_remaining_s.p90)

    assert paid_ends(ahead, now=NOON) == (end, end)


def test_epochs_shorter_than_a_look_leave_time_for_the_next_look() -> None:
    least, enough = paid_ends(outlook(0.01, epochs=2), now=NOON)

    assert least == NOON + RUN_TIME_MIN
    assert enough == NOON + 2 * RUN_TIME_MIN


def test_a_run_later_than_forecast_is_paid_for_by_whole_epochs() -> None:
    late = NOON + timedelta(hours=3)
    ahead = outlook(600.0, epochs=1)

    least, enough = paid_ends(ahead, now=late)

    assert least == late + RUN_TIME_MIN
    assert enough - least == timedelta(seconds=ahead.time.epoch_s.p90)
