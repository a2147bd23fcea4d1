"""What a run needs next: the train flow's controller, as one pure function.

The flow is level-triggered, like a Kubernetes controller: it does not remember where it was, it
looks at what is. So a flow that was killed at any line, or a second one started by somebody else,
asks the same question of the same facts and goes on. All that can be decided is in the table of
`next_step`; the flow only does what it says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lowtide.legs import LegEnd


class Step(StrEnum):
    """The steps of a run, in the words that a person sees in Prefect's UI."""

    CHECK_BUDGET = "check-budget"
    PLAN = "plan"
    DEFER = "defer"
    SUBMIT = "submit"
    MONITOR = "monitor"
    SETTLE = "settle"
    RECOMMEND = "recommend"
    REPORT = "report"
    DONE = "done"


class Outcome(StrEnum):
    """How a run ends. The values are stored: never rename one."""

    COMPLETED = "completed"
    """The program ended by itself, with exit code 0."""
    COMPLETED_EARLY = "completed-early"
    """The metric was good enough by the job's own rule; it ended at a checkpoint."""
    FAILED = "failed"
    """The program failed more often than the job allows, or was lost as often."""
    OVER_LIMIT = "over-limit"
    """The money set aside was used up before the work was done; the leg ended by itself."""
    STOPPED = "stopped"
    """A person or a policy ended it, at a checkpoint."""
    REFUSED = "refused"
    """It never started: a budget, the job's own limit, the deadline or the quota said no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegView:
    """What the next step depends on, of one leg.

    Attributes:
        leg: Number within the run, from 1.
        end: How it ended; None while it has not.
        submitted: Whether its runner was told; a flow may die between writing the leg down and that.
        settled: Whether its charge is in the journal.
    """

    leg: int
    end: LegEnd | None = None
    submitted: bool = True
    settled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """What the next step depends on, of the whole run.

    Attributes:
        held: Whether money is set aside for it.
        legs: Its legs, oldest first.
        max_failures: How often the program may fail and be tried again.
        outcome: How the run ended; None while it has not.
        planned: Whether the next leg has a plan that is still fresh.
        later: Whether that plan says to start later.
        stop_asked: Whether somebody asked for its end.
        enough: Whether its metric is good enough by the job's own rule.
        recommended: Whether its recommendations are written.
        reported: Whether its report is written.
    """

    held: bool
    legs: Sequence[LegView]
    max_failures: int
    outcome: Outcome | None = None
    planned: bool = False
    later: bool = False
    stop_asked: bool = False
    enough: bool = False
    recommended: bool = False
    reported: bool = False


def next_step(view: RunView) -> Step:
    """Say what the run needs next.

    Args:
        view: What is, as far as the caller knows.

    Returns:
        The one step to do now; after it the caller looks again.

    Examples:
        >>> fresh = RunView(held=False, legs=(), max_failures=1)
        >>> next_step(fresh)
        <Step.CHECK_BUDGET: 'check-budget'>
        >>> first = LegView(leg=1, end=LegEnd.PREEMPTED, settled=True)
        >>> next_step(RunView(held=True, legs=(first,), max_failures=1))
        <Step.PLAN: 'plan'>
    """
    last = view.legs[-1] if view.legs else None
    if last is not None and last.end is None:
        return Step.MONITOR if last.submitted else Step.SUBMIT
    if any(not leg.settled for leg in view.legs) or _end_is_unwritten(view):
        return Step.SETTLE
    if view.outcome is not None:
        return _after_the_end(view)
    if not view.held:
        return Step.CHECK_BUDGET
    return _as_planned(view)


def outcome_of(view: RunView) -> Outcome | None:
    """Say how the run ended, judged by its legs; None while there is something left to do.

    A preempted or withdrawn leg is followed by another one, however often. A failed or lost leg is
    followed by another one `max_failures` times. One whose metric was good enough is followed by
    none, whatever took it away meanwhile; only a program that failed is tried again, because its
    last checkpoint is in doubt.

    Args:
        view: What is.

    Returns:
        The outcome, or None.

    Examples:
        >>> failed = [LegView(leg=n, end=LegEnd.FAILED, settled=True) for n in (1, 2)]
        >>> outcome_of(RunView(held=True, legs=failed[:1], max_failures=1))
        >>> outcome_of(RunView(held=True, legs=failed, max_failures=1))
        <Outcome.FAILED: 'failed'>
    """
    if view.outcome is not None:
        return view.outcome
    end = view.legs[-1].end if view.legs else None
    if view.enough and end in _ENDS_THAT_KEEP_A_CHECKPOINT:
        return Outcome.COMPLETED_EARLY
    final = _FINAL_ENDS.get(end) if end is not None else None
    if final is not None:
        return final
    if view.stop_asked and (end is not None or not view.legs):
        return Outcome.STOPPED
    failures = sum(leg.end in _FAILURES for leg in view.legs)
    return Outcome.FAILED if end in _FAILURES and failures > view.max_failures else None


def _as_planned(view: RunView) -> Step:
    if not view.planned:
        return Step.PLAN
    return Step.DEFER if view.later else Step.SUBMIT


def _end_is_unwritten(view: RunView) -> bool:
    # A flow died between the last leg's charge and the run's end: settling again ends it.
    return view.outcome is None and outcome_of(view) is not None


def _after_the_end(view: RunView) -> Step:
    if not view.legs or view.outcome is Outcome.REFUSED:
        return Step.DONE
    if not view.recommended:
        return Step.RECOMMEND
    return Step.DONE if view.reported else Step.REPORT


_FINAL_ENDS = {
    LegEnd.COMPLETED: Outcome.COMPLETED,
    LegEnd.DEADLINE: Outcome.OVER_LIMIT,
}
_FAILURES = frozenset({LegEnd.FAILED, LegEnd.LOST})
_ENDS_THAT_KEEP_A_CHECKPOINT = frozenset(
    {LegEnd.STOPPED, LegEnd.PREEMPTED, LegEnd.DEADLINE, LegEnd.WITHDRAWN}
)
