"""What every runner promises, as tests: subclass `RunnerContract` and give it a `rig`.

A rig knows how to make a leg that works for a while, and how time passes: really, or on a clock.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from dirty_equals import IsApprox

from blocks.runner import Runner
from lowtide.errors import BadInputError, ConflictError
from lowtide.legs import LegEnd, LegSpec, LegStatus

RUN = "r-0123456789ab"
LONG_S = 30.0
SLACK_S = 2.0
"""How late a runner may be: it looks once a second, on a machine that is busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a program does: work for a while, then exit; on SIGTERM exit with 143 or go on."""

    works_s: float = LONG_S
    exit_code: int = 0
    heeds_sigterm: bool = True


class Rig(ABC):
    """One kind of runner, ready to be tested."""

    runner: Runner
    seen_after_s: float = 0.0
    """How long a leg may have run before anybody can see it run."""

    @abstractmethod
    def now(self) -> datetime:
        """Return the time."""

    @abstractmethod
    def let_pass(self, duration_s: float) -> None:
        """Let so much time pass."""

    @abstractmethod
    def spec(self, work: Work, *, leg: int = 1) -> LegSpec:
        """Return a leg that does this work, with a minute's limit and a second's grace."""

    @abstractmethod
    def programs_started(self, leg: int = 1) -> int:
        """Return how many programs of a leg were ever started."""

    def start(self, work: Work, *, leg: int = 1, **terms: object) -> LegSpec:
        """Start a leg and return what was asked for."""
        spec = replace(self.spec(work, leg=leg), **terms)
        self.runner.start(spec, now=self.now())
        return spec

    def status(self, leg: int = 1) -> LegStatus:
        """Return how a leg is now."""
        return self.runner.status(RUN, leg, now=self.now())

    def ended(self, leg: int = 1, *, within_s: float = LONG_S) -> LegStatus:
        """Wait until a leg has ended and return how."""
        return self._until(lambda status: status.phase == "ended", leg, within_s)

    def running(self, leg: int = 1) -> LegStatus:
        """Wait until a leg's program works and return its status."""
        status = self._until(lambda status: status.phase == "running", leg, LONG_S)
        self.let_pass(0.3)  # a shell needs a moment to set its trap
        return status

    def _until(self, holds: Callable[[LegStatus], bool], leg: int, within_s: float) -> LegStatus:
        give_up = self.now() + timedelta(seconds=within_s)
        while not holds(status := self.status(leg)):
            assert self.now() < give_up, status
            self.let_pass(0.05)
        return status


def used_s(status: LegStatus) -> float:
    """Return the seconds that a leg ran."""
    assert status.started_at is not None
    assert status.ended_at is not None
    return (status.ended_at - status.started_at).total_seconds()


