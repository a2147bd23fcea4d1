from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from lowtide.early_stopping import enough, should_stop, stop_epoch
from lowtide.errors import BadInputError
from lowtide.job import EarlyStopping, parse_job
from lowtide.progress import Fault
from tests.lowtide.recommend.records import flat_from, job, progress

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


@pytest.mark.parametrize("patience", [None, 3])
def test_a_target_reached_is_enough_with_or_without_patience(patience: int | None) -> None:
    rule = EarlyStopping(patience=patience, target=0.97)

    assert stopped([0.5, 0.97], rule) == 2
    assert stopped([0.5, 0.96], rule) is None


def test_a_target_alone_waits_for_ever() -> None:
    assert stopped([0.5] * 1000, EarlyStopping(target=0.97)) is None


def test_a_loss_is_good_enough_from_below() -> None:
    rule = EarlyStopping(target=0.1)

    assert stop_epoch([0.5, 0.2, 0.1], goal="minimize", early_stopping=rule) == 3


def test_a_rule_that_stops_nothing_is_refused() -> None:
    document = {"name": "digits", "command": ["train"], "early_stopping": {"min_delta": 0.1}}

    with pytest.raises(BadInputError, match="early_stopping: nothing here says when to stop"):
        parse_job(document)


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


ASKED = job(epochs=20, early_stopping={"patience": 3, "min_delta": 0.01})


def test_a_run_that_goes_on_is_good_enough_once_its_jobs_rule_says_so() -> None:
    assert enough(progress([60.0] * 8, values=flat_from(5, 8)), job=ASKED)
    assert not enough(progress([60.0] * 7, values=flat_from(5, 7)), job=ASKED)


def test_a_run_whose_job_asks_for_nothing_is_never_good_enough() -> None:
    flat = progress([60.0] * 18, values=[0.9] * 18)

    assert not enough(flat, job=job(epochs=20, metric={"name": "val_accuracy", "target": 0.5}))


def test_a_run_that_did_all_its_epochs_needs_no_stop() -> None:
    assert not enough(progress([60.0] * 20, values=[0.9] * 20), job=ASKED)


@pytest.mark.parametrize("fault", [Fault.OUT_OF_ORDER, Fault.OUT_OF_RANGE, Fault.REPEATED])
def test_a_series_that_cannot_be_trusted_stops_nothing(fault: Fault) -> None:
    doubtful = replace(progress([60.0] * 18, values=[0.9] * 18), faults=(fault,))

    assert not enough(doubtful, job=ASKED)
