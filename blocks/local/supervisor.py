"""Supervises one leg: starts its program at most once, and ends it at its limit.

    python -m blocks.local.supervisor LEG_FOLDER

Three processes, so that no single death leaves a program running or a leg unmeasured:

    starter -> doorman        takes the lock, waits until the leg is claimed, leaves
                 keeper       outlives the supervisor; kills what is left below it
                   supervisor claims the leg, starts the program, watches limit, stop and end
                     program  own session; the kernel kills it when the supervisor dies

The one hard idea: whoever supervises a leg first writes its claim and only then looks whether the
leg may still start. A witness looks the other way round, at the reasons first and then for a claim,
so the two can never disagree about whether a leg was withdrawn or has started.

Standard library only, and nothing that is slow to import: a leg's start waits for it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from blocks.local.files import Cause, Claim, Ended, LegFolder, Order
from blocks.local.processes import (
    adopt_orphans,
    boot_id,
    die_with,
    kill_descendants,
    start_ticks,
    uptime_s,
)

POLL_S = 1.0
"""How often the limit and the wish to stop are looked at, seconds."""

_CLAIM_S_MAX = 10
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_HEEDED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
_LOG_BYTES_MAX = 64 * 2**20
_LOG_BYTES_KEPT = 2**20
_EXIT_NOT_FOUND = 127
_EXIT_NOT_EXECUTABLE = 126
_KILLED_POLL_S = 0.2
_WRITE_END_TRIES = 60


def main(folder: str) -> int:
    """Supervise the leg in this folder, unless somebody does or did.

    Args:
        folder: The leg's folder.

    Returns:
        0 once the leg is claimed, by this supervisor or another; 1 when that failed.
    """
    # Whoever starts a leg waits for this process: it never takes longer, whatever hangs.
    signal.alarm(_CLAIM_S_MAX)
    leg = LegFolder(Path(folder))
    lock = leg.take_lock()
    if lock is None or leg.claim() is not None or leg.ended() is not None:
        return 0
    claimed, claims = os.pipe()
    if os.fork():
        os.close(claims)
        return 0 if os.read(claimed, 1) else 1
    os.close(claimed)
    return _keep(leg, on_claim=lambda: os.write(claims, b"1"), claims=claims)


def _keep(leg: LegFolder, *, on_claim: Callable[[], object], claims: int) -> int:
    """Fork the supervisor, and kill what is left below it once it is gone."""
    adopt_orphans()
    supervisor = os.fork()
    if supervisor == 0:
        adopt_orphans()
        supervise(leg, on_claim=on_claim)
        return 0
    os.close(claims)
    os.waitpid(supervisor, 0)
    kill_descendants()
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """One reading of both clocks: from here on only the one that measures durations counts."""

    at: datetime
    uptime_s: float

    def elapsed_s(self) -> float:
        return uptime_s() - self.uptime_s

    def now(self) -> datetime:
        return self.at + timedelta(seconds=self.elapsed_s())


def supervise(leg: LegFolder, *, on_claim: Callable[[], object]) -> None:
    """Claim a leg, run it if it may still start, and write its end.

    Args:
        leg: The leg; the caller holds its lock.
        on_claim: Called once the leg is claimed.
    """
    # Blocked, so that none is lost between two looks: `sigtimedwait` takes them one by one.
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEEDED)
    start = _Start(at=datetime.now(UTC), uptime_s=uptime_s())
    leg.write_claim(
        Claim(
            pid=os.getpid(),
            start_ticks=start_ticks(os.getpid()) or 0,
            boot_id=boot_id(),
            started_at=start.at,
            started_uptime_s=start.uptime_s,
        )
    )
    on_claim()
    order = leg.order()
    if order is not None and leg.ended() is None:
        _write_end(leg, _run(leg, order, start))


def _run(leg: LegFolder, order: Order, start: _Start) -> Ended:
    cause = leg.stop_cause() or ("start-by" if start.now() >= order.start_by else None)
    if cause is not None:
        return Ended(
            started_at=None, ended_at=start.now(), cause=cause, reason=withdrawn_reason(cause)
        )
    try:
        program = _spawn(order, leg.output)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        return Ended(
            started_at=start.at,
            ended_at=start.now(),
            exit_code=_EXIT_NOT_FOUND if missing else _EXIT_NOT_EXECUTABLE,
            reason=f"the program could not be started: {error.strerror}: {error.filename!r}",
        )
    exit_code, cause = _watch(program, leg, order, start)
    ended_at = start.now()
    kill_descendants()
    return Ended(
        started_at=start.at,
        ended_at=ended_at,
        exit_code=exit_code,
        cause=cause,
        reason=_ended_reason(exit_code, cause, start.elapsed_s()),
    )


def _spawn(order: Order, output: Path) -> "subprocess.Popen[bytes]":
    """Start the program in a session of its own, with nothing of our own environment but a few."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    supervisor = os.getpid()

    def before_exec() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        die_with(supervisor)

    with output.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - running the job's own command is the purpose
            order.command,
            cwd=order.workdir,
            env={**inherited, "PYTHONUNBUFFERED": "1", **order.env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=before_exec,  # noqa: PLW1509 - this process has one thread
        )


