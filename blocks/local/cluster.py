"""Legs as processes of this machine, each looked after by its own supervisor.

The one hard idea: this class holds no process. It writes a leg's order, starts a supervisor and
leaves; everything else is read from the leg's folder, so any process of this user, now or after a
restart, gets the same answers. See `blocks.local.files` for the files.

A supervisor that is gone without having written an end is the only thing that takes judgement: the
first who sees it writes down the latest end that the evidence allows, and that stays.
"""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from pydantic import Field, HttpUrl, PrivateAttr
from typing_extensions import override

from blocks.local.files import Cause, Claim, Ended, LegFolder, Order
from blocks.local.processes import boot_id, booted_at, start_ticks, uptime_s
from blocks.local.supervisor import POLL_S, withdrawn_reason
from blocks.runner import Runner, check_limit, check_spec, work_digest
from blocks.traces import read_traces
from lowtide.backtest import MIDNIGHT, Replay, Values
from lowtide.errors import BadInputError, ConflictError, UnavailableError
from lowtide.identity import leg_name
from lowtide.job import Where
from lowtide.legs import Capacity, LegEnd, LegSpec, LegStatus, StopCause, classify_exit

_PACKAGES = Path(__file__).resolve().parents[2]
_LOG_BYTES_READ = 256 * 1024


