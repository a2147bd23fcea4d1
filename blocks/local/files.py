"""The files of a leg's folder: all that the supervisor and the rest of the world say to each other.

    leg.json       what to run, on which terms          written once, by the first who starts the leg
    limit.json     the limit in force, once changed     replaced by whoever changes it
    stop.json      that it shall end, and why           written once, by the first who asks
    gone.json      when its capacity is taken away      written before its start, where that is played
    claim.json     who supervises it, since when        written once, by the supervisor, before it starts
    end.json       when and how it ended                by the supervisor; by a witness if it is gone
    lock           held while supervisor or keeper live
    settled        its charge is in the journal
    output.log     what the program wrote; supervisor.log: what went wrong around it

The one hard idea: a file is either there and whole, or not there. It is written aside, flushed to
the disk and then renamed (or linked, where only the first may write it), so a crash at any line
leaves no half a word, and two writers cannot both be the first.

Standard library only: the supervisor starts without anything else.
"""

import fcntl
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

Cause: TypeAlias = Literal["limit", "stop", "preempt", "start-by"]
"""`lowtide.legs.StopCause`, which cannot be imported here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to run, and the terms of the first call.

    Attributes:
        work: Digest of the work; another one is another leg.
        command: Program and arguments, as they are executed.
        env: Environment on top of the inherited one.
        workdir: Folder in which the program starts.
        checkpoint_dir: Folder that outlives the leg.
        limit_s: Run-time limit at first, seconds.
        grace_s: Seconds between SIGTERM and SIGKILL.
        start_by: It does not start after that.
    """

    work: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    workdir: str
    checkpoint_dir: str
    limit_s: float
    grace_s: float
    start_by: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who supervises the leg.

    Attributes:
        pid: Process id of the supervisor.
        start_ticks: Tick at which that process started.
        boot_id: Boot of the machine that both belong to.
        started_at: Wall time of the leg's start, the only reading of that clock.
        started_uptime_s: The same moment on the clock that measures durations.
    """

    pid: int
    start_ticks: int
    boot_id: str
    started_at: datetime
    started_uptime_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the leg ended.

    Attributes:
        started_at: When the program started; None when it never did.
        ended_at: When it ended, or the latest moment that the evidence allows.
        exit_code: Exit code; negative signal number when a signal ended it; None when unknown.
        cause: Why the supervisor ended it; None when it did not.
        measured: False when `ended_at` is a bound.
        reason: One sentence for a person.
    """

    started_at: datetime | None
    ended_at: datetime
    exit_code: int | None = None
    cause: Cause | None = None
    measured: bool = True
    reason: str


class LegFolder:
    """Reads and writes the files of one leg."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.output = path / "output.log"
        self.complaints = path / "supervisor.log"

    def order(self) -> Order | None:
        """Return what to run; None when there is no such leg."""
        found = self._read("leg.json")
        if found is None:
            return None
        found["command"] = tuple(found["command"])
        return Order(**_with_times(found, "start_by"))

    def place(self, order: Order) -> bool:
        """Write down what to run; False, and nothing is changed, when somebody was first."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._write_first("leg.json", asdict(order))

    def limit_s(self, order: Order) -> float:
        """Return the run-time limit in force, seconds."""
        found = self._read("limit.json")
        return order.limit_s if found is None else float(found["limit_s"])

    def write_limit(self, limit_s: float) -> None:
        """Change the run-time limit."""
        self._replace("limit.json", {"limit_s": limit_s})

    def stop_cause(self) -> Cause | None:
        """Return why the leg shall end; None when nobody asked."""
        found = self._read("stop.json")
        return None if found is None else found["cause"]

    def stop_asked_s(self) -> float:
        """Return when that was asked, Unix time by the file system's clock."""
        return (self.path / "stop.json").stat().st_mtime

    def ask_to_stop(self, cause: Cause) -> None:
        """Ask for the end; the first cause stays."""
        self._write_first("stop.json", {"cause": cause})

    def gone_at(self) -> datetime | None:
        """Return when the leg's capacity is taken away; None where nobody knows."""
        found = self._read("gone.json")
        return None if found is None else datetime.fromisoformat(found["at"])

    def write_gone_at(self, at: datetime) -> None:
        """Say when the leg's capacity is taken away; to be written before it starts."""
        self._replace("gone.json", {"at": at})

    def claim(self) -> Claim | None:
        """Return who supervises the leg; None as long as nobody does."""
        found = self._read("claim.json")
        return None if found is None else Claim(**_with_times(found, "started_at"))

    def write_claim(self, claim: Claim) -> None:
        """Say who supervises the leg; the caller holds the lock."""
        self._replace("claim.json", asdict(claim))

    def ended(self) -> Ended | None:
        """Return how the leg ended; None as long as nobody knows."""
        found = self._read("end.json")
        return None if found is None else Ended(**_with_times(found, "started_at", "ended_at"))

    def write_end(self, ended: Ended) -> None:
        """Write the end as the supervisor measured it; it counts over what a witness wrote."""
        self._replace("end.json", asdict(ended))

    def testify(self, ended: Ended) -> Ended:
        """Write the end as it looks to a witness, unless there is one; return the one that counts."""
        self._write_first("end.json", asdict(ended))
        return self.ended() or ended

    def settle(self) -> None:
        """Mark the leg as paid."""
        (self.path / "settled").touch()

    def settled(self) -> bool:
        """Return whether the leg is paid."""
        return (self.path / "settled").exists()

    def take_lock(self) -> int | None:
        """Return the held lock's descriptor; None when another process holds it.

        The lock goes with the last process that inherited the descriptor, and no program that is
        executed inherits it: so a free lock means that nobody looks after the leg.
        """
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        return lock

    def is_locked(self) -> bool:
        """Return whether anybody looks after the leg; only to be asked once it was claimed."""
        lock = self.take_lock()
        if lock is None:
            return True
        os.close(lock)
        return False

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            text = (self.path / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        found: dict[str, Any] = json.loads(text)
        return found

    def _replace(self, name: str, document: Mapping[str, Any]) -> None:
        self._write_aside(name, document).replace(self.path / name)
        self._flush_folder()

    def _write_first(self, name: str, document: Mapping[str, Any]) -> bool:
        aside = self._write_aside(name, document)
        try:
            (self.path / name).hardlink_to(aside)
        except FileExistsError:
            return False
        finally:
            aside.unlink()
        self._flush_folder()
        return True

    def _write_aside(self, name: str, document: Mapping[str, Any]) -> Path:
        aside = self.path / f".{name}.{os.getpid()}.{threading.get_ident()}"
        with aside.open("w", encoding="utf-8") as file:
            json.dump(document, file, default=datetime.isoformat, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        return aside

    def _flush_folder(self) -> None:
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _with_times(document: dict[str, Any], *keys: str) -> dict[str, Any]:
    times = {key: datetime.fromisoformat(document[key]) for key in keys if document[key]}
    return {**document, **times}
