import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from lowtide.forecast.pace import pace
from tests.lowtide.forecast.series import (
    Make,
    steady,
    with_change,
    with_slow_start,
    with_spikes,
)


def error(epoch_s: NDArray[np.float64], *, done: int) -> float:
    """Relative error of the forecast of what came."""
    came_s = float(epoch_s[done:].mean())
    return abs(pace(epoch_s[:done], epochs_left=epoch_s.size - done).epoch_s / came_s - 1)


def test_a_slow_first_epoch_is_left_out() -> None:
    assert pace(np.array([400.0, 60, 61, 59]), epochs_left=96).epoch_s == pytest.approx(60)


def test_a_first_epoch_like_the_others_counts() -> None:
    assert pace(np.array([60.0, 62, 58, 60]), epochs_left=96).epoch_s == pytest.approx(60)


def test_the_only_epoch_is_all_there_is() -> None:
    assert pace(np.array([90.0]), epochs_left=9).epoch_s == 90


def test_a_later_legs_slow_start_is_left_out_too() -> None:
    epoch_s = np.array([60.0, 60, 60, 300, 60, 60])

    assert pace(epoch_s, epochs_left=4, warm_ups=(0, 3)).epoch_s == pytest.approx(60)


def test_slow_epochs_count_for_little_while_epochs_are_few() -> None:
    few = np.array([60.0, 60, 60, 240, 60])
    many = np.tile(few, 20)
    many[3] = 60  # a cycle with a gap is no cycle

    assert 60 < pace(few, epochs_left=95).epoch_s < few.mean()
    assert pace(many, epochs_left=100).epoch_s == pytest.approx(many.mean(), rel=0.05)


def test_slow_epochs_in_a_cycle_are_counted_ahead_one_by_one() -> None:
    epoch_s = np.array([60.0, 60, 60, 60, 110] * 3)

    ahead = [pace(epoch_s, epochs_left=left).epoch_s * left for left in range(1, 11)]

    assert ahead == pytest.approx([60, 120, 180, 240, 350, 410, 470, 530, 590, 700])


def test_a_known_cycle_is_used_from_its_first_slow_epoch_on() -> None:
    epoch_s = np.array([60.0, 60, 60, 60, 110, 60])

    known = pace(epoch_s, epochs_left=4, slow_every=5)

    assert known.epoch_s == pytest.approx((3 * 60 + 110) / 4)
    assert "one in 5" in known.saw


def test_a_known_cycle_without_a_slow_epoch_so_far_changes_nothing() -> None:
    epoch_s = np.array([60.0, 61, 59])

    assert pace(epoch_s, epochs_left=9, slow_every=10).epoch_s == pytest.approx(60)


def test_after_a_change_of_level_only_the_new_level_counts() -> None:
    epoch_s = np.concatenate((np.full(40, 60.0), np.full(10, 90.0)))
    epoch_s += np.tile([0.5, -0.5], 25)

    assert pace(epoch_s, epochs_left=50).epoch_s == pytest.approx(90, rel=0.01)


def test_epochs_that_slide_are_forecast_from_the_newest() -> None:
    epoch_s = 60 + 60 * np.exp(-np.arange(20) / 5)

    assert pace(epoch_s, epochs_left=80).epoch_s == pytest.approx(float(epoch_s[-1]))


def test_a_drift_is_carried_on() -> None:
    rng = np.random.default_rng(3)
    epoch_s = steady(rng) * (1 + 0.3 * np.arange(100) / 99)

    assert error(epoch_s, done=50) < 0.05


@pytest.mark.parametrize("make", [steady, with_slow_start, with_spikes, with_change])
def test_the_forecast_is_about_as_good_as_the_mean_at_its_best(make: Make) -> None:
    """Against the mean with hindsight about the first epoch, over many runs."""
    runs = [make(np.random.default_rng(seed)) for seed in range(60)]
    ours = float(np.median([error(run, done=25) for run in runs]))
    mean = float(np.median([abs(run[1:25].mean() / run[25:].mean() - 1) for run in runs]))

    assert ours <= 1.1 * mean


def test_a_long_history_is_bounded_by_the_newest_epochs() -> None:
    epoch_s = np.concatenate((np.full(5_000, 10.0), np.full(600, 60.0)))

    assert pace(epoch_s, epochs_left=10).epoch_s == pytest.approx(60)


@given(
    epoch_s=st.lists(st.floats(1, 1e5), min_size=1, max_size=60),
    left=st.integers(1, 500),
)
def test_the_pace_lies_within_what_was_seen_and_knows_no_unit(
    epoch_s: list[float], left: int
) -> None:
    seen_s = np.array(epoch_s)

    found = pace(seen_s, epochs_left=left)

    assert found.error_s > 0
    if "trend" not in found.saw and "slow" not in found.saw:
        assert seen_s.min() * (1 - 1e-9) <= found.epoch_s <= seen_s.max() * (1 + 1e-9)
    rescaled = pace(seen_s * 2, epochs_left=left)
    assert rescaled.epoch_s == pytest.approx(2 * found.epoch_s, rel=1e-6)
