"""A run that may miss its deadline says by how much, and what would still save it."""

from datetime import timedelta

import pytest

from lowtide.policy import decide, lateness, read_observation
from tests.lowtide.policy.test_decide import HOUR_S, NOON, seen_at


def test_a_run_in_time_and_one_without_a_deadline_are_not_late() -> None:
    assert lateness(seen_at(hours=4)) is None
    assert lateness(seen_at(hours=40, deadline=None)) is None


def test_what_would_save_a_late_run_is_said_in_figures() -> None:
    late = lateness(
        seen_at(hours=7, work_left_s=3 * HOUR_S, work_left_s_p90=4 * HOUR_S, epochs_left=8)
    )

    assert late is not None
    assert (late.late_s, late.done_by) == (HOUR_S, NOON + timedelta(hours=11))
    assert late.ways == (
        "a deadline of 2026-11-23T23:01:00+00:00 or later",
        "6 instead of the 8 epochs left",
        "capacity 1.38 times as fast",
        "no change of capacity any more, with which the middle forecast is in time",
    )


@pytest.mark.parametrize("epochs_left", [0, 1])
def test_a_deadline_that_has_passed_can_only_be_moved(epochs_left: int) -> None:
    late = lateness(seen_at(hours=11, work_left_s_p90=HOUR_S, epochs_left=epochs_left))

    assert late is not None
    assert late.ways == ("a deadline of 2026-11-24T00:01:00+00:00 or later",)


def test_the_decision_says_it_and_says_it_again_when_it_is_looked_at_again() -> None:
    seen = seen_at(hours=5, epochs_left=6)

    decision = decide(seen)

    assert decision.latched
    assert "by its upper forecast it is 1 h 0 min late" in decision.reason
    assert "5 instead of the 6 epochs left" in decision.reason
    assert decide(read_observation(seen.document())) == decision


def test_lateness_is_news_at_first_and_when_it_has_doubled() -> None:
    late = lateness(seen_at(hours=5))

    assert late is not None
    assert late.late_s == HOUR_S
    assert [late.is_news(told_s) for told_s in (0.0, 100.0, 1799.0, 1801.0, 3600.0)] == [
        True,
        True,
        True,
        False,
        False,
    ]
