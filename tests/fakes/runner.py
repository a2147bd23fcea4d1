"""A runner that runs nothing and keeps every promise: legs happen on a clock that a test moves.

It passes the same contract tests as the real ones (`tests/blocks/test_runner.py`). What a leg's
program does is told by a `Script`; what became of it is computed anew from what was asked and when,
and written down for good once it has ended.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import ClassVar, Self

from pydantic import Field, HttpUrl, PrivateAttr
from typing_extensions import override

from blocks.clock import Clock
from blocks.runner import Runner, check_limit, check_spec, work_digest
from lowtide.errors import BadInputError, ConflictError, UnavailableError
from lowtide.identity import leg_name
from lowtide.legs import LegEnd, LegSpec, LegStatus, StopCause, classify_exit

NEVER_S = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a leg's program does when nobody ends it.

    Attributes:
        start_delay_s: From the order to the program's start.
        epoch_s: Duration of each epoch; the last entry counts for all further ones.
        exit_code: Exit code at the end.
        fails_after_s: It exits with `exit_code` then, wherever it is.
        preempted_after_s: Its capacity is taken away then.
        lost_after_s: All trace of it is gone from then on.
        save_s: What it takes from SIGTERM to the saved checkpoint; longer than grace: killed.
        lines: What it writes.
    """

    start_delay_s: float = 0.0
    epoch_s: tuple[float, ...] = (10.0,)
    exit_code: int = 0
    fails_after_s: float = NEVER_S
    preempted_after_s: float = NEVER_S
    lost_after_s: float = NEVER_S
    save_s: float = 1.0
    lines: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Leg:
    spec: LegSpec
    script: Script
    ordered_at: datetime
    epochs_before: int
    limit_s: float
    stop: tuple[StopCause, datetime] | None = None
    ended: LegStatus | None = None
    is_forgotten: bool = False

    @property
    def starts_at(self) -> datetime:
        return self.ordered_at + timedelta(seconds=self.script.start_delay_s)

    def epochs(self, until: datetime) -> list[datetime]:
        """When each epoch of this leg ended, up to a moment."""
        asked_at, _ = self.asked()
        gone_after_s = min(self.script.fails_after_s, self.script.lost_after_s)
        until = min(until, asked_at, self.at(gone_after_s))
        times = (self.at(after_s) for after_s in accumulate(self.epoch_s()))
        return [time for time in times if time <= until]

    def epoch_s(self) -> list[float]:
        left = int(self.spec.env.get("LOWTIDE_EPOCHS", "1")) - self.epochs_before
        given = self.script.epoch_s
        return [given[min(i, len(given) - 1)] for i in range(left)]

    def asked(self) -> tuple[datetime, StopCause | None]:
        """When it is first asked to end, and why."""
        asks: list[tuple[datetime, StopCause | None]] = [
            (self.at(self.limit_s), "limit"),
            (self.at(self.script.preempted_after_s), "preempt"),
        ]
        if self.stop is not None:
            asks.append((self.stop[1], self.stop[0]))
        return min(asks, key=lambda ask: ask[0])

    def at(self, after_s: float) -> datetime:
        """A moment counted from the start; the end of time instead of never."""
        if after_s == NEVER_S:
            return datetime.max.replace(tzinfo=self.ordered_at.tzinfo)
        return self.starts_at + timedelta(seconds=after_s)


@dataclass(slots=True, kw_only=True)
class _Memory:
    legs: dict[tuple[str, int], _Leg] = field(default_factory=dict[tuple[str, int], _Leg])
    scripts: dict[tuple[str, int], Script] = field(default_factory=dict[tuple[str, int], Script])
    default: Script = field(default_factory=Script)
    failures_left: int = 0


