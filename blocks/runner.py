"""What runs a leg, whichever it is: processes of this machine, a Kubernetes cluster, a test's fake.

The one hard idea: a runner ends a leg by itself when its limit is used up, because the limit was
written down before the program started. Whoever starts, watches or stops a leg may die at any line;
everybody else asks the same questions again and gets the same answers.

A leg is no `prefect.blocks.abstract.JobBlock`: those can be triggered from Prefect's UI by anyone,
and a leg must never start without the hold that pays for it.
"""

from abc import ABC, abstractmethod
from datetime import datetime

from prefect.blocks.core import Block

from lowtide.errors import BadInputError
from lowtide.identity import digest
from lowtide.job import Where
from lowtide.legs import LegSpec, LegStatus, StopCause


class Runner(Block, ABC):
    """Starts legs, says how they are, and ends them at their limit.

    Every method may be repeated by anyone at any time. No answer of the outside world raises
    `UnavailableError`; the caller goes on with what it knew.
    """

    @abstractmethod
    def start(self, spec: LegSpec, *, now: datetime) -> str:
        """Start a leg, or return the one of this name that there is already.

        A leg starts at most once in its life: repeating the call, even from two processes at the
        same moment or after the leg has ended, never starts a second program. `limit_s` and
        `start_by` are the terms of the first call; a repeated call does not change them (see
        `set_limit`), so a caller that recovers may compute them anew.

        Args:
            spec: What to run.
            now: The time.

        Returns:
            An opaque handle for people and logs; every method takes the run and the leg instead.

        Raises:
            ConflictError: a leg of this name runs something else (`work_digest` differs).
            BadInputError: the spec cannot be run here; nothing was started.
            UnavailableError: no answer; whether it started is known after the next call.
        """

    @abstractmethod
    def status(self, run: str, leg: int, *, now: datetime) -> LegStatus:
        """Return what is known about a leg; cheap enough to ask once a second.

        A leg of which all trace is gone ends as `LegEnd.LOST` with `measured=False`; its `ended_at`
        is the latest moment that the evidence allows, never later than limit plus grace, and does
        not change once it was given out. An ended leg never becomes a running one.

        Args:
            run: Id of the run.
            leg: Number of the leg.
            now: The time.

        Returns:
            The status; phase `absent` for a leg that this runner does not know.
        """

    @abstractmethod
    def set_limit(self, run: str, leg: int, *, limit_s: float) -> float:
        """Raise or lower the run-time limit of a leg, and read back what is in force.

        A limit cannot take back time that was used: lowering it below that ends the leg as soon as
        the runner can, and returns the time used by then. A leg that has ended, or is ending, keeps
        its limit.

        Args:
            run: Id of the run.
            leg: Number of the leg.
            limit_s: Seconds after the program's start, finite and > 0.

        Returns:
            The limit in force, seconds: the leg ends by that plus its grace period.

        Raises:
            BadInputError: the runner does not know the leg, or the limit is no duration.
        """

    @abstractmethod
    def stop(self, run: str, leg: int, *, cause: StopCause = "stop") -> None:
        """Ask a leg to end at its checkpoint; return at once.

        The first cause counts. A leg that has not started yet never starts (`LegEnd.WITHDRAWN`);
        one that has ended, or that the runner does not know, is left as it is.

        Args:
            run: Id of the run.
            leg: Number of the leg.
            cause: Why; it decides how the end is classified.
        """

    @abstractmethod
    def logs(self, run: str, leg: int, *, lines_max: int = 50) -> tuple[str, ...]:
        """Return the last lines that the program wrote, oldest first; empty when there are none."""

    @abstractmethod
    def legs(self) -> tuple[tuple[str, int], ...]:
        """Return (run, leg) of all legs that were started here and not yet forgotten, in order."""

    @abstractmethod
    def forget(self, run: str, leg: int) -> None:
        """Let go of what kept a leg's measurement, once its charge is in the journal.

        Afterwards `legs` no longer lists it, and `status` may answer `absent`. Its logs are kept
        where the runner can.

        Args:
            run: Id of the run.
            leg: Number of the leg.

        Raises:
            ConflictError: the leg has not ended; nothing was let go.
        """

    def has_spot(self, where: Where, *, now: datetime) -> bool | None:  # noqa: ARG002 - for others
        """Say whether spot capacity could be had now, as far as that can be told without trying.

        Args:
            where: Where a leg would run.
            now: The time.

        Returns:
            None where only trying tells: the answer of a runner that says nothing else.
        """
        return None

    def on_demand_gpus(self, where: Where) -> int | None:  # noqa: ARG002 - for others
        """Return how many on-demand GPUs the quota has in all; None where nobody counts them.

        Args:
            where: Where legs would run.
        """
        return None


def work_digest(spec: LegSpec) -> str:
    """Return the content hash of what a leg runs, without the terms on which it runs.

    Two specs with the same digest are the same leg asked for twice. `limit_s` and `start_by` are
    left out: they change while the leg lives, and a caller that recovers computes them anew.

    Args:
        spec: What to run.

    Returns:
        The hash, 64 hex digits.

    Examples:
        >>> from dataclasses import replace
        >>> from datetime import UTC, datetime
        >>> spec = LegSpec(
        ...     run="r-22be2a7c2553",
        ...     leg=1,
        ...     command=("python", "train.py"),
        ...     env={"LOWTIDE_EPOCHS": "5"},
        ...     checkpoint_dir="/tmp/c",
        ...     limit_s=60,
        ...     start_by=datetime(2026, 11, 23, tzinfo=UTC),
        ...     grace_s=30,
        ... )
        >>> work_digest(replace(spec, limit_s=90)) == work_digest(spec)
        True
        >>> work_digest(replace(spec, env={"LOWTIDE_EPOCHS": "6"})) == work_digest(spec)
        False
    """
    return digest(
        {
            "name": spec.name,
            "command": list(spec.command),
            "env": dict(spec.env),
            "checkpoint_dir": spec.checkpoint_dir,
            "grace_s": spec.grace_s,
            "capacity": spec.capacity,
            "workdir": spec.workdir,
            "settings": dict(spec.settings),
        }
    )


def check_spec(spec: LegSpec) -> None:
    """Refuse what no runner can keep its promises for.

    Args:
        spec: What to run.

    Raises:
        BadInputError: no command, a limit or grace period that is no duration, or a naive time.
    """
    check_limit(spec.limit_s, where=spec.name)
    findings = {
        "command: a program is needed": not spec.command,
        "grace_s: a duration >= 0 is needed": not 0 <= spec.grace_s < float("inf"),
        "start_by: a time with its zone is needed": spec.start_by.utcoffset() is None,
    }
    for finding, is_wrong in findings.items():
        if is_wrong:
            raise BadInputError(finding, where=f"leg {spec.name!r}", remedy="nothing was started")


def check_limit(limit_s: float, *, where: str) -> None:
    """Refuse a limit that is no duration: a NaN compares false with everything, and never ends.

    Args:
        limit_s: Seconds.
        where: Name of the leg, for the message.

    Raises:
        BadInputError: not finite, or not above 0.
    """
    if not 0 < limit_s < float("inf"):
        msg = "a run-time limit must be finite and above 0"
        raise BadInputError(
            msg,
            where=f"leg {where!r}",
            expected="seconds > 0",
            got=repr(limit_s),
            remedy="nothing was changed; compute the limit from the hold again",
        )
