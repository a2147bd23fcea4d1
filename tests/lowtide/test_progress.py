import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, strategies as st

from lowtide.progress import EpochPoint, Fault, Progress, fault_message, read_progress

START = datetime(2026, 11, 23, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def logged(*points: tuple[int, float, float]) -> list[EpochPoint]:
    return [EpochPoint(epoch=epoch, value=value, at=at(when)) for epoch, value, when in points]


def read(
    *points: tuple[int, float, float], legs: tuple[float, ...] = (0.0,), epochs: int | None = 10
) -> Progress:
    return read_progress(
        logged(*points), leg_starts=[at(start) for start in legs], epochs=epochs, goal="maximize"
    )


def test_each_epoch_lasts_from_the_one_before_to_its_own_point() -> None:
    progress = read((1, 0.5, 90), (2, 0.6, 150), (3, 0.55, 210))

    assert progress.epochs_done == 3
    assert progress.epoch_s == (90, 60, 60)
    assert progress.values == (0.5, 0.6, 0.55)
    assert (progress.best, progress.best_epoch) == (0.6, 2)
    assert progress.last_at == at(210)
    assert progress.warm_ups == (0,)
    assert progress.faults == ()


def test_the_least_value_is_best_where_less_is_better() -> None:
    points = logged((1, 3.0, 60), (2, 2.0, 120), (3, 2.0, 180))

    progress = read_progress(points, leg_starts=[START], epochs=3, goal="minimize")

    assert (progress.best, progress.best_epoch) == (2.0, 2)


def test_waiting_between_two_legs_belongs_to_no_epoch() -> None:
    progress = read((1, 0.5, 60), (2, 0.6, 120), (3, 0.7, 10_070), legs=(0, 10_000))

    assert progress.epoch_s == (60, 60, 70)
    assert progress.warm_ups == (0, 2)
    assert progress.redone_s == 0
    assert progress.faults == ()


def test_an_epoch_done_again_after_an_interruption_counts_once_and_is_no_fault() -> None:
    progress = read(
        (1, 0.5, 60), (2, 0.6, 120), (3, 0.7, 180), (3, 0.71, 1_065), (4, 0.8, 1_125),
        legs=(0, 1_000),
    )  # fmt: skip

    assert progress.epochs_done == 4
    assert progress.epoch_s == (60, 60, 65, 60)
    assert progress.values == (0.5, 0.6, 0.71, 0.8)
    assert progress.redone_s == 60
    assert progress.faults == ()


def test_a_leg_that_starts_from_nothing_sets_the_progress_back() -> None:
    progress = read((1, 0.5, 60), (2, 0.6, 120), (1, 0.4, 1_060), legs=(0, 1_000))

    assert progress.epochs_done == 1
    assert progress.values == (0.4,)
    assert progress.epoch_s == (60,)
    assert progress.redone_s == 120


def test_a_leg_that_has_logged_nothing_yet_leaves_the_progress_as_it_was() -> None:
    assert read((1, 0.5, 60), legs=(0, 1_000)).epochs_done == 1


def test_without_a_known_start_the_first_epoch_has_no_duration() -> None:
    progress = read((1, 0.5, 60), (2, 0.6, 120), legs=())

    assert progress.epochs_done == 2
    assert progress.epoch_s == (60,)
    assert progress.warm_ups == ()


@dataclass(frozen=True, kw_only=True)
class Case:
    id: str
    points: tuple[tuple[int, float, float], ...]
    faults: tuple[Fault, ...]
    epoch_s: tuple[float, ...]
    values: tuple[float | None, ...]


CASES = [
    Case(id="nothing was logged", points=(), faults=(Fault.NO_METRIC,), epoch_s=(), values=()),
    Case(
        id="a NaN is progress without a value",
        points=((1, 0.5, 60), (2, math.nan, 120), (3, 0.6, 180)),
        faults=(Fault.NOT_A_NUMBER,),
        epoch_s=(60, 60, 60),
        values=(0.5, None, 0.6),
    ),
    Case(
        id="infinite is not a number either",
        points=((1, math.inf, 60),),
        faults=(Fault.NOT_A_NUMBER,),
        epoch_s=(60,),
        values=(None,),
    ),
    Case(
        id="a step backwards within a leg is out of order",
        points=((1, 0.5, 60), (3, 0.6, 180), (2, 0.7, 190), (4, 0.8, 240)),
        faults=(Fault.OUT_OF_ORDER, Fault.MISSING),
        epoch_s=(60, 60, 60, 60),
        values=(0.5, 0.7, 0.6, 0.8),
    ),
    Case(
        id="a step twice within a leg keeps its first time and its last value",
        points=((1, 0.5, 60), (1, 0.6, 80), (2, 0.7, 120)),
        faults=(Fault.REPEATED,),
        epoch_s=(60, 60),
        values=(0.6, 0.7),
    ),
    Case(
        id="the time of epochs that were not logged is spread evenly",
        points=((1, 0.5, 60), (4, 0.6, 240)),
        faults=(Fault.MISSING,),
        epoch_s=(60, 60, 60, 60),
        values=(0.5, None, None, 0.6),
    ),
    Case(
        id="the optimiser's steps are no epochs",
        points=((1, 0.5, 60), (11, 0.6, 61), (500, 0.6, 62)),
        faults=(Fault.OUT_OF_RANGE,),
        epoch_s=(60,),
        values=(0.5,),
    ),
    Case(
        id="epoch 0 is an evaluation before training",
        points=((0, 0.1, 5), (1, 0.5, 60)),
        faults=(Fault.OUT_OF_RANGE,),
        epoch_s=(60,),
        values=(0.5,),
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_what_is_wrong_with_a_series_is_told_apart(case: Case) -> None:
    progress = read(*case.points)

    assert progress.faults == case.faults
    assert progress.epoch_s == case.epoch_s
    assert progress.values == case.values


def test_a_point_before_its_leg_is_said_to_have_started_takes_no_negative_time() -> None:
    assert read((1, 0.5, -3)).epoch_s == (0,)


def test_a_leg_that_begins_with_a_later_epoch_than_the_next_misses_some() -> None:
    progress = read((1, 0.5, 60), (4, 0.8, 1_060), legs=(0, 1_000))

    assert progress.faults == (Fault.MISSING,)
    assert progress.epoch_s == (60, 60)


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_says_what_to_do(fault: Fault) -> None:
    message = fault_message(fault)

    assert ";" in message
    assert len(message) > 40
    assert len({fault_message(other) for other in Fault}) == len(Fault)


@given(
    durations_s=st.lists(st.integers(1, 1000), min_size=1, max_size=30),
    shuffle=st.randoms(use_true_random=False),
)
def test_points_may_come_in_any_order_because_their_times_decide(
    durations_s: list[int], shuffle: Random
) -> None:
    when = 0
    points: list[EpochPoint] = []
    for epoch, duration_s in enumerate(durations_s, 1):
        when += duration_s
        points.append(EpochPoint(epoch=epoch, value=epoch / 100, at=at(when)))
    shuffle.shuffle(points)

    progress = read_progress(points, leg_starts=[START], epochs=None, goal="maximize")

    assert progress.epoch_s == tuple(durations_s)
    assert sum(progress.epoch_s) == when
    assert progress.faults == ()


@given(
    legs=st.lists(
        st.tuples(st.integers(0, 5), st.integers(1, 6), st.integers(0, 500)),
        min_size=1,
        max_size=6,
    )
)
def test_no_epoch_is_longer_than_the_time_its_program_ran(
    legs: list[tuple[int, int, int]],
) -> None:
    """Each leg goes back some epochs, trains some more, and is followed by a wait."""
    when, done, running_s = 0.0, 0, 0.0
    starts: list[datetime] = []
    points: list[EpochPoint] = []
    for back, forward, wait in legs:
        starts.append(at(when))
        done = max(0, done - back)
        for _ in range(forward):
            when, done, running_s = when + 10, done + 1, running_s + 10
            points.append(EpochPoint(epoch=done, value=0.5, at=at(when)))
        when += wait + 1

    progress = read_progress(points, leg_starts=starts, epochs=None, goal="maximize")

    assert progress.epochs_done == done == len(progress.values) == len(progress.epoch_s)
    assert sum(progress.epoch_s) + progress.redone_s == pytest.approx(running_s)
    assert progress.faults == ()
