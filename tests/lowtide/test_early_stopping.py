import pytest
from hypothesis import given, strategies as st

from lowtide.early_stopping import should_stop, stop_epoch
from lowtide.job import EarlyStopping

RULE = EarlyStopping(patience=3, min_delta=0.01)


def stopped(values: list[float | None], rule: EarlyStopping | None = RULE) -> int | None:
    return stop_epoch(values, goal="maximize", early_stopping=rule)


def test_it_stops_when_patience_has_run_out() -> None:
    assert stopped([0.5, 0.8, 0.8, 0.805, 0.8, 0.9]) == 5


def test_a_gain_that_counts_begins_the_wait_anew() -> None:
    assert stopped([0.5, 0.8, 0.8, 0.8, 0.82, 0.82, 0.82]) is None


def test_a_gain_of_just_the_least_is_none() -> None:
    rule = EarlyStopping(patience=1, min_delta=0.25)

    assert stopped([0.5, 0.75], rule) == 2
    assert stopped([0.5, 0.8], rule) is None


def test_small_gains_add_up_until_they_count() -> None:
    assert stopped([0.5 + 0.006 * epoch for epoch in range(50)]) is None


def test_a_metric_that_falls_is_watched_the_other_way() -> None:
    values = [3.0, 2.0, 2.0, 2.0, 2.0]

    assert stop_epoch(values, goal="minimize", early_stopping=RULE) == 5
    assert stop_epoch(values, goal="maximize", early_stopping=RULE) == 4


def test_epochs_without_a_value_decide_nothing() -> None:
    assert stopped([0.5, None, None, None, None, 0.6]) is None


def test_a_target_reached_is_enough_with_or_without_a_rule() -> None:
    for rule in (None, RULE):
        assert stop_epoch([0.5, 0.97], goal="maximize", early_stopping=rule, target=0.97) == 2
        assert not should_stop([0.5], goal="maximize", early_stopping=rule, target=0.97)


def test_nobody_asked_nobody_stops() -> None:
    assert not should_stop([0.5] * 1000, goal="maximize", early_stopping=None)


@given(
    values=st.lists(st.floats(0, 1), max_size=40),
    patience=st.integers(1, 10),
    more=st.integers(0, 5),
    min_delta=st.floats(0, 0.5),
)
def test_more_patience_never_stops_earlier(
    values: list[float], patience: int, more: int, min_delta: float
) -> None:
    first = stopped([*values], EarlyStopping(patience=patience, min_delta=min_delta))
    later = stopped([*values], EarlyStopping(patience=patience + more, min_delta=min_delta))

    assert first is not None or later is None
    if first is not None and later is not None:
        assert patience < first <= later


@pytest.mark.parametrize("length", range(1, 12))
def test_it_says_stop_from_the_stopping_epoch_on(length: int) -> None:
    values = [0.5, 0.8, 0.8, 0.805, 0.8, 0.9, 0.9, 0.95, 0.95, 0.95, 0.96][:length]

    assert should_stop(values, goal="maximize", early_stopping=RULE) == (length >= 5)
