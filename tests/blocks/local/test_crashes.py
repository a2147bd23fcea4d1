"""Whoever dies, and whenever: a leg starts at most once, ends by itself, and leaves a bound."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from blocks.local.cluster import as_order
from blocks.local.files import Claim, LegFolder
from blocks.local.processes import boot_id, booted_at, start_ticks
from lowtide.errors import UnavailableError
from lowtide.legs import LegEnd, LegSpec, LegStatus
from tests.blocks.local.rigs import LocalRig
from tests.fakes.runner_contract import RUN, Work, used_s

pytestmark = pytest.mark.slow  # real processes, one after the other

GONE_PID = 2**22 + 1  # above any pid_max: nobody has it
FAMILY = """
echo $$ >> pids; sleep 60 & echo $! >> pids
setsid sh -c 'echo $$ >> pids; sleep 60 & echo $! >> pids; wait' &
while [ $(wc -l < pids) -lt 4 ]; do sleep 0.01; done; touch ready
"""
"""A program with a child of its own and two more in another session; `ready` when all are up."""


@pytest.fixture
def rig(tmp_path: Path) -> LocalRig:
    return LocalRig(tmp_path)


def folder(rig: LocalRig) -> LegFolder:
    return LegFolder(rig.home / "legs" / f"{RUN}-leg-1")


def claim(rig: LocalRig) -> Claim:
    found = folder(rig).claim()
    assert found is not None
    return found


def family(rig: LocalRig, *, then: str) -> list[int]:
    """Start a program with descendants and return the process ids of all of them."""
    rig.start(Work(), command=("sh", "-c", FAMILY + then))
    wait_for((rig.home / "ready").exists)
    return [int(pid) for pid in (rig.home / "pids").read_text().split()]


def wait_for(holds: Callable[[], bool], *, within_s: float = 10.0) -> None:
    give_up_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up_s
        time.sleep(0.01)


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if start_ticks(pid) is not None]


@contextmanager
def starters(
    rig: LocalRig, *, count: int, works_s: float
) -> Generator[list[subprocess.Popen[str]], None, None]:
    """Processes that are ready to start the same leg, and do so at the same moment."""
    go = rig.home / "go"
    command = (sys.executable, "-m", "tests.blocks.local.starter", rig.home, go, str(works_s))
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        for _ in range(count)
    ]
    try:
        for word in ("ready", "started"):
            for process in processes:
                assert process.stdout is not None
                assert process.stdout.readline() == f"{word}\n"
            go.touch()
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_two_processes_that_start_a_leg_at_once_start_one_program(rig: LocalRig) -> None:
    with starters(rig, count=2, works_s=1.0):
        status = rig.ended()

    assert status.end is LegEnd.COMPLETED
    assert rig.programs_started() == 1


def test_eight_threads_that_start_a_leg_at_once_start_one_program(rig: LocalRig) -> None:
    spec = rig.spec(Work(works_s=1.0))

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(rig.runner.start, spec, now=rig.now()) for _ in range(8)]
        handles = {ask.result() for ask in asked}

    assert len(handles) == 1
    assert rig.ended().end is LegEnd.COMPLETED
    assert rig.programs_started() == 1


@pytest.mark.slow
def test_a_leg_whose_starter_was_killed_goes_on_and_is_measured(rig: LocalRig) -> None:
    with starters(rig, count=1, works_s=1.0) as (starter,):
        os.killpg(starter.pid, signal.SIGKILL)
        starter.wait()
        assert rig.status().phase == "running"

    status = rig.ended()

    assert (status.end, status.measured) == (LegEnd.COMPLETED, True)
    assert used_s(status) >= 1.0


def test_a_program_and_all_below_it_die_with_their_supervisor(rig: LocalRig) -> None:
    pids = family(rig, then="wait")
    killed_at = rig.now()

    os.kill(claim(rig).pid, signal.SIGKILL)

    status = rig.ended()
    assert alive(pids) == []
    assert (status.end, status.measured, status.exit_code) == (LegEnd.LOST, False, None)
    assert status.ended_at is not None
    assert killed_at <= status.ended_at <= rig.now()
    assert rig.status() == status


def test_a_leg_whose_keeper_was_killed_is_measured_all_the_same(rig: LocalRig) -> None:
    rig.start(Work(works_s=1.0))
    rig.running()

    os.kill(parent_of(claim(rig).pid), signal.SIGKILL)

    assert rig.ended().end is LegEnd.COMPLETED


def test_a_program_dies_with_its_supervisor_also_when_the_keeper_is_gone(rig: LocalRig) -> None:
    rig.start(Work(), command=("sh", "-c", "echo $$ > pid && mv pid ready && exec sleep 60"))
    wait_for((rig.home / "ready").exists)
    program = int((rig.home / "ready").read_text())
    supervisor = claim(rig).pid

    os.kill(parent_of(supervisor), signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)

    assert rig.ended().end is LegEnd.LOST
    wait_for(lambda: not alive([program]))


def test_what_a_program_leaves_behind_is_gone_before_its_end_is_known(rig: LocalRig) -> None:
    pids = family(rig, then="exit 5")

    status = rig.ended()

    assert status.exit_code == 5
    assert alive(pids) == []


def test_a_machine_that_shuts_down_takes_the_leg_away_at_its_checkpoint(rig: LocalRig) -> None:
    rig.start(Work())
    rig.running()

    os.kill(claim(rig).pid, signal.SIGTERM)

    status = rig.ended()
    assert (status.end, status.exit_code) == (LegEnd.PREEMPTED, 143)
    assert "taken away" in status.reason


def test_a_leg_whose_starter_died_before_the_supervisor_came_is_started_by_the_next(
    rig: LocalRig,
) -> None:
    spec = rig.spec(Work(works_s=0.1))
    folder(rig).place(as_order(spec, python=sys.executable))

    assert rig.status().phase == "waiting"
    rig.runner.start(spec, now=rig.now())

    assert rig.ended().end is LegEnd.COMPLETED


@pytest.mark.parametrize("reason", ["too late", "stopped"])
def test_a_leg_that_nobody_claimed_and_that_may_not_start_any_more_never_does(
    rig: LocalRig, reason: str
) -> None:
    spec = rig.spec(Work(works_s=0.1))
    folder(rig).place(as_order(spec, python=sys.executable))

    if reason == "stopped":
        rig.runner.stop(RUN, 1)
        status = rig.status()
    else:
        status = rig.runner.status(RUN, 1, now=spec.start_by)
    rig.runner.start(spec, now=rig.now())

    assert (status.phase, status.end, status.started_at) == ("ended", LegEnd.WITHDRAWN, None)
    assert rig.status() == status
    assert rig.programs_started() == 0


def test_a_leg_that_was_taken_back_before_its_supervisor_looked_is_withdrawn(
    rig: LocalRig,
) -> None:
    spec = rig.spec(Work(works_s=0.1))
    folder(rig).place(as_order(spec, python=sys.executable))
    rig.runner.stop(RUN, 1)

    rig.runner.start(spec, now=rig.now())
    status = rig.ended()

    assert (status.end, status.started_at) == (LegEnd.WITHDRAWN, None)
    assert rig.programs_started() == 0


class TestALegWithoutTrace:
    """No supervisor, no end file: only a claim tells that it ran."""

    @staticmethod
    def placed(rig: LocalRig, *, started_at: datetime, limit_s: float, boot: str) -> LegSpec:
        spec = replace(rig.spec(Work()), limit_s=limit_s)
        folder(rig).place(as_order(spec, python=sys.executable))
        folder(rig).write_claim(
            Claim(
                pid=GONE_PID,
                start_ticks=1,
                boot_id=boot,
                started_at=started_at,
                started_uptime_s=0.0,
            )
        )
        return spec

    def test_ends_now_as_far_as_anybody_knows_and_the_answer_stays(self, rig: LocalRig) -> None:
        started_at = rig.now()
        self.placed(rig, started_at=started_at, limit_s=3600, boot=boot_id())

        seen_at = started_at + timedelta(minutes=5)
        status = rig.runner.status(RUN, 1, now=seen_at)

        assert status == LegStatus(
            phase="ended",
            reason="its supervisor is gone and left no measurement",
            started_at=started_at,
            ended_at=seen_at,
            end=LegEnd.LOST,
            measured=False,
        )
        assert rig.runner.status(RUN, 1, now=seen_at + timedelta(days=1)) == status

    def test_never_ends_later_than_its_limit_and_grace_allow(self, rig: LocalRig) -> None:
        self.placed(rig, started_at=rig.now(), limit_s=60, boot=boot_id())

        status = rig.runner.status(RUN, 1, now=rig.now() + timedelta(days=1))

        assert used_s(status) == 61.0

    def test_never_ends_before_it_started(self, rig: LocalRig) -> None:
        self.placed(rig, started_at=rig.now(), limit_s=60, boot=boot_id())

        status = rig.runner.status(RUN, 1, now=rig.now() - timedelta(days=1))

        assert used_s(status) == 0.0

    def test_ends_no_later_than_the_restart_of_the_machine(self, rig: LocalRig) -> None:
        started_at = booted_at() - timedelta(hours=1)
        self.placed(rig, started_at=started_at, limit_s=86_400, boot="another")

        status = rig.status()

        assert (status.end, status.reason) == (LegEnd.LOST, "the machine was restarted")
        assert used_s(status) == 3600.0

    def test_keeps_its_limit(self, rig: LocalRig) -> None:
        self.placed(rig, started_at=rig.now(), limit_s=60, boot="another")

        assert rig.runner.set_limit(RUN, 1, limit_s=90) == 60

    def test_is_not_started_again(self, rig: LocalRig) -> None:
        spec = self.placed(rig, started_at=rig.now(), limit_s=60, boot=boot_id())

        rig.runner.start(spec, now=rig.now())
        rig.let_pass(0.3)

        assert rig.programs_started() == 0
        assert rig.status().end is LegEnd.LOST

    def test_is_not_mistaken_for_another_process_of_the_same_id(self, rig: LocalRig) -> None:
        self.placed(rig, started_at=rig.now(), limit_s=60, boot=boot_id())
        folder(rig).write_claim(replace(claim(rig), pid=os.getpid(), start_ticks=1))

        assert rig.status().end is LegEnd.LOST

    def test_is_not_mistaken_for_a_process_of_another_boot(self, rig: LocalRig) -> None:
        self.placed(rig, started_at=rig.now(), limit_s=60, boot="another")
        ticks = start_ticks(os.getpid())
        assert ticks is not None
        folder(rig).write_claim(replace(claim(rig), pid=os.getpid(), start_ticks=ticks))

        assert rig.status().end is LegEnd.LOST

    def test_still_runs_while_somebody_holds_its_lock(self, rig: LocalRig) -> None:
        self.placed(rig, started_at=rig.now(), limit_s=60, boot=boot_id())
        lock = folder(rig).take_lock()
        assert lock is not None

        assert rig.status().phase == "running"
        os.close(lock)
        assert rig.status().end is LegEnd.LOST


def test_a_supervisor_that_cannot_start_is_no_answer_and_starts_nothing(rig: LocalRig) -> None:
    rig.cluster.python = "false"

    with pytest.raises(UnavailableError, match="did not come up"):
        rig.start(Work())

    assert rig.status().phase == "waiting"


def test_a_folder_that_cannot_be_written_is_no_answer(rig: LocalRig) -> None:
    (rig.home / "legs").write_text("a file is in the way")

    with pytest.raises(UnavailableError, match="ask again"):
        rig.start(Work())


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
