import math

from hypothesis import given, strategies as st

from lowtide.checkpointing import PRIOR_LIFETIME_S, best_interval_s, mean_lifetime_s


@given(
    checkpoint_s=st.floats(0.1, 3600),
    lifetime_s=st.floats(60, 1e6),
    factor=st.floats(0.2, 5).filter(lambda factor: abs(factor - 1) > 0.05),
)
def test_any_other_interval_wastes_more(
    checkpoint_s: float, lifetime_s: float, factor: float
) -> None:
    def wall_s_per_work_s(interval_s: float) -> float:
        return lifetime_s * math.expm1((interval_s + checkpoint_s) / lifetime_s) / interval_s

    best_s = best_interval_s(checkpoint_s, lifetime_s)
    other_s = min(best_s * factor, 100 * lifetime_s)

    assert wall_s_per_work_s(best_s) <= wall_s_per_work_s(other_s) * (1 + 1e-9)


@given(st.floats(1, 300))
def test_dalys_formula_agrees_to_a_second_for_four_hours(checkpoint_s: float) -> None:
    lifetime_s = 4 * 3600.0
    x = checkpoint_s / (2 * lifetime_s)
    daly_s = math.sqrt(2 * checkpoint_s * lifetime_s) * (1 + math.sqrt(x) / 3 + x / 9)

    assert abs(best_interval_s(checkpoint_s, lifetime_s) - (daly_s - checkpoint_s)) < 1


@given(checkpoint_s=st.floats(0, 1e5), lifetime_s=st.floats(1, 1e6))
def test_the_interval_is_never_longer_than_the_lifetime(
    checkpoint_s: float, lifetime_s: float
) -> None:
    assert 0 <= best_interval_s(checkpoint_s, lifetime_s) <= lifetime_s


def test_with_nothing_seen_the_prior_counts_and_with_much_seen_it_hardly_does() -> None:
    assert mean_lifetime_s([]) == PRIOR_LIFETIME_S
    assert abs(mean_lifetime_s([600.0] * 10_000) - 600) < 3
