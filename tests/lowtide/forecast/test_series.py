import numpy as np
import pytest

from lowtide.forecast.series import best_window, last_change, slides, slow_epochs, trend
from tests.lowtide.forecast.series import Make, steady, with_change, with_spikes


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


def test_slow_epochs_are_those_far_above_their_neighbours(rng: np.random.Generator) -> None:
    epoch_s = steady(rng)
    epoch_s[[20, 40, 70]] *= 2

    assert slow_epochs(epoch_s).nonzero()[0].tolist() == [20, 40, 70]


def test_epochs_before_a_drop_of_the_level_are_not_slow(rng: np.random.Generator) -> None:
    epoch_s = steady(rng)
    epoch_s[:30] *= 3

    assert not slow_epochs(epoch_s).any()


def test_what_happens_half_of_the_time_is_no_exception() -> None:
    assert not slow_epochs(np.array([60.0, 200, 60, 60, 200, 60, 60, 200, 60, 60, 200])).any()


def test_two_epochs_have_no_neighbourhood() -> None:
    assert not slow_epochs(np.array([60.0, 600.0])).any()


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25, 2.0])
def test_a_change_of_level_is_found_within_an_epoch(
    rng: np.random.Generator, factor: float
) -> None:
    epoch_s = steady(rng)
    epoch_s[57:] *= factor

    assert abs(last_change(epoch_s) - 57) <= 1


def test_of_two_changes_the_newer_one_counts(rng: np.random.Generator) -> None:
    epoch_s = steady(rng)
    epoch_s[30:] *= 1.5
    epoch_s[80:] *= 0.5

    assert last_change(epoch_s) == 80


def test_noise_is_hardly_ever_taken_for_a_change() -> None:
    changes = [last_change(steady(np.random.default_rng(seed), 60)) for seed in range(200)]

    assert sum(change > 0 for change in changes) <= 2


def test_a_straight_line_is_found_and_carried_on(rng: np.random.Generator) -> None:
    epoch_s = steady(rng, noise=0.02) * (1 + 0.006 * np.arange(100))

    line = trend(epoch_s)

    assert line is not None
    assert line.slope_s == pytest.approx(0.36, rel=0.15)
    assert line.ahead(100) == pytest.approx(60 * (1 + 0.006 * 149.5), rel=0.05)


def test_a_falling_line_never_forecasts_nothing() -> None:
    line = trend(100 - np.arange(40.0) + np.tile([0.5, -0.5], 20))

    assert line is not None
    assert line.ahead(1000) == pytest.approx(0.3 * line.now_s)


@pytest.mark.parametrize("make", [steady, with_change, with_spikes])
def test_what_is_no_line_has_no_trend(make: Make) -> None:
    found = [trend(make(np.random.default_rng(seed), 50)) for seed in range(100)]

    assert sum(line is not None for line in found) <= 5


def test_a_slide_that_slows_down_is_no_line() -> None:
    epoch_s = 60 + 60 * np.exp(-np.arange(60) / 12)

    assert trend(epoch_s) is None
    assert slides(epoch_s)


def test_scatter_hardly_ever_slides() -> None:
    found = [slides(steady(np.random.default_rng(seed), 6)) for seed in range(400)]

    assert sum(found) <= 40


def test_equal_epochs_do_not_slide() -> None:
    assert not slides(np.full(20, 60.0))


def test_too_few_epochs_tell_nothing() -> None:
    assert trend(np.arange(19.0)) is None
    assert not slides(np.array([60.0, 50.0]))
    assert last_change(np.array([60.0, 90.0, 90.0])) == 0
    assert best_window(np.array([60.0, 50.0]), gain_max=0.7) == 2


def test_independent_epochs_are_forecast_from_all_of_them(rng: np.random.Generator) -> None:
    assert best_window(steady(rng, 50), gain_max=0.5) == 50
