"""A leg: one unbroken stretch of a run, what is asked of its runner, and how it can end.

A leg starts once and is never resumed: pausing, moving and deferring all mean ending this leg at
its checkpoint and starting another. So its money is a single stretch of time with a hard limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, TypeAlias

from lowtide.identity import leg_name


class Capacity(StrEnum):
    """On which terms a leg holds its GPU."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"


class LegEnd(StrEnum):
    """The closed set of ways in which a leg ends. The values are stored: never rename one."""

    COMPLETED = "completed"
    """The program exited with 0."""
    FAILED = "failed"
    """The program's own fault; retried at most `max_failures` times."""
    PREEMPTED = "preempted"
    """Taken away: spot reclaim, eviction, node loss, preemption. Never counted as a failure."""
    DEADLINE = "deadline"
    """The run-time limit that its hold pays for was used up."""
    STOPPED = "stopped"
    """Ended at our wish: a pause, a move, a cancellation, a budget that drains."""
    WITHDRAWN = "withdrawn"
    """Never started: `start_by` passed, or it was taken back while it waited. Costs nothing."""
    LOST = "lost"
    """Gone without a trace of how; charged for the longest stretch that the evidence allows."""


Phase: TypeAlias = Literal["absent", "waiting", "running", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LegSpec:
    """All that a runner needs to start a leg.

    Attributes:
        run: Id of the run.
        leg: Number of the leg within its run, from 1.
        command: Program and arguments.
        env: Environment of the program, the training contract's variables included.
        checkpoint_dir: Folder that outlives the leg.
        limit_s: Seconds after the program's start at which the runner ends it by itself, > 0.
        start_by: A leg that has not started by then withdraws itself.
        grace_s: Seconds between SIGTERM and SIGKILL, >= 0.
        capacity: On which terms the GPU is held.
        workdir: Folder in which the program starts; None: the runner's own choice.
        settings: What only one kind of runner reads (image, queue, pod template).
    """

    run: str
    leg: int
    command: tuple[str, ...]
    env: Mapping[str, str]
    checkpoint_dir: str
    limit_s: float
    start_by: datetime
    grace_s: float
    capacity: Capacity = Capacity.ON_DEMAND
    workdir: str | None = None
    settings: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def name(self) -> str:
        """The leg's name, the same for every caller."""
        return leg_name(self.run, self.leg)


@dataclass(frozen=True, slots=True, kw_only=True)
class LegStatus:
    """What a runner knows about a leg.

    Attributes:
        phase: Absent (never submitted, or gone), waiting, running, ended.
        reason: Why it waits or how it ended, one sentence for a person.
        started_at: When the program (the container) started, if it did.
        ended_at: When it ended; for an unmeasured end the latest moment that the evidence allows.
        exit_code: Exit code of the program; negative signal number when a signal ended it.
        end: How it ended; None until then.
        measured: False when `ended_at` is a bound and not a measurement.
        no_node: Whether it waits because no node has what it asks for: for a leg on spot
            capacity, that there is none now.
    """

    phase: Phase
    reason: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    end: LegEnd | None = None
    measured: bool = True
    no_node: bool = False


StopCause: TypeAlias = Literal["limit", "stop", "preempt", "start-by"]


def classify_exit(exit_code: int, *, stop_cause: StopCause | None) -> LegEnd:
    """Say how a leg ended, from its exit code and from what its supervisor did.

    What the supervisor did counts first: a program that is told to stop may exit with 143, with
    another code, or be killed after its grace period, and is stopped all the same. Exit code 0
    means that it finished its work before the signal reached it; whether it really trained all
    epochs is for the caller to check against the tracked ones.

    Args:
        exit_code: Exit code of the program; negative signal number when a signal ended it.
        stop_cause: Why the supervisor ended it; None when it did not.

    Returns:
        The end.

    Examples:
        >>> classify_exit(0, stop_cause=None)
        <LegEnd.COMPLETED: 'completed'>
        >>> classify_exit(143, stop_cause="limit")
        <LegEnd.DEADLINE: 'deadline'>
        >>> classify_exit(143, stop_cause=None)
        <LegEnd.PREEMPTED: 'preempted'>
    """
    ends = {
        "limit": LegEnd.DEADLINE,
        "stop": LegEnd.STOPPED,
        "preempt": LegEnd.PREEMPTED,
        "start-by": LegEnd.WITHDRAWN,
    }
    if exit_code == 0 and stop_cause != "start-by":
        return LegEnd.COMPLETED
    if stop_cause is not None:
        return ends[stop_cause]
    # 143 is the training contract's answer to a SIGTERM: somebody else's, since it was not ours.
    return LegEnd.PREEMPTED if exit_code in {_EXIT_SIGTERM, -15} else LegEnd.FAILED


_EXIT_SIGTERM = 143
