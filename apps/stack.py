"""The local stack: Prefect's server and UI, an MLflow server, and a worker for the deployments.

`up` is level-triggered like everything else: it looks at what runs, starts what does not, and
writes addresses and process ids to `stack.json`. Repeating it changes nothing. `down` ends what
`up` started, by process id and start time, so a process that inherited an id is never touched.
"""

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from blocks.settings import Settings
from lowtide.errors import UnavailableError

PROJECT = Path(__file__).parent.parent
WORK_POOL = "lowtide"  # as in `blocks.prefect_setup`, which imports Prefect
_PREFECT_PORT = 4200
_MLFLOW_PORT = 5000
_START_S = 180.0
_REGISTER_S = 600.0  # eight deployments, each imports its flow; a busy machine takes its time
_POLL_S = 0.2
_END_S = 15.0
Say = Callable[[str], None]

# What this process started and does not wait for. Python warns about a child that outlives its
# handle; these are meant to.
_DETACHED: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process of the stack.

    Attributes:
        name: prefect, mlflow or worker.
        pid: Its process id.
        created: When the process started, seconds since 1970; with the id it is unmistakable.
        url: Where a person opens it; None for the worker.
        api_url: Where a program talks to it; None for the worker.
        log: What it prints.
    """

    name: str
    pid: int
    created: float
    log: str
    url: str | None = None
    api_url: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the part as it is stored."""
        return {key: getattr(self, key) for key in self.__slots__}

    def process(self) -> psutil.Process | None:
        """Return the process, or None when it is gone."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.created) < 1 and process.status() != "zombie":
                return process
        return None


def up(settings: Settings, *, say: Say, notify: str | None = None) -> dict[str, Part]:
    """Start what is not running, and wait until it answers.

    One at a time on a machine: a port that was free a moment ago may be another stack's by the time
    that a server listens there, and then both would talk to the same server.

    Args:
        settings: Where the home folder is.
        say: Told in one sentence what is being waited for.
        notify: A saved notification block of Prefect that is to tell a person what happens.

    Returns:
        The parts by name.

    Raises:
        UnavailableError: a part did not answer in time; its log is named.
    """
    with _one_at_a_time(say):
        return _up(settings, say=say, notify=notify)


def _up(settings: Settings, *, say: Say, notify: str | None) -> dict[str, Part]:
    logs = settings.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    parts = running(settings)
    fresh = {"prefect", "mlflow"} - parts.keys()
    if "prefect" in fresh:
        parts["prefect"] = _start_prefect(settings, logs)
    if "mlflow" in fresh:
        parts["mlflow"] = _start_mlflow(settings, logs)
    _save(settings, parts)
    for name, path in (("mlflow", "/health"), ("prefect", "/health")):
        if name in fresh:
            say(f"waiting for {name} at {parts[name].url}")
        _wait_until_healthy(parts[name], path)
    if "worker" not in parts or "prefect" in fresh or notify is not None:
        say("registering pool, queues, deployments and automations")
        _register(settings, parts, logs, notify=notify)
    if "worker" not in parts or "prefect" in fresh:
        parts["worker"] = _start_worker(settings, parts, logs)
        _save(settings, parts)
    return parts


def down(settings: Settings, *, say: Say) -> tuple[str, ...]:
    """End what `up` started, and return the names of the parts that were ended."""
    parts = running(settings)
    for name in ("worker", "mlflow", "prefect"):
        if name in parts:
            say(f"ending {name} (process {parts[name].pid})")
            _end(parts[name])
    settings.stack_file.unlink(missing_ok=True)
    return tuple(parts)


def running(settings: Settings) -> dict[str, Part]:
    """Return the parts of the stack whose processes live."""
    parts = {name: Part(**stored) for name, stored in settings.stack().items()}
    return {name: part for name, part in parts.items() if part.process() is not None}


def environment(settings: Settings, parts: Mapping[str, Part]) -> dict[str, str]:
    """Return the variables that let a process find the stack."""
    variables = {
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "LOWTIDE_HOME": str(settings.home),
    }
    if "prefect" in parts:
        variables["PREFECT_API_URL"] = str(parts["prefect"].api_url)
    if "mlflow" in parts:
        variables["MLFLOW_TRACKING_URI"] = str(parts["mlflow"].url)
    return variables


def detach(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Let a process that was started here outlive whoever holds its handle, and return it."""
    _DETACHED.append(process)
    return process


