"""The local cluster with real processes, and the fake on a clock, ready for the same tests."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from pydantic import PrivateAttr
from typing_extensions import override

from blocks.clock import Clock
from blocks.local.cluster import LocalCluster
from lowtide.legs import LegSpec
from tests.fakes.runner import FakeRunner, Script
from tests.fakes.runner_contract import RUN, Rig, Work

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class HandClock(Clock):
    """A clock that moves when it is told to."""

    _block_type_slug: ClassVar[str | None] = "lowtide-hand-clock"

    _time: datetime = PrivateAttr(default=NOON)

    @override
    def now(self) -> datetime:
        return self._time

    @override
    def pause(self, duration_s: float) -> None:
        self._time += timedelta(seconds=duration_s)


def leg_spec(*command: str, home: Path, leg: int = 1, now: datetime) -> LegSpec:
    """Return a leg with a minute's limit and a second's grace, that must start within a minute."""
    return LegSpec(
        run=RUN,
        leg=leg,
        command=command,
        env={"LOWTIDE_LEG": str(leg)},
        checkpoint_dir=str(home / "checkpoints"),
        limit_s=60.0,
        start_by=now + timedelta(minutes=1),
        grace_s=1.0,
        workdir=str(home),
    )


class LocalRig(Rig):
    """Real processes in a temporary folder; time passes by itself."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.runner = self.cluster = LocalCluster(home=home / "legs")

    @override
    def now(self) -> datetime:
        return datetime.now(UTC)

    @override
    def let_pass(self, duration_s: float) -> None:
        time.sleep(duration_s)

    @override
    def spec(self, work: Work, *, leg: int = 1) -> LegSpec:
        on_sigterm = "exit 143" if work.heeds_sigterm else ":"
        # `wait` is interrupted by a signal, `sleep` is not: the loop goes on for those who ignore it.
        script = (
            f"echo started >> started-{leg}; trap '{on_sigterm}' TERM; sleep {work.works_s} & "
            f"while kill -0 $! 2>/dev/null; do wait $!; done; exit {work.exit_code}"
        )
        return leg_spec("sh", "-c", script, home=self.home, leg=leg, now=self.now())

    @override
    def programs_started(self, leg: int = 1) -> int:
        path = self.home / f"started-{leg}"
        return len(path.read_text().splitlines()) if path.exists() else 0


class FakeRig(Rig):
    """Scripted legs; time passes when it is told to."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = HandClock()
        self.runner = self.fake = FakeRunner(clock=self.clock)

    @override
    def now(self) -> datetime:
        return self.clock.now()

    @override
    def let_pass(self, duration_s: float) -> None:
        self.clock.pause(duration_s)

    @override
    def spec(self, work: Work, *, leg: int = 1) -> LegSpec:
        save_s = 0.0 if work.heeds_sigterm else 1e6
        script = Script(epoch_s=(work.works_s,), exit_code=work.exit_code, save_s=save_s)
        self.fake.scripted(script, run=RUN, leg=leg)
        return leg_spec("work", home=self.home, leg=leg, now=self.now())

    @override
    def programs_started(self, leg: int = 1) -> int:
        return int(self.status(leg).started_at is not None)
