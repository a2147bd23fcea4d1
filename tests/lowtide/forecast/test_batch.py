import numpy as np
import pytest
from hypothesis import given, strategies as st

from lowtide.forecast import PastRun, Range, batch_model

MINUTE = Range(p10=50, p50=60, p90=75)


def past(batch_size: int | None, epoch_s: float, *, same_job: bool = True) -> PastRun:
    return PastRun(epoch_s=(epoch_s,), batch_size=batch_size, same_job=same_job)


def test_two_measured_batch_sizes_give_the_others() -> None:
    """30 s for the samples, 1,920 s of steps shared by the batch."""
    model = batch_model([past(32, 90), past(64, 60)], batch_size=64)

    assert model is not None
    assert model.measured
    assert model.at(128).p50 == pytest.approx(45)
    assert model.stated(64) is None
    assert model.stated(48) == "from a line through the measured batch sizes 32 to 64"
    assert model.stated(128) == "beyond the measured batch sizes 32 to 64"


@given(sample_s=st.floats(1, 1000), step_s=st.floats(1, 1e5))
def test_exact_measurements_are_fitted_exactly(sample_s: float, step_s: float) -> None:
    runs = [past(size, sample_s + step_s / size) for size in (16, 64, 256)]

    model = batch_model(runs, batch_size=64)

    assert model is not None
    for size in (8, 32, 1024):
        assert model.at(size).p50 == pytest.approx(sample_s + step_s / size, rel=1e-6)


def test_one_measured_size_leaves_the_stated_assumption() -> None:
    model = batch_model([past(64, 60)], batch_size=64, epoch_s=MINUTE)

    assert model is not None
    assert not model.measured
    assert model.at(128).p50 == pytest.approx(50)
    assert model.at(32).p90 == pytest.approx(90)
    assert "1.2 times faster" in (model.stated(128) or "")


def test_epochs_that_get_longer_with_the_batch_are_taken_as_equal() -> None:
    model = batch_model([past(32, 60), past(64, 66)], batch_size=64)

    assert model is not None
    assert np.ptp(model.ratio(np.array([16.0, 64.0, 256.0]))) == 0


def test_steps_that_cost_all_leave_nothing_to_the_samples() -> None:
    model = batch_model([past(32, 90), past(64, 30)], batch_size=64)

    assert model is not None
    assert model.ratio(np.array([128.0]))[0] == pytest.approx(0.5)


def test_runs_of_other_jobs_and_without_a_batch_size_tell_nothing() -> None:
    assert batch_model([past(32, 90, same_job=False), past(None, 60)], batch_size=64) is None


def test_a_size_measured_elsewhere_is_the_base_where_nothing_else_is_known() -> None:
    model = batch_model([past(32, 90), past(32, 110)], batch_size=64)

    assert model is not None
    assert model.batch_size == 32
    assert model.at(32) == Range(p10=90, p50=100, p90=110)
