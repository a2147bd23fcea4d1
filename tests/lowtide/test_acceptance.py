"""Acceptance: who was promised a deadline keeps it, and who is turned away hears what would fit."""

from datetime import UTC, datetime, timedelta

from hypothesis import example, given, strategies as st

from lowtide.acceptance import DeadlineWork, accept
from lowtide.verdict import RefusalReason

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def work(run: str, hours: float, *, by_h: float, gpus: int = 1) -> DeadlineWork:
    deadline = NOON + timedelta(hours=by_h)
    return DeadlineWork(run=run, gpus=gpus, work_s=hours * 3600, deadline=deadline)


def test_what_fits_beside_the_others_is_accepted() -> None:
    accepted = [work("a", 4, by_h=4), work("b", 4, by_h=8)]

    assert accept(work("c", 4, by_h=8), accepted, gpus=2, now=NOON) is None
    assert accept(work("c", 4, by_h=12), accepted, gpus=1, now=NOON) is None


def test_who_would_be_late_hears_by_how_much_and_the_deadline_that_would_fit() -> None:
    refused = accept(work("c", 4, by_h=10), [work("a", 8, by_h=9)], gpus=1, now=NOON)

    assert refused is not None
    assert refused.reason is RefusalReason.DEADLINE
    assert "with run 'a' before it, it would be 2 h 0 min late" in refused.message
    assert "2026-11-24T00:00:00+00:00 or later would fit" in refused.remedy


def test_nobody_is_accepted_at_the_cost_of_who_was_promised_before() -> None:
    refused = accept(work("c", 4, by_h=5), [work("a", 8, by_h=9)], gpus=1, now=NOON)

    assert refused is not None
    assert "it would make run 'a' 3 h 0 min late" in refused.message


def test_more_gpus_than_there_are_never_fit() -> None:
    refused = accept(work("c", 1, by_h=100, gpus=3), [], gpus=2, now=NOON)

    assert refused is not None
    assert refused.reason is RefusalReason.QUOTA


def test_a_run_that_is_late_anyway_keeps_nobody_out() -> None:
    assert accept(work("c", 1, by_h=9), [work("a", 4, by_h=1)], gpus=1, now=NOON) is None


hours = st.integers(1, 12)


@given(
    others=st.lists(st.tuples(hours, st.integers(1, 48), st.integers(1, 3)), max_size=6),
    new=st.tuples(hours, st.integers(1, 48), st.integers(1, 3)),
    gpus=st.integers(3, 6),
)
@example(  # done behind all others at 16:00, and then r4, due at 17:00, would be behind it
    others=[(1, 1, 1), (1, 1, 1), (1, 1, 1), (2, 1, 1), (2, 5, 1)], new=(1, 1, 3), gpus=3
)
def test_the_deadline_that_is_offered_would_have_been_accepted(
    others: list[tuple[int, int, int]], new: tuple[int, int, int], gpus: int
) -> None:
    accepted = [
        work(f"r{n}", hours, by_h=by_h, gpus=wide) for n, (hours, by_h, wide) in enumerate(others)
    ]
    asked = work("new", new[0], by_h=new[1], gpus=new[2])

    refused = accept(asked, accepted, gpus=gpus, now=NOON)

    if refused is not None:
        offered = datetime.fromisoformat(refused.remedy.split()[3])
        later = DeadlineWork(run="new", gpus=new[2], work_s=asked.work_s, deadline=offered)
        assert accept(later, accepted, gpus=gpus, now=NOON) is None
