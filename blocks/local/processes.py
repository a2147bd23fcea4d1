"""What Linux knows about processes: who lives, since when, and who dies with whom.

The one hard idea: a process id alone names nobody, because it is used again. A process is named by
its id, the tick at which it started and the boot it belongs to.

Standard library only: the supervisor starts without anything else.
"""

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

_PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_PR_SET_CHILD_SUBREAPER = 36
_REAP_S_MAX = 5.0
_libc = ctypes.CDLL(None, use_errno=True)


def boot_id() -> str:
    """Return the id of this boot of the machine; another one after every restart."""
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def booted_at() -> datetime:
    """Return when this boot began, by the wall clock, to the second."""
    lines = (_PROC / "stat").read_text(encoding="ascii").splitlines()
    seconds = next(line.split()[1] for line in lines if line.startswith("btime "))
    return datetime.fromtimestamp(int(seconds), UTC)


def uptime_s() -> float:
    """Return the seconds since this boot began; unlike most clocks it goes on while suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def start_ticks(pid: int) -> int | None:
    """Return the tick at which a process started; None when it is gone, a zombie included."""
    stat = _stat(pid)
    return None if stat is None or stat[0] in "ZX" else int(stat[19])


def die_with(parent: int) -> None:
    """Have the kernel kill this process the moment its parent is gone, whatever the reason.

    To be called between fork and exec, in the child of a process with one thread: the signal
    follows the thread that forked.

    Args:
        parent: Process id of the parent as it knows itself.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before the kernel was asked
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, in any session."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def kill_descendants() -> None:
    """Kill and reap whatever is left below this process, children of children included.

    Needs `adopt_orphans`: the children of a killed child come up here, and are killed in the next
    round. Gives up after five seconds: a process in an uninterruptible wait cannot be killed.
    """
    give_up_s = time.monotonic() + _REAP_S_MAX
    while time.monotonic() < give_up_s:
        for child in _children(os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        signal.sigtimedwait({signal.SIGCHLD}, 0.01)


def _children(parent: int) -> Iterator[int]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if stat is not None and int(stat[1]) == parent and stat[0] != "Z":
                yield int(entry.name)


def _stat(pid: int) -> list[str] | None:
    """Return /proc/PID/stat from its third field on: the second, the name, may hold anything."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))
