"""Off-peak: the same run on the cheapest hours after its start, priced for just its length."""

from collections.abc import Iterator

from lowtide.advice import AdviceKind
from lowtide.job import Priority
from lowtide.recommend.case import Case, Proposal
from lowtide.recommend.shape import Shape
from lowtide.words import show_duration


def propose(case: Case) -> Iterator[Proposal]:
    """Yield the cheapest hours where they are others than the run's own."""
    job, record = case.record.job, case.record
    # What is urgent is never deferred for its price.
    if job.priority is Priority.URGENT:
        return
    restart_s = case.restart_s or 0.0

    def laid_out(shape: Shape) -> Shape:
        return shape.at_cheapest(case.book, restart_s=restart_s)

    def laid_out_with_slow_restarts(shape: Shape) -> Shape:
        return shape.at_cheapest(case.book, restart_s=2 * restart_s)

    moved = laid_out(case.shape)
    if moved == case.shape or (job.deadline is not None and moved.end > job.deadline):
        return
    pauses = len(moved.stretches) - 1
    waited_s = (moved.stretches[0].start - case.shape.stretches[0].start).total_seconds()
    yield Proposal(
        kind=AdviceKind.OFF_PEAK,
        description=(
            f"Run it only while the rate is lowest: from {moved.stretches[0].start:%H:%M} UTC"
            + (f", with {pauses} pauses at a checkpoint" if pauses else ", in one stretch")
            + "."
        ),
        likely=laid_out,
        cautious=laid_out_with_slow_restarts,
        hopeful=laid_out,
        confidence="medium" if pauses else "high",
        confidence_reason=(
            f"the prices are exact; {pauses} restarts are taken at {show_duration(restart_s)} each"
            if pauses
            else "the prices are exact for a run of this length"
        ),
        evidence={
            "duration_s": case.shape.duration_s,
            "start": moved.stretches[0].start,
            "finish": moved.end,
            "finished_at": case.shape.end,
            "pauses": pauses,
            "restart_s": case.restart_s,
        },
        risk=(
            f"it starts {show_duration(waited_s)} later and is done at {moved.end:%Y-%m-%d %H:%M} "
            f"instead of {case.shape.end:%Y-%m-%d %H:%M} UTC"
            + (
                "; this program did work again after an interruption, so see that it resumes"
                if pauses and record.progress.redone_s > 0
                else ""
            )
        ),
        action=case.command(policy="off-peak"),
    )