class LocalCluster(Runner):
    """Runs legs as processes of this machine (Linux).

    Examples:
        Load a saved local cluster:
        ```python
        from blocks.local.cluster import LocalCluster

        cluster = LocalCluster.load("BLOCK_NAME")
        ```
    """

    _block_type_slug: ClassVar[str | None] = "lowtide-local-cluster"
    _block_type_name: ClassVar[str | None] = "Lowtide Local Cluster"
    _description: ClassVar[str | None] = "Runs training legs as processes of this machine."
    _documentation_url: ClassVar[HttpUrl | None] = HttpUrl(
        "https://example.invalid/lowtide/blocks"
    )

    home: Path = Field(description="Folder that holds one folder for each leg.")
    python: str = Field(
        default=sys.executable,
        description="Interpreter of the supervisors, and of commands that begin with python.",
    )
    spot_trace: Path | None = Field(
        default=None, description="Recording of spot capacity that is played for spot legs."
    )
    spot_values: Values | None = Field(
        default=None, description="What its numbers mean, where it does not say so itself."
    )
    spot_speed: float = Field(
        default=1.0, gt=0, description="Recorded seconds that pass in a second."
    )
    spot_start: datetime = Field(default=MIDNIGHT, description="When its first tick is.")

    _played: Replay | None = PrivateAttr(default=None)

    @override
    def start(self, spec: LegSpec, *, now: datetime) -> str:
        check_spec(spec)
        folder = self._folder(spec.run, spec.leg)
        with _disk(folder):
            order = as_order(spec, python=self.python)
            if not folder.place(order):
                _check_same_work(folder, order, name=spec.name)
            if (
                folder.claim() is None
                and folder.ended() is None
                and self._may_launch(spec, folder, now=now)
            ):
                self._launch(folder)
        return str(folder.path)

    @override
    def has_spot(self, where: Where, *, now: datetime) -> bool | None:
        replay = self._replay()
        # Where no recording is played, this machine's own capacity stands for spot too.
        return True if replay is None else replay.available(now)

    @override
    def status(self, run: str, leg: int, *, now: datetime) -> LegStatus:
        folder = self._folder(run, leg)
        with _disk(folder):
            order = folder.order()
            if order is None:
                return LegStatus(phase="absent", reason="no such leg was started here")
            return _look(folder, order, now=now)

    @override
    def set_limit(self, run: str, leg: int, *, limit_s: float) -> float:
        folder = self._folder(run, leg)
        check_limit(limit_s, where=folder.path.name)
        with _disk(folder):
            order = folder.order()
            if order is None:
                msg = "no such leg was started here"
                raise BadInputError(
                    msg, where=f"leg {folder.path.name!r}", remedy="start it first"
                )
            claim = folder.claim()
            if claim is None:
                folder.write_limit(limit_s)
            elif not _is_ending(folder, order, claim):
                # The supervisor may read the old limit once more before it reads this one.
                folder.write_limit(max(limit_s, _used_s(claim) + POLL_S))
            return folder.limit_s(order)

    @override
    def stop(self, run: str, leg: int, *, cause: StopCause = "stop") -> None:
        folder = self._folder(run, leg)
        with _disk(folder):
            if folder.order() is not None and folder.ended() is None:
                folder.ask_to_stop(cause)

    @override
    def logs(self, run: str, leg: int, *, lines_max: int = 50) -> tuple[str, ...]:
        folder = self._folder(run, leg)
        with _disk(folder), suppress(FileNotFoundError):
            lines = _tail(folder.output, bytes_max=_LOG_BYTES_READ).splitlines()
            return tuple(lines[-lines_max:]) if lines_max > 0 else ()
        return ()

    @override
    def legs(self) -> tuple[tuple[str, int], ...]:
        folders = (LegFolder(path) for path in self.home.glob("*-leg-*"))
        names = (
            folder.path.name.rpartition("-leg-")
            for folder in folders
            if folder.order() is not None and not folder.settled()
        )
        return tuple(sorted((run, int(leg)) for run, _, leg in names))

    @override
    def forget(self, run: str, leg: int) -> None:
        folder = self._folder(run, leg)
        with _disk(folder):
            if folder.order() is None:
                return
            if folder.ended() is None:
                msg = "the leg has not ended, or nobody has looked since"
                raise ConflictError(
                    msg, where=f"leg {folder.path.name!r}", remedy="ask for its status first"
                )
            folder.settle()

    def _replay(self) -> Replay | None:
        if self.spot_trace is None:
            return None
        if self._played is None:
            (trace,) = read_traces(self.spot_trace, values=self.spot_values)
            self._played = Replay(trace=trace, speed=self.spot_speed, start=self.spot_start)
        return self._played

    def _may_launch(self, spec: LegSpec, folder: LegFolder, *, now: datetime) -> bool:
        """Say whether a leg's capacity is there, having noted when it will go."""
        replay = self._replay()
        if replay is None or spec.capacity is not Capacity.SPOT:
            return True
        gone_at = replay.gone_at(now)
        if gone_at is not None:
            folder.write_gone_at(gone_at)
        return gone_at is None or gone_at > now

    def _folder(self, run: str, leg: int) -> LegFolder:
        return LegFolder(self.home.absolute() / leg_name(run, leg))

    def _launch(self, folder: LegFolder) -> None:
        """Start a supervisor and wait until the leg is claimed, which takes a moment."""
        # No user's site packages and no PYTHON* variable: it needs the standard library alone.
        command = (self.python, "-E", "-s", "-S", "-m", "blocks.local.supervisor")
        with folder.complaints.open("ab") as complaints:
            try:
                subprocess.run(  # noqa: S603 - our own module
                    (*command, str(folder.path)),
                    cwd=_PACKAGES,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=complaints,
                    start_new_session=True,
                    check=True,
                )
            except subprocess.CalledProcessError as error:
                msg = "its supervisor did not come up"
                raise UnavailableError(
                    msg,
                    where=f"leg {folder.path.name!r}",
                    got=_tail(folder.complaints, bytes_max=500).strip() or str(error),
                    remedy=f"see {folder.complaints}, then ask again",
                ) from error


def as_order(spec: LegSpec, *, python: str) -> Order:
    """Return what a supervisor of this machine is to run.

    Args:
        spec: What to run.
        python: Interpreter of commands that begin with `python`.

    Returns:
        The order; without a folder of its own the program starts where this process is.
    """
    program, *arguments = spec.command
    return Order(
        work=work_digest(spec),
        command=(python if program == "python" else program, *arguments),
        env=dict(spec.env),
        workdir=spec.workdir or str(Path.cwd()),
        checkpoint_dir=spec.checkpoint_dir,
        limit_s=spec.limit_s,
        grace_s=spec.grace_s,
        start_by=spec.start_by,
    )


