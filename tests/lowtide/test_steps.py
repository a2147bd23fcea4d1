from dataclasses import dataclass, field

import pytest
from hypothesis import given, strategies as st

from lowtide.legs import LegEnd
from lowtide.steps import LegView, Outcome, RunView, Step, next_step, outcome_of


def settled(*ends: LegEnd) -> tuple[LegView, ...]:
    return tuple(LegView(leg=n, end=end, settled=True) for n, end in enumerate(ends, start=1))


@dataclass(frozen=True, kw_only=True)
class Case:
    id: str
    step: Step
    held: bool = True
    legs: tuple[LegView, ...] = field(default=())
    max_failures: int = 1
    outcome: Outcome | None = None
    planned: bool = False
    later: bool = False
    stop_asked: bool = False
    recommended: bool = False
    reported: bool = False

    def view(self) -> RunView:
        return RunView(
            held=self.held,
            legs=self.legs,
            max_failures=self.max_failures,
            outcome=self.outcome,
            planned=self.planned,
            later=self.later,
            stop_asked=self.stop_asked,
            recommended=self.recommended,
            reported=self.reported,
        )


CASES = [
    Case(id="a new run asks for its money first", held=False, step=Step.CHECK_BUDGET),
    Case(id="with the money held it is planned", step=Step.PLAN),
    Case(id="with a plan it is submitted", planned=True, step=Step.SUBMIT),
    Case(id="a plan for later defers it", planned=True, later=True, step=Step.DEFER),
    Case(id="an open leg is watched", legs=(LegView(leg=1),), step=Step.MONITOR),
    Case(
        id="a leg that was written down and never submitted is submitted",
        legs=(LegView(leg=1, submitted=False),),
        step=Step.SUBMIT,
    ),
    Case(
        id="an open leg is watched even when its hold is gone",
        held=False,
        legs=(LegView(leg=1),),
        step=Step.MONITOR,
    ),
    Case(
        id="an ended leg is charged before anything else",
        legs=(LegView(leg=1, end=LegEnd.PREEMPTED),),
        stop_asked=True,
        step=Step.SETTLE,
    ),
    Case(
        id="a preempted leg is followed by another", legs=settled(LegEnd.PREEMPTED), step=Step.PLAN
    ),
    Case(
        id="a hundred preemptions are no failure",
        legs=settled(*[LegEnd.PREEMPTED] * 100),
        max_failures=0,
        step=Step.PLAN,
    ),
    Case(
        id="a leg that never started is followed by another",
        legs=settled(LegEnd.WITHDRAWN),
        step=Step.PLAN,
    ),
    Case(id="the first failure is tried again", legs=settled(LegEnd.FAILED), step=Step.PLAN),
    Case(
        id="one failure too many ends the run",
        legs=settled(LegEnd.FAILED, LegEnd.FAILED),
        step=Step.SETTLE,
    ),
    Case(
        id="a lost leg counts as a failure, so that loss cannot go on for ever",
        legs=settled(LegEnd.LOST, LegEnd.FAILED),
        step=Step.SETTLE,
    ),
    Case(
        id="a failure long ago does not end a run that was preempted last",
        legs=settled(LegEnd.FAILED, LegEnd.FAILED, LegEnd.PREEMPTED),
        step=Step.PLAN,
    ),
    Case(
        id="a stop that comes before any leg ends the run",
        stop_asked=True,
        step=Step.SETTLE,
    ),
    Case(
        id="a run whose end was not written down is settled again",
        legs=settled(LegEnd.COMPLETED),
        step=Step.SETTLE,
    ),
    Case(
        id="an ended run is advised",
        held=False,
        legs=settled(LegEnd.COMPLETED),
        outcome=Outcome.COMPLETED,
        step=Step.RECOMMEND,
    ),
    Case(
        id="then reported",
        held=False,
        legs=settled(LegEnd.COMPLETED),
        outcome=Outcome.COMPLETED,
        recommended=True,
        step=Step.REPORT,
    ),
    Case(
        id="then done",
        held=False,
        legs=settled(LegEnd.COMPLETED),
        outcome=Outcome.COMPLETED,
        recommended=True,
        reported=True,
        step=Step.DONE,
    ),
    Case(id="a refused run is done", held=False, outcome=Outcome.REFUSED, step=Step.DONE),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_next_step_follows_from_what_is(case: Case) -> None:
    assert next_step(case.view()) is case.step


@pytest.mark.parametrize(
    ("ends", "stop_asked", "outcome"),
    [
        ([LegEnd.COMPLETED], False, Outcome.COMPLETED),
        ([LegEnd.COMPLETED], True, Outcome.COMPLETED),
        ([LegEnd.DEADLINE], False, Outcome.OVER_LIMIT),
        ([LegEnd.STOPPED], True, Outcome.STOPPED),
        ([LegEnd.STOPPED], False, None),
        ([LegEnd.PREEMPTED, LegEnd.FAILED, LegEnd.FAILED], False, Outcome.FAILED),
    ],
)
def test_the_outcome_follows_from_the_last_leg(
    ends: list[LegEnd], stop_asked: bool, outcome: Outcome | None
) -> None:
    view = RunView(held=True, legs=settled(*ends), max_failures=1, stop_asked=stop_asked)

    assert outcome_of(view) is outcome


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (LegEnd.STOPPED, Outcome.COMPLETED_EARLY),
        (LegEnd.PREEMPTED, Outcome.COMPLETED_EARLY),
        (LegEnd.DEADLINE, Outcome.COMPLETED_EARLY),
        (LegEnd.WITHDRAWN, Outcome.COMPLETED_EARLY),
        (LegEnd.COMPLETED, Outcome.COMPLETED),
        (LegEnd.FAILED, None),
        (LegEnd.LOST, None),
    ],
)
def test_a_run_that_is_good_enough_needs_no_further_leg_unless_its_program_failed(
    end: LegEnd, outcome: Outcome | None
) -> None:
    view = RunView(held=True, legs=settled(end), max_failures=1, enough=True)

    assert outcome_of(view) is outcome


views = st.builds(
    RunView,
    held=st.booleans(),
    legs=st.lists(
        st.builds(
            LegView,
            leg=st.just(1),
            end=st.none() | st.sampled_from(LegEnd),
            submitted=st.booleans(),
            settled=st.booleans(),
        ),
        max_size=4,
    ),
    max_failures=st.integers(0, 3),
    outcome=st.none() | st.sampled_from(Outcome),
    planned=st.booleans(),
    later=st.booleans(),
    stop_asked=st.booleans(),
    enough=st.booleans(),
    recommended=st.booleans(),
    reported=st.booleans(),
)


@given(views)
def test_nothing_is_submitted_without_money_or_beside_an_open_leg(view: RunView) -> None:
    last = view.legs[-1] if view.legs else None

    if next_step(view) is Step.SUBMIT:
        if last is not None and last.end is None:
            assert not last.submitted
        else:
            assert view.held
            assert view.outcome is None
            assert not view.stop_asked