def _watch(
    program: "subprocess.Popen[bytes]", leg: LegFolder, order: Order, start: _Start
) -> tuple[int, Cause | None]:
    """Wait for the program's end, and bring it about when its time is up.

    SIGTERM goes to the program alone, as in a container: it may need its helpers to save its state.
    SIGKILL goes to all of them.
    """
    cause: Cause | None = None
    preempted = False
    gone_at = leg.gone_at()
    until_s = leg.limit_s(order)
    while (exit_code := program.poll()) is None:
        elapsed_s = start.elapsed_s()
        if cause is None:
            until_s = leg.limit_s(order)
            cause = _reason_to_end(leg, preempted=preempted, left_s=until_s - elapsed_s)
            if cause is not None:
                program.terminate()
                until_s = elapsed_s + order.grace_s
        elif elapsed_s >= until_s:
            os.killpg(program.pid, signal.SIGKILL)
            until_s = elapsed_s + _KILLED_POLL_S
        _trim(leg.output)
        wait_s = min(POLL_S, max(0.0, until_s - elapsed_s))
        heeded = signal.sigtimedwait(_HEEDED, wait_s)
        preempted |= heeded is not None and heeded.si_signo != signal.SIGCHLD
        preempted |= gone_at is not None and start.now() >= gone_at
    return exit_code, cause


def _reason_to_end(leg: LegFolder, *, preempted: bool, left_s: float) -> Cause | None:
    # A signal to the supervisor itself is the machine's: it shuts down, and takes the leg away.
    return (
        leg.stop_cause()
        or ("preempt" if preempted else None)
        or ("limit" if left_s <= 0 else None)
    )


def _trim(output: Path) -> None:
    """Keep the end of a log that has grown too long; lines written meanwhile may be lost."""
    with suppress(OSError):  # no log is worth a training
        if output.stat().st_size <= _LOG_BYTES_MAX:
            return
        with output.open("rb+") as log:
            log.seek(-_LOG_BYTES_KEPT, os.SEEK_END)
            kept = log.read()
            log.truncate(0)
        with output.open("ab") as log:  # the program appends too
            log.write(b"[earlier output was dropped]\n" + kept)


def _write_end(leg: LegFolder, ended: Ended) -> None:
    """Write the end, if need be again: what filled the disk may go in a moment.

    When it doesn't, a witness finds a bound instead of the measurement.
    """
    for _ in range(_WRITE_END_TRIES):
        try:
            leg.write_end(ended)
        except OSError as error:
            sys.stderr.write(f"{error}\n")
            time.sleep(POLL_S)
        else:
            return


def withdrawn_reason(cause: Cause) -> str:
    """Return why a leg never started, one sentence for a person."""
    if cause == "start-by":
        return "it had not started by the time it had to"
    return f"it was taken back before it started ({cause})"


def _ended_reason(exit_code: int, cause: Cause | None, elapsed_s: float) -> str:
    names = {known.value: known.name for known in signal.Signals}
    how = (
        f"the program exited with {exit_code}"
        if exit_code >= 0
        else f"the program was ended by {names.get(-exit_code, f'signal {-exit_code}')}"
    )
    if cause is None:
        return how
    why = {
        "limit": f"its limit was used up after {elapsed_s:.0f} s",
        "stop": "it was asked to stop",
        "preempt": "its capacity was taken away",
        "start-by": "it was asked to stop",
    }
    return f"{why[cause]}; {how}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