@contextlib.contextmanager
def _one_at_a_time(say: Say) -> Generator[None]:
    """Keep this user's other stacks from starting until this one has."""
    path = Path(tempfile.gettempdir()) / f"lowtide-{os.getuid()}.lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another stack of yours to start")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _start_prefect(settings: Settings, logs: Path) -> Part:
    port = _free_port(_PREFECT_PORT)
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "prefect", "server", "start"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    settings_of_the_server = {
        # The UI asks the address it was served from, not the default port.
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_UI_API_URL": f"{url}/api",
    }
    process = _spawn(command, settings, log=logs / "prefect.log", variables=settings_of_the_server)
    return _part("prefect", process, logs / "prefect.log", url=url, api_url=f"{url}/api")


def _start_mlflow(settings: Settings, logs: Path) -> Part:
    port = _free_port(_MLFLOW_PORT)
    folder = settings.home / "mlflow"
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    # Its default of four workers takes 40 s to start, each importing the whole of MLflow.
    command += ["--artifacts-destination", str(folder / "artifacts"), "--workers", "1"]
    # Its job runners, six processes of them, serve features that lowtide does not use.
    variables = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = _spawn(command, settings, log=logs / "mlflow.log", variables=variables)
    url = f"http://127.0.0.1:{port}"
    return _part("mlflow", process, logs / "mlflow.log", url=url, api_url=url)


def _register(
    settings: Settings, parts: Mapping[str, Part], logs: Path, *, notify: str | None
) -> None:
    log = logs / "deploy.log"
    command = [sys.executable, "-m", "apps.registration", *([notify] if notify else [])]
    variables = environment(settings, parts)
    process = _spawn(command, settings, log=log, variables=variables, cwd=PROJECT)
    if process.wait(timeout=_REGISTER_S) != 0:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        msg = f"Prefect could not be set up: {' '.join(last)}"
        raise UnavailableError(msg, where="up", remedy=f"read {log}")


def _start_worker(settings: Settings, parts: Mapping[str, Part], logs: Path) -> Part:
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", WORK_POOL]
    # No --limit: the pool has one. With its own, a worker dies of a flow run that is resumed before
    # the process that suspended it is gone (Prefect 3.8; like PrefectHQ/prefect#10632).
    variables = {**environment(settings, parts), "PREFECT_WORKER_QUERY_SECONDS": "2"}
    process = _spawn(command, settings, log=logs / "worker.log", variables=variables, cwd=PROJECT)
    return _part("worker", process, logs / "worker.log")


def _spawn(
    command: Sequence[str],
    settings: Settings,
    *,
    log: Path,
    variables: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    inherited = {**os.environ, **environment(settings, {}), **(variables or {})}
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            command,
            env=inherited,
            cwd=cwd or settings.home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in this terminal is not for the servers
        )
    return detach(process)


def _part(
    name: str,
    process: subprocess.Popen[bytes],
    log: Path,
    *,
    url: str | None = None,
    api_url: str | None = None,
) -> Part:
    created = psutil.Process(process.pid).create_time()
    return Part(
        name=name, pid=process.pid, created=created, log=str(log), url=url, api_url=api_url
    )


def _wait_until_healthy(part: Part, path: str) -> None:
    give_up = time.monotonic() + _START_S
    while time.monotonic() < give_up:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{part.api_url}{path}", timeout=2).is_success:
                return
        if part.process() is None:
            msg = f"{part.name} ended before it answered"
            raise UnavailableError(msg, where="up", remedy=f"read {part.log}")
        time.sleep(_POLL_S)
    msg = f"{part.name} did not answer at {part.api_url} within {_START_S:.0f} s"
    raise UnavailableError(msg, where="up", remedy=f"read {part.log}, then run `lowtide up` again")


def _end(part: Part) -> None:
    process = part.process()
    if process is None:
        return
    family = [process, *process.children(recursive=True)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
    _, alive = psutil.wait_procs(family, timeout=_END_S)
    for member in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(alive, timeout=_END_S)
    for started in _DETACHED:
        started.poll()  # where it was ours, let Python see that it is gone


def _save(settings: Settings, parts: Mapping[str, Part]) -> None:
    stored = {name: part.document() for name, part in parts.items()}
    draft = settings.stack_file.with_suffix(".new")
    draft.write_text(json.dumps(stored, indent=2), encoding="utf-8")
    draft.replace(settings.stack_file)


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with contextlib.closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found: int = probe.getsockname()[1]
                return found
    msg = "no free port on 127.0.0.1"
    raise UnavailableError(msg, where="up", remedy="end a program that listens there")
