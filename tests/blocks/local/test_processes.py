"""Who lives, since when, and who dies with whom."""

import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta

from blocks.local.processes import boot_id, booted_at, die_with, start_ticks, uptime_s

GONE_PID = 2**22 + 1  # above any pid_max: nobody has it


def test_a_process_has_one_start_and_another_process_another() -> None:
    with subprocess.Popen(("sleep", "60")) as other:
        assert start_ticks(other.pid) == start_ticks(other.pid)
        assert start_ticks(other.pid) != start_ticks(os.getpid())
        other.kill()


def test_a_process_that_died_and_was_not_collected_yet_is_gone() -> None:
    other = subprocess.Popen(("true",))
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)

    assert start_ticks(other.pid) is None

    other.wait()
    assert start_ticks(other.pid) is None


def test_a_process_whose_parent_went_before_it_asked_dies_at_once() -> None:
    command = ("sleep", "60")
    other = subprocess.Popen(
        command,
        preexec_fn=lambda: die_with(GONE_PID),  # noqa: PLW1509 - it takes no lock
    )

    assert other.wait(timeout=10) == -signal.SIGKILL


def test_the_boot_began_as_long_ago_as_the_machine_is_up() -> None:
    age = datetime.now(UTC) - booted_at()

    assert abs(age - timedelta(seconds=uptime_s())) < timedelta(seconds=3)
    assert len(boot_id()) == 36
