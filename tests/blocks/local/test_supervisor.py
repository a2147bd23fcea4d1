"""The supervisor as its own processes run it, started by `fork` so that its lines are counted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import coverage
import pytest

from blocks.local import supervisor
from blocks.local.cluster import as_order
from blocks.local.files import Ended, LegFolder, Order
from blocks.local.processes import start_ticks
from tests.blocks.local.rigs import leg_spec

# The forked child only runs the supervisor, which starts no thread and needs no lock of ours.
pytestmark = [
    pytest.mark.slow,  # real processes, one after the other
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]
LOG_BYTES = 65 * 2**20


@pytest.fixture
def leg(tmp_path: Path) -> LegFolder:
    return LegFolder(tmp_path / "r-0123456789ab-leg-1")


def order(leg: LegFolder, *command: str, **terms: float | datetime) -> Order:
    spec = leg_spec(*command, home=leg.path.parent, now=datetime.now(UTC))
    return replace(as_order(spec, python=sys.executable), **terms)


def supervise(leg: LegFolder) -> int:
    """Run the supervisor's three processes as children; return the first one's exit code."""
    return in_child(lambda: supervisor.main(str(leg.path)))


def in_child(work: Callable[[], int]) -> int:
    """Do some work in a child and return its exit code; lines that it runs are counted."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    exit_code = 70
    try:
        exit_code = work()
    finally:
        if (measured := coverage.Coverage.current()) is not None:
            measured.save()
        os._exit(exit_code)


def end_of(leg: LegFolder) -> Ended:
    """Wait until the leg has ended and nobody looks after it any more."""
    give_up_s = time.monotonic() + 20
    while (ended := leg.ended()) is None or leg.is_locked():
        assert time.monotonic() < give_up_s
        time.sleep(0.01)
    return ended


def test_a_leg_is_claimed_before_its_starter_goes_on(leg: LegFolder) -> None:
    leg.place(order(leg, "sleep", "0.2"))

    assert supervise(leg) == 0

    claim = leg.claim()
    assert claim is not None
    assert claim.start_ticks == start_ticks(claim.pid)
    assert end_of(leg).exit_code == 0


def test_a_second_supervisor_leaves_at_once(leg: LegFolder) -> None:
    leg.place(order(leg, "sleep", "0.3"))
    supervise(leg)
    first = leg.claim()

    assert supervise(leg) == 0

    assert leg.claim() == first
    end_of(leg)
    assert supervise(leg) == 0
    assert leg.claim() == first


def test_a_program_is_asked_to_end_at_the_limit_and_then_made_to(leg: LegFolder) -> None:
    leg.place(order(leg, "sh", "-c", "trap '' TERM; sleep 60", limit_s=0.5, grace_s=0.3))
    supervise(leg)

    ended = end_of(leg)

    assert (ended.exit_code, ended.cause) == (-9, "limit")
    assert ended.started_at is not None
    ran = ended.ended_at - ended.started_at
    assert timedelta(seconds=0.8) <= ran <= timedelta(seconds=2.8)


def test_a_signal_to_the_supervisor_ends_the_leg_as_preempted(leg: LegFolder) -> None:
    leg.place(order(leg, "sleep", "60"))
    supervise(leg)
    claim = leg.claim()
    assert claim is not None

    os.kill(claim.pid, signal.SIGTERM)

    assert (end_of(leg).cause, end_of(leg).exit_code) == ("preempt", -15)


def test_a_leg_that_is_too_late_never_starts(leg: LegFolder) -> None:
    leg.place(order(leg, "touch", "started", start_by=datetime.now(UTC)))
    supervise(leg)

    ended = end_of(leg)

    assert (ended.started_at, ended.cause) == (None, "start-by")
    assert not (leg.path.parent / "started").exists()