class RunnerContract(ABC):
    """The promises of `blocks.runner.Runner`, one test each."""

    @pytest.fixture
    @abstractmethod
    def rig(self) -> Rig:
        """A runner that knows no leg."""

    def test_a_leg_nobody_started_is_absent_and_may_be_stopped_and_forgotten(
        self, rig: Rig
    ) -> None:
        rig.runner.stop(RUN, 7)
        rig.runner.forget(RUN, 7)

        assert rig.status(7).phase == "absent"
        assert rig.runner.logs(RUN, 7) == ()
        assert rig.runner.legs() == ()
        with pytest.raises(BadInputError):
            rig.runner.set_limit(RUN, 7, limit_s=60)

    def test_a_leg_that_works_to_its_end_is_completed_and_measured(self, rig: Rig) -> None:
        rig.start(Work(works_s=0.5))

        status = rig.ended()

        assert (status.end, status.exit_code, status.measured) == (LegEnd.COMPLETED, 0, True)
        assert used_s(status) == IsApprox(0.5, delta=0.49)

    def test_a_program_that_exits_with_another_code_has_failed(self, rig: Rig) -> None:
        rig.start(Work(works_s=0.1, exit_code=3))

        status = rig.ended()

        assert (status.end, status.exit_code) == (LegEnd.FAILED, 3)

    def test_starting_again_starts_no_second_program_also_after_the_end(self, rig: Rig) -> None:
        spec = rig.start(Work(works_s=1.5 + rig.seen_after_s))
        handle = rig.runner.start(spec, now=rig.now())
        rig.running()
        again = rig.runner.start(spec, now=rig.now())
        status = rig.ended()
        late = rig.runner.start(spec, now=rig.now())
        rig.let_pass(0.3)

        assert handle == again == late
        assert rig.programs_started() == 1
        assert rig.status() == status

    def test_other_work_under_the_same_name_is_refused_and_other_terms_are_the_same_leg(
        self, rig: Rig
    ) -> None:
        spec = rig.start(Work())

        later = replace(spec, limit_s=90, start_by=spec.start_by + timedelta(hours=1))
        rig.runner.start(later, now=rig.now())
        with pytest.raises(ConflictError):
            rig.runner.start(replace(spec, env={**spec.env, "OTHER": "1"}), now=rig.now())

        assert rig.programs_started() <= 1
        rig.runner.stop(RUN, 1)
        rig.ended()

    def test_a_leg_ends_by_itself_at_its_limit(self, rig: Rig) -> None:
        rig.start(Work(), limit_s=1.0)

        status = rig.ended(within_s=1.0 + 1.0 + SLACK_S)

        assert (status.end, status.exit_code) == (LegEnd.DEADLINE, 143)
        assert 1.0 <= used_s(status) <= 1.0 + 1.0 + SLACK_S

    def test_a_program_that_ignores_sigterm_is_killed_after_its_grace_period(
        self, rig: Rig
    ) -> None:
        rig.start(Work(heeds_sigterm=False), limit_s=1.0, grace_s=0.5)

        status = rig.ended(within_s=1.0 + 0.5 + SLACK_S)

        assert (status.end, status.exit_code) == (LegEnd.DEADLINE, -9)
        assert used_s(status) >= 1.5

    def test_a_limit_raised_in_time_lets_a_leg_finish(self, rig: Rig) -> None:
        limit_s = 2.0 + rig.seen_after_s
        rig.start(Work(works_s=limit_s + 1.0), limit_s=limit_s)
        rig.running()

        assert rig.runner.set_limit(RUN, 1, limit_s=60) == 60

        assert rig.ended().end is LegEnd.COMPLETED

    def test_a_limit_lowered_below_the_time_used_ends_the_leg_and_says_what_it_will_have_used(
        self, rig: Rig
    ) -> None:
        rig.start(Work())
        started_at = rig.running().started_at
        assert started_at is not None
        rig.let_pass(0.5)

        in_force_s = rig.runner.set_limit(RUN, 1, limit_s=0.1)
        used_by_then_s = (rig.now() - started_at).total_seconds()
        status = rig.ended(within_s=1.0 + SLACK_S)

        assert status.end is LegEnd.DEADLINE
        assert 0.5 <= in_force_s <= used_by_then_s + SLACK_S
        assert used_s(status) <= in_force_s + 1.0 + SLACK_S

    def test_an_ended_leg_keeps_its_limit(self, rig: Rig) -> None:
        rig.start(Work(works_s=0.1), limit_s=50)
        rig.ended()

        assert rig.runner.set_limit(RUN, 1, limit_s=70) == 50

    @pytest.mark.parametrize("limit_s", [0.0, -1.0, float("nan"), float("inf")])
    def test_a_limit_that_is_no_duration_is_refused(self, rig: Rig, limit_s: float) -> None:
        with pytest.raises(BadInputError):
            rig.start(Work(), limit_s=limit_s)

        assert rig.runner.legs() == ()

    def test_terms_that_cannot_be_kept_are_refused(self, rig: Rig) -> None:
        good = rig.spec(Work())
        naive = good.start_by.replace(tzinfo=None)
        bad = (replace(good, grace_s=-1), replace(good, command=()), replace(good, start_by=naive))
        for spec in bad:
            with pytest.raises(BadInputError):
                rig.runner.start(spec, now=rig.now())

        assert rig.runner.legs() == ()

    def test_a_stopped_leg_saves_and_exits_and_the_first_cause_counts(self, rig: Rig) -> None:
        rig.start(Work())
        rig.running()

        rig.runner.stop(RUN, 1)
        rig.runner.stop(RUN, 1, cause="preempt")
        status = rig.ended(within_s=1.0 + SLACK_S)

        assert (status.end, status.exit_code) == (LegEnd.STOPPED, 143)

    def test_a_leg_ended_for_its_capacity_is_preempted(self, rig: Rig) -> None:
        rig.start(Work())
        rig.running()

        rig.runner.stop(RUN, 1, cause="preempt")

        assert rig.ended(within_s=1.0 + SLACK_S).end is LegEnd.PREEMPTED

    def test_stopping_an_ended_leg_changes_nothing(self, rig: Rig) -> None:
        rig.start(Work(works_s=0.1))
        before = rig.ended()

        rig.runner.stop(RUN, 1)

        assert rig.status() == before

    def test_a_leg_that_comes_too_late_withdraws_and_never_starts(self, rig: Rig) -> None:
        rig.start(Work(works_s=0.1), start_by=rig.now() - timedelta(seconds=1))

        status = rig.ended()
        rig.let_pass(0.3)

        assert (status.end, status.started_at) == (LegEnd.WITHDRAWN, None)
        assert rig.programs_started() == 0

    def test_only_legs_that_were_not_forgotten_are_listed(self, rig: Rig) -> None:
        for leg in (10, 9):
            rig.start(Work(works_s=0.1), leg=leg)
        rig.ended(9)
        rig.ended(10)

        assert rig.runner.legs() == ((RUN, 9), (RUN, 10))
        rig.runner.forget(RUN, 9)
        rig.runner.forget(RUN, 9)
        assert rig.runner.legs() == ((RUN, 10),)

    def test_a_running_leg_cannot_be_forgotten(self, rig: Rig) -> None:
        rig.start(Work())
        rig.running()

        with pytest.raises(ConflictError):
            rig.runner.forget(RUN, 1)

        assert rig.runner.legs() == ((RUN, 1),)
        rig.runner.stop(RUN, 1)
        rig.ended()