def _check_same_work(folder: LegFolder, order: Order, *, name: str) -> None:
    known = folder.order()
    if known is not None and known.work != order.work:
        msg = "a leg of this name runs something else"
        raise ConflictError(
            msg,
            where=f"leg {name!r}",
            expected=f"work {known.work[:12]}",
            got=f"work {order.work[:12]}",
            remedy="nothing was started; give the new work the next leg number",
        )


def _look(folder: LegFolder, order: Order, *, now: datetime) -> LegStatus:
    # The reasons not to start first, then the claim: see `blocks.local.supervisor`.
    withdrawal = _withdrawal(folder, order, now=now)
    claim = folder.claim()
    ended = folder.ended()
    if ended is not None:
        return _as_status(ended)
    if claim is not None:
        if _is_alive(folder, claim):
            return LegStatus(phase="running", started_at=claim.started_at)
        # It may have ended since: then its own measurement counts, not this testimony.
        return _as_status(folder.testify(_lost(folder, order, claim, now=now)))
    if withdrawal is not None:
        return _as_status(folder.testify(withdrawal))
    return LegStatus(phase="waiting", reason="its supervisor has not started yet")


def _withdrawal(folder: LegFolder, order: Order, *, now: datetime) -> Ended | None:
    """Return the end of a leg that, if nobody has claimed it yet, can't start any more."""
    cause: Cause | None = folder.stop_cause()
    if cause is not None:
        asked_at = datetime.fromtimestamp(folder.stop_asked_s(), UTC)
        return _withdrawn(cause, at=asked_at)
    return _withdrawn("start-by", at=order.start_by) if now >= order.start_by else None


def _withdrawn(cause: Cause, *, at: datetime) -> Ended:
    return Ended(started_at=None, ended_at=at, cause=cause, reason=withdrawn_reason(cause))


def _lost(folder: LegFolder, order: Order, claim: Claim, *, now: datetime) -> Ended:
    """Return the latest end that the evidence allows: it was not seen to end, and is gone now."""
    longest = timedelta(seconds=folder.limit_s(order) + order.grace_s)
    latest = min(now, claim.started_at + longest)
    if claim.boot_id == boot_id():
        reason = "its supervisor is gone and left no measurement"
    else:
        reason = "the machine was restarted"
        latest = min(latest, booted_at())
    return Ended(
        started_at=claim.started_at,
        ended_at=max(latest, claim.started_at),
        measured=False,
        reason=reason,
    )


def _is_alive(folder: LegFolder, claim: Claim) -> bool:
    if claim.boot_id != boot_id():
        return False
    # The lock outlives the supervisor while its keeper kills what is left of the program.
    return start_ticks(claim.pid) == claim.start_ticks or folder.is_locked()


def _is_ending(folder: LegFolder, order: Order, claim: Claim) -> bool:
    return (
        folder.ended() is not None
        or folder.stop_cause() is not None
        or claim.boot_id != boot_id()
        or _used_s(claim) >= folder.limit_s(order)
    )


def _used_s(claim: Claim) -> float:
    return uptime_s() - claim.started_uptime_s


def _as_status(ended: Ended) -> LegStatus:
    return LegStatus(
        phase="ended",
        reason=ended.reason,
        started_at=ended.started_at,
        ended_at=ended.ended_at,
        exit_code=ended.exit_code,
        end=_end(ended),
        measured=ended.measured,
    )


def _end(ended: Ended) -> LegEnd:
    if ended.started_at is None:
        return LegEnd.WITHDRAWN
    if ended.exit_code is None:
        return LegEnd.LOST
    return classify_exit(ended.exit_code, stop_cause=ended.cause)


def _tail(path: Path, *, bytes_max: int) -> str:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - bytes_max))
        return file.read().decode("utf-8", errors="replace")


@contextmanager
def _disk(folder: LegFolder) -> Generator[None, None, None]:
    """Translate the file system's errors: no room and no right today may be mended tomorrow."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            error.strerror or str(error),
            where=f"leg {folder.path.name!r}",
            got=repr(error.filename),
            remedy="nothing was lost; ask again",
        ) from error