def test_a_leg_that_a_witness_saw_withdrawn_never_starts(leg: LegFolder) -> None:
    leg.place(order(leg, "touch", "started"))
    withdrawn = Ended(started_at=None, ended_at=datetime.now(UTC), reason="stopped")
    leg.testify(withdrawn)

    assert supervise(leg) == 0

    assert leg.ended() == withdrawn
    assert leg.claim() is None


def test_a_leg_that_was_withdrawn_while_it_was_claimed_keeps_that_end(leg: LegFolder) -> None:
    leg.place(order(leg, "touch", "started"))
    withdrawn = Ended(started_at=None, ended_at=datetime.now(UTC), reason="stopped")

    def work() -> int:
        supervisor.supervise(leg, on_claim=lambda: leg.testify(withdrawn))
        return 0

    assert in_child(work) == 0
    assert leg.ended() == withdrawn
    assert not (leg.path.parent / "started").exists()


def test_a_program_that_is_not_there_is_measured_too(leg: LegFolder) -> None:
    leg.place(order(leg, "no-such-program"))
    supervise(leg)

    ended = end_of(leg)

    assert ended.exit_code == 127
    assert "no-such-program" in ended.reason


def test_what_a_program_left_behind_is_killed(leg: LegFolder) -> None:
    leg.place(order(leg, "sh", "-c", "setsid sleep 60 & echo $! > left; exit 3"))
    supervise(leg)

    assert end_of(leg).exit_code == 3
    left = int((leg.path.parent / "left").read_text())
    assert start_ticks(left) is None


def test_a_log_that_grows_without_end_keeps_its_end(leg: LegFolder) -> None:
    words = f"head -c {LOG_BYTES} /dev/zero; echo last words; sleep 1.5"
    leg.place(order(leg, "sh", "-c", words))
    supervise(leg)
    end_of(leg)

    assert leg.output.stat().st_size <= 2 * 2**20
    kept = leg.output.read_bytes()
    assert kept.startswith(b"[earlier output was dropped]\n")
    assert kept.endswith(b"last words\n")


def test_a_log_that_somebody_deletes_ends_no_training(leg: LegFolder) -> None:
    leg.place(order(leg, "sleep", "1.5"))
    supervise(leg)

    leg.output.unlink()

    assert end_of(leg).exit_code == 0


def test_an_end_that_cannot_be_written_is_written_as_soon_as_it_can(leg: LegFolder) -> None:
    leg.place(order(leg, "sleep", "1"))
    in_the_way = leg.path / "end.json" / "not empty"
    supervise(leg)
    in_the_way.mkdir(parents=True)
    time.sleep(3)

    in_the_way.rmdir()
    in_the_way.parent.rmdir()

    ended = end_of(leg)
    assert ended.started_at is not None
    assert (ended.ended_at - ended.started_at).total_seconds() < 2.5


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (40, "signal 40")])
def test_a_signal_is_named_if_it_has_a_name(leg: LegFolder, number: int, name: str) -> None:
    leg.place(order(leg, "sh", "-c", f"kill -{number} $$"))
    supervise(leg)

    assert end_of(leg).reason == f"the program was ended by {name}"


def test_a_leg_without_an_order_is_not_run(leg: LegFolder) -> None:
    leg.path.mkdir()

    assert supervise(leg) == 0

    assert leg.ended() is None


def test_a_supervisor_that_cannot_claim_its_leg_says_so(leg: LegFolder) -> None:
    leg.place(order(leg, "touch", "started"))
    claim_is_taken = leg.path / "claim.json"
    claim_is_taken.mkdir()  # a rename onto a folder fails

    assert supervise(leg) != 0

    assert not (leg.path.parent / "started").exists()


def test_a_supervisor_imports_nothing_but_the_standard_library() -> None:
    script = (
        "import sys; before = set(sys.modules); import blocks.local.supervisor;"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}"
        " - sys.stdlib_module_names))"
    )

    loaded = subprocess.check_output((sys.executable, "-S", "-c", script), text=True)

    assert loaded == "blocks\n"