class FakeRunner(Runner):
    """Runs scripted legs on the clock it is given.

    Examples:
        Load a saved fake:
        ```python
        from tests.fakes.runner import FakeRunner

        runner = FakeRunner.load("BLOCK_NAME")
        ```
    """

    _block_type_slug: ClassVar[str | None] = "lowtide-fake-runner"
    _block_type_name: ClassVar[str | None] = "Lowtide Fake Runner"
    _description: ClassVar[str | None] = "Runs nothing; keeps every promise of a runner."
    _documentation_url: ClassVar[HttpUrl | None] = HttpUrl(
        "https://example.invalid/lowtide/blocks"
    )

    clock: Clock = Field(description="The time by which legs happen.")

    _memory: _Memory = PrivateAttr(default_factory=_Memory)

    def scripted(self, script: Script, *, run: str | None = None, leg: int = 1) -> Self:
        """Give one leg its script, or, without a run, all legs that have none of their own."""
        if run is None:
            self._memory.default = script
        else:
            self._memory.scripts[run, leg] = script
        return self

    def failing(self, *, times: int) -> Self:
        """Have the next calls end without an answer."""
        self._memory.failures_left = times
        return self

    @property
    def started(self) -> tuple[LegSpec, ...]:
        """The specs of all legs, in the order in which they were first asked for."""
        return tuple(leg.spec for leg in self._memory.legs.values())

    def epochs(self, run: str) -> tuple[tuple[int, datetime], ...]:
        """Return (epoch, end) of a run's epochs so far, all legs together; what MLflow would show."""
        now = self.clock.now()
        times = [
            time
            for (of, _), leg in sorted(self._memory.legs.items())
            if of == run and self._status(leg, now).started_at is not None
            for time in leg.epochs(now)
        ]
        return tuple(enumerate(times, start=1))

    @override
    def start(self, spec: LegSpec, *, now: datetime) -> str:
        self._answer()
        check_spec(spec)
        key = (spec.run, spec.leg)
        known = self._memory.legs.get(key)
        if known is None:
            script = self._memory.scripts.get(key, self._memory.default)
            self._memory.legs[key] = _Leg(
                spec=spec,
                script=script,
                ordered_at=now,
                epochs_before=len(self.epochs(spec.run)),
                limit_s=spec.limit_s,
            )
        elif work_digest(known.spec) != work_digest(spec):
            raise ConflictError("a leg of this name runs something else", where=spec.name)
        return f"fake/{spec.name}"

    @override
    def status(self, run: str, leg: int, *, now: datetime) -> LegStatus:
        self._answer()
        known = self._memory.legs.get((run, leg))
        return LegStatus(phase="absent") if known is None else self._status(known, now)

    @override
    def set_limit(self, run: str, leg: int, *, limit_s: float) -> float:
        self._answer()
        check_limit(limit_s, where=leg_name(run, leg))
        known = self._memory.legs.get((run, leg))
        if known is None:
            raise BadInputError("no such leg was started here", where=leg_name(run, leg))
        now = self.clock.now()
        if self._status(known, now).phase != "ended" and known.asked()[0] > now:
            used_s = (now - known.starts_at).total_seconds()
            known.limit_s = max(limit_s, used_s)
        return known.limit_s

    @override
    def stop(self, run: str, leg: int, *, cause: StopCause = "stop") -> None:
        self._answer()
        known, now = self._memory.legs.get((run, leg)), self.clock.now()
        if known and known.stop is None and self._status(known, now).phase != "ended":
            known.stop = (cause, now)

    @override
    def logs(self, run: str, leg: int, *, lines_max: int = 50) -> tuple[str, ...]:
        self._answer()
        known = self._memory.legs.get((run, leg))
        return known.script.lines[-lines_max:] if known else ()

    @override
    def legs(self) -> tuple[tuple[str, int], ...]:
        self._answer()
        return tuple(sorted(key for key, leg in self._memory.legs.items() if not leg.is_forgotten))

    @override
    def forget(self, run: str, leg: int) -> None:
        self._answer()
        known = self._memory.legs.get((run, leg))
        if known is None:
            return
        if self._status(known, self.clock.now()).phase != "ended":
            raise ConflictError("the leg has not ended", where=leg_name(run, leg))
        known.is_forgotten = True

    def _answer(self) -> None:
        if self._memory.failures_left:
            self._memory.failures_left -= 1
            raise UnavailableError("no answer", where="fake runner", remedy="ask again")

    def _status(self, leg: _Leg, now: datetime) -> LegStatus:
        if leg.ended is None:
            status = _never_started(leg, now) or _happened(leg, now)
            if status.phase != "ended":
                return status
            leg.ended = status
        return leg.ended


def _never_started(leg: _Leg, now: datetime) -> LegStatus | None:
    """Return how a leg waits or was withdrawn; None once it has started."""
    withdrawn_at = leg.spec.start_by
    if leg.stop is not None:
        withdrawn_at = min(withdrawn_at, leg.stop[1])
    if withdrawn_at <= leg.starts_at:
        if now >= withdrawn_at:
            return LegStatus(phase="ended", end=LegEnd.WITHDRAWN, ended_at=withdrawn_at)
        return LegStatus(phase="waiting", reason="scripted to start later")
    return LegStatus(phase="waiting") if now < leg.starts_at else None


def _happened(leg: _Leg, now: datetime) -> LegStatus:
    """Return what has become of a leg that has started, by now."""
    script, started_at = leg.script, leg.starts_at
    by_itself_at = leg.at(min(script.fails_after_s, sum(leg.epoch_s())))
    asked_at, cause = leg.asked()
    if script.lost_after_s != NEVER_S and leg.at(script.lost_after_s) <= min(
        now, asked_at, by_itself_at
    ):
        longest = timedelta(seconds=leg.limit_s + leg.spec.grace_s)
        return LegStatus(
            phase="ended",
            started_at=started_at,
            ended_at=min(now, started_at + longest),
            end=LegEnd.LOST,
            measured=False,
            reason="scripted to be lost",
        )
    if by_itself_at <= asked_at:
        ended_at, exit_code, cause = by_itself_at, script.exit_code, None
    else:
        is_killed = script.save_s > leg.spec.grace_s
        ended_at = asked_at + timedelta(seconds=min(script.save_s, leg.spec.grace_s))
        exit_code = -9 if is_killed else 143
    if now < ended_at:
        return LegStatus(phase="running", started_at=started_at)
    return LegStatus(
        phase="ended",
        started_at=started_at,
        ended_at=ended_at,
        exit_code=exit_code,
        end=classify_exit(exit_code, stop_cause=cause),
        reason=f"the program exited with {exit_code}",
    )
