"""Priority: paying to be first in a queue that was empty."""

from collections.abc import Iterator

from lowtide.advice import AdviceKind
from lowtide.job import Priority
from lowtide.recommend.case import Case, Proposal
from lowtide.recommend.shape import Shape
from lowtide.words import show_duration

_WAITED_S_MAX = 60.0


def propose(case: Case) -> Iterator[Proposal]:
    """Yield normal priority for an urgent run that never waited."""
    waited_s = case.record.waited_s
    if case.record.job.priority is not Priority.URGENT or "priority" in case.record.assumed:
        return
    if waited_s is None or waited_s > _WAITED_S_MAX:
        return

    def normal(shape: Shape) -> Shape:
        return shape.asking(priority=Priority.NORMAL)

    yield Proposal(
        kind=AdviceKind.PRIORITY,
        description=(
            f"Ask for normal priority: urgent was paid for, and it waited {show_duration(waited_s)}."
        ),
        likely=normal,
        cautious=normal,
        hopeful=normal,
        confidence="medium",
        confidence_reason="the prices are exact; whether normal waits depends on the next queue",
        evidence={"waited_s": waited_s, "priority": case.record.job.priority.value},
        risk="at a busier time a normal run waits its turn, and an urgent one may push it aside",
        action=case.command(priority="normal"),
    )
