import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lowtide.errors import BadInputError
from lowtide.forecast import PastRun, TimeForecast, forecast_time
from lowtide.forecast.calibration import RUNS_MIN, PastErrors, past_errors
from lowtide.forecast.remaining import UNMEASURED_FACTOR
from lowtide.verdict import RefusalReason, Refused
from tests.lowtide.forecast.series import steady, with_spikes


def forecast(result: TimeForecast | Refused) -> TimeForecast:
    assert isinstance(result, TimeForecast)
    return result


def history(runs: int, *, same_job: bool = True) -> list[PastRun]:
    return [
        PastRun(epoch_s=tuple(with_spikes(np.random.default_rng(seed))), same_job=same_job)
        for seed in range(runs)
    ]


def test_nothing_known_is_refused_and_never_taken_for_no_time() -> None:
    refused = forecast_time([], epochs_total=10)

    assert isinstance(refused, Refused)
    assert refused.reason is RefusalReason.FORECAST_UNKNOWN
    assert "expected_epoch_s" in refused.remedy


def test_before_the_first_epoch_the_jobs_own_word_counts_and_is_labelled() -> None:
    found = forecast(forecast_time([], epochs_total=10, expected_epoch_s=60))

    assert found.based_on == "expected"
    assert not found.calibrated
    assert found.time_remaining_s.p50 == 600
    assert found.time_remaining_s.p90 == 600 * UNMEASURED_FACTOR
    assert "60 s" in found.explanation


def test_past_runs_of_the_job_count_before_its_own_word() -> None:
    runs = [PastRun(epoch_s=(50.0, 70.0)), PastRun(epoch_s=(80.0, 80.0))]

    found = forecast(forecast_time([], epochs_total=10, expected_epoch_s=1, history=runs))

    assert found.based_on == "history"
    assert found.time_remaining_s.p50 == 700
    assert not found.calibrated
    assert found.time_remaining_s.p90 == pytest.approx(800 * UNMEASURED_FACTOR)


def test_enough_past_runs_calibrate_the_first_forecast() -> None:
    runs = [PastRun(epoch_s=(float(n),)) for n in range(60, 60 + RUNS_MIN)]

    found = forecast(forecast_time([], epochs_total=1, history=runs))

    assert found.calibrated
    assert 60 < found.time_remaining_s.p10 < 62.5
    assert 76.5 < found.time_remaining_s.p90 < 79


def test_runs_of_other_jobs_say_nothing_about_this_ones_epochs() -> None:
    result = forecast_time([], epochs_total=1, history=history(30, same_job=False))

    assert isinstance(result, Refused)


def test_measured_epochs_count_before_all_else() -> None:
    found = forecast(
        forecast_time([90, 60, 60], epochs_total=13, expected_epoch_s=1, history=history(3))
    )

    assert found.based_on == "epochs"
    assert (found.epochs_done, found.epochs_remaining) == (3, 10)
    assert found.time_remaining_s.p50 == pytest.approx(600)
    assert not found.calibrated
    assert "fewer than 20" in found.explanation


def test_twenty_past_runs_of_other_jobs_calibrate_and_those_of_the_job_win() -> None:
    others, own = history(40, same_job=False), history(RUNS_MIN)

    from_others = past_errors([*others, *own[:-1]], share_done=0.25)
    from_own = past_errors([*others, *own], share_done=0.25)

    assert from_others is not None
    assert not from_others.same_job
    assert from_own is not None
    assert from_own.same_job
    assert from_own.scores.size == RUNS_MIN


def test_past_runs_are_judged_as_they_stood_at_the_same_point() -> None:
    """Their level doubles half way: unforeseen at a quarter, known at three quarters."""
    doubling = [PastRun(epoch_s=(60.0,) * 50 + (120.0,) * 50)] * RUNS_MIN

    before, after = (past_errors(doubling, share_done=share) for share in (0.25, 0.75))

    assert before is not None
    assert after is not None
    assert before.at(0.5) > 10
    assert after.at(0.5) == pytest.approx(0)


def test_a_percentile_lies_between_the_errors_about_it() -> None:
    """With 20 errors the 90th percentile is the 18.9th, for then 90 % of new ones lie below."""
    errors = PastErrors(scores=np.arange(1.0, 21.0), same_job=True)

    assert errors.at(0.9) == pytest.approx(18.9)
    assert errors.at(0.1) == pytest.approx(2.1)


def test_past_runs_too_short_for_the_point_do_not_count() -> None:
    runs = [PastRun(epoch_s=(60.0,))] * 50

    assert past_errors(runs, share_done=0.5) is None


def test_runs_without_any_duration_have_no_errors() -> None:
    assert past_errors([PastRun(epoch_s=(0.0, 0.0))] * 50, share_done=0.5) is None


def test_a_calibrated_range_is_narrower_than_the_stated_one() -> None:
    epoch_s = list(steady(np.random.default_rng(5))[:25])
    calm = [PastRun(epoch_s=tuple(steady(np.random.default_rng(seed)))) for seed in range(30)]

    stated = forecast(forecast_time(epoch_s, epochs_total=100)).time_remaining_s
    learned = forecast(forecast_time(epoch_s, epochs_total=100, history=calm)).time_remaining_s

    assert learned.p90 - learned.p10 < (stated.p90 - stated.p10) / 3


@pytest.mark.slow
def test_ranges_learned_from_past_runs_cover_four_of_five_new_ones() -> None:
    past = history(50)
    inside = 0
    for seed in range(1000, 1200):
        run = with_spikes(np.random.default_rng(seed))
        found = forecast(forecast_time(list(run[:25]), epochs_total=100, history=past))
        came_s = float(run[25:].sum())
        inside += found.time_remaining_s.p10 <= came_s <= found.time_remaining_s.p90

    assert 0.70 <= inside / 200 <= 0.90


def test_a_run_that_is_done_takes_no_more_time() -> None:
    found = forecast(forecast_time([60, 60], epochs_total=2))

    assert found.epochs_remaining == 0
    assert found.time_remaining_s.p90 == 0


def test_epochs_without_a_known_duration_are_done_all_the_same() -> None:
    found = forecast(forecast_time([60], epochs_total=10, epochs_done=5))

    assert (found.epochs_done, found.epochs_remaining) == (5, 5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_a_duration_that_is_none_is_refused_by_its_epoch(bad: float) -> None:
    with pytest.raises(BadInputError, match="epoch 2: the duration"):
        forecast_time([60, bad], epochs_total=10)


@given(
    epoch_s=st.lists(st.floats(0, 1e6), min_size=1, max_size=40),
    left=st.integers(0, 1000),
)
def test_percentiles_are_in_order_and_no_time_is_negative(epoch_s: list[float], left: int) -> None:
    found = forecast(forecast_time(epoch_s, epochs_total=len(epoch_s) + left))

    for each in (found.epoch_s, found.time_remaining_s):
        assert 0 <= each.p10 <= each.p50 <= each.p90
    assert found.time_remaining_s.p50 == pytest.approx(found.epoch_s.p50 * left)
