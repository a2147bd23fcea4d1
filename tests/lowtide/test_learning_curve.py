import pytest
from hypothesis import given, strategies as st

from lowtide.learning_curve import VALUES_MIN, forecast_best
from tests.effort import at_most


def curve(epochs: int, *, end: float = 0.9, drop: float = 0.6) -> list[float]:
    return [end - drop / epoch for epoch in range(1, epochs + 1)]


def test_early_a_curve_sees_further_than_the_best_so_far() -> None:
    seen, end = curve(20), curve(100)[-1]

    found = forecast_best(seen, epochs=100, goal="maximize")

    assert found is not None
    assert found.based_on == "curve"
    assert abs(found.p50 - end) < abs(max(seen) - end)
    assert found.p10 <= end <= found.p90


def test_one_outlier_hardly_bends_it() -> None:
    seen = curve(20)
    with_outlier = [*seen[:10], 0.1, *seen[11:]]

    clean, bent = (
        forecast_best(values, epochs=60, goal="maximize") for values in (seen, with_outlier)
    )

    assert clean is not None
    assert bent is not None
    assert bent.p50 == pytest.approx(clean.p50, abs=0.03)


def test_late_the_best_so_far_counts() -> None:
    found = forecast_best([0.5, 0.9, 0.8, 0.85], epochs=5, goal="maximize")

    assert found is not None
    assert found.based_on == "best-so-far"
    assert found.p10 == found.p50 == 0.9
    assert found.p90 > 0.9


def test_at_the_end_there_is_no_doubt() -> None:
    found = forecast_best([0.5, 0.9, 0.8, 0.85], epochs=4, goal="maximize")

    assert found is not None
    assert found.p10 == found.p50 == found.p90 == 0.9


def test_a_loss_is_forecast_downwards() -> None:
    found = forecast_best([1 - value for value in curve(20)], epochs=100, goal="minimize")

    assert found is not None
    assert found.p10 <= found.p50 <= found.p90 <= 1 - max(curve(20)) + 1e-12


def test_too_few_values_are_no_curve() -> None:
    assert forecast_best([0.5] * (VALUES_MIN - 1), epochs=10, goal="maximize") is None
    assert forecast_best([None] * 10, epochs=10, goal="maximize") is None


def test_a_metric_that_does_not_move_stays() -> None:
    found = forecast_best([0.5] * 5, epochs=100, goal="maximize")

    assert found is not None
    assert found.p10 == found.p90 == 0.5


@at_most(40)
@given(
    values=st.lists(st.one_of(st.none(), st.floats(-10, 10)), min_size=4, max_size=20),
    more=st.integers(0, 80),
)
def test_the_end_is_never_worse_than_the_best_so_far(
    values: list[float | None], more: int
) -> None:
    found = forecast_best(values, epochs=len(values) + more, goal="maximize")

    known = [value for value in values if value is not None]
    if found is not None:
        assert max(known) <= found.p10 + 1e-9
        assert found.p10 <= found.p50 <= found.p90
