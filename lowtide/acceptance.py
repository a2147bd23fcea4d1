"""Acceptance by quota: all jobs with a deadline must fit the on-demand GPUs, the earliest first.

A deadline that rests on spot capacity is none. So a job is accepted only if it and all that were
accepted before it could run on the quota alone, in the order of their deadlines, and be in time.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lowtide.plain import plain_moment
from lowtide.verdict import RefusalReason, Refused
from lowtide.words import show_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineWork:
    """What a job with a deadline still needs.

    Attributes:
        run: Its id.
        gpus: GPUs that it needs at once, >= 0.
        work_s: Seconds of work left, by the upper forecast (P90).
        deadline: Done by then; aware.
    """

    run: str
    gpus: int
    work_s: float
    deadline: datetime


def accept(
    new: DeadlineWork, accepted: Sequence[DeadlineWork], *, gpus: int, now: datetime
) -> Refused | None:
    """Say whether a job can be promised its deadline beside those that were promised theirs.

    Args:
        new: The job.
        accepted: All that were accepted and have not ended.
        gpus: On-demand GPUs of the quota.
        now: Aware.

    Returns:
        None when all fit; else who would be late, by how much, and which deadline would fit.

    Examples:
        >>> noon = datetime.fromisoformat("2026-11-23T12:00:00Z")
        >>> job = DeadlineWork(run="a", gpus=1, work_s=7200, deadline=noon + timedelta(hours=3))
        >>> accept(job, [], gpus=1, now=noon)
        >>> accept(job, [replace(job, run="b")], gpus=1, now=noon).message
        "with run 'b' before it, it would be 1 h 0 min late on the quota's 1 GPU(s)"
    """
    if new.gpus > gpus:
        return Refused(
            reason=RefusalReason.QUOTA,
            message=f"it asks for {new.gpus} GPUs at once, and the quota has {gpus}",
            remedy=f"ask for at most {gpus} GPUs, or have the quota raised",
        )
    late = _first_late(new, accepted, gpus=gpus, now=now)
    if late is None:
        return None
    who, end = late
    return _late(new, accepted, who=who, end=end, gpus=gpus, now=now)


def _first_late(
    new: DeadlineWork, accepted: Sequence[DeadlineWork], *, gpus: int, now: datetime
) -> tuple[DeadlineWork, datetime] | None:
    """Return who would be late, and done when, if the job came; who is late anyway does not count."""
    before = {work.run: end for work, end in _finishes(accepted, gpus=gpus, now=now)}
    for work, end in _finishes((*accepted, new), gpus=gpus, now=now):
        was_late = work.run in before and before[work.run] > work.deadline
        if end > work.deadline and not was_late:
            return work, end
    return None


def _late(
    new: DeadlineWork,
    accepted: Sequence[DeadlineWork],
    *,
    who: DeadlineWork,
    end: datetime,
    gpus: int,
    now: datetime,
) -> Refused:
    late = show_duration((end - who.deadline).total_seconds())
    if who.run == new.run:
        earlier = sorted(work.run for work in accepted if work.deadline <= new.deadline)
        behind = f"with run {earlier[0]!r} before it, " if len(earlier) == 1 else ""
        behind = behind or f"with {len(earlier)} runs before it, "
        message = f"{behind}it would be {late} late on the quota's {gpus} GPU(s)"
    else:
        message = f"it would make run {who.run!r} {late} late on the quota's {gpus} GPU(s)"
    fits_at = _fitting(new, accepted, gpus=gpus, now=now)
    return Refused(
        reason=RefusalReason.DEADLINE,
        message=message,
        remedy=(
            f"a deadline of {plain_moment(fits_at)} or later would fit, or less work, or a larger "
            "quota"
        ),
    )


def _fitting(
    new: DeadlineWork, accepted: Sequence[DeadlineWork], *, gpus: int, now: datetime
) -> datetime:
    """Return a deadline that would be accepted: when the job is done behind all others.

    Where that is before the others' last deadline, the job would go before whoever has that one,
    and may make it late; then only the last deadline itself is safe.
    """
    last = replace(new, deadline=max(work.deadline for work in (*accepted, new)))
    ends = {work.run: end for work, end in _finishes((*accepted, last), gpus=gpus, now=now)}
    done = replace(new, deadline=ends[new.run])
    if _first_late(done, accepted, gpus=gpus, now=now) is None:
        return done.deadline
    return max(done.deadline, last.deadline)


def _finishes(
    works: Sequence[DeadlineWork], *, gpus: int, now: datetime
) -> Iterator[tuple[DeadlineWork, datetime]]:
    """Yield when each would be done, the earliest deadline first, each as soon as enough is free."""
    free_s = [0.0] * gpus
    heapq.heapify(free_s)
    for work in sorted(works, key=lambda one: one.deadline):
        taken = [heapq.heappop(free_s) for _ in range(min(work.gpus, gpus))]
        end_s = max(taken, default=0.0) + work.work_s
        for _ in taken:
            heapq.heappush(free_s, end_s)
        yield work, now + timedelta(seconds=end_s)
