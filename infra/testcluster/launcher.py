"""Starts, finds and stops clusters; what a test or a person calls.

A cluster is a folder in the user's cache and one process, its keeper (`infra.testcluster.keeper`).
Everything else follows from these two: a folder whose keeper is gone is swept by whoever looks next.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.testcluster import machine
from infra.testcluster.build import (
    KWOK,
    TOOL_SETS,
    CannotBuildError,
    cache_folder,
)
from infra.testcluster.keeper import START_S_MAX, CannotStartError

ROOT = Path(__file__).parents[2]
DEFAULT_NAME = "default"
GPUS = 8
STOP_S_MAX = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running cluster.

    Attributes:
        name: Its name on this machine; its node has the same.
        folder: Its files and logs.
        kubeconfig: How its administrator reaches it.
        keeper: Process id of its keeper.
        network: Number of its node's network; None without a node.
        cannot: What it cannot do on this machine, one sentence each.
    """

    name: str
    folder: Path
    kubeconfig: Path
    keeper: int
    network: int | None
    cannot: tuple[str, ...]


def up(
    name: str = DEFAULT_NAME, *, gpus: int = GPUS, node: bool = True, kwok: bool = False
) -> Cluster:
    """Start a cluster that stays until `down`, or return the one that runs.

    Args:
        name: Its name.
        gpus: GPUs that its node advertises.
        node: Whether to run real pods, where the machine can.
        kwok: Whether pretended nodes come alive.

    Raises:
        CannotBuildError: the programs are missing and cannot be built.
        CannotStartError: a program did not come up.
    """
    running = status(name)
    if running is not None:
        return running
    _prepare(name, gpus=gpus, node=node, kwok=kwok, owned=False)
    # It leaves this process by itself, so its first process ends at once.
    _start_keeper(name, stdin=subprocess.DEVNULL).wait()
    return _await(name)


@contextmanager
def cluster(
    name: str, *, gpus: int = GPUS, node: bool = True, kwok: bool = False
) -> Generator[Cluster]:
    """Run a cluster for the length of a `with` block, and not a moment longer.

    However this process ends, the cluster ends with it: the keeper sees its standard input close.
    """
    _prepare(name, gpus=gpus, node=node, kwok=kwok, owned=True)
    keeper = _start_keeper(name, stdin=subprocess.PIPE)
    try:
        yield _await(name)
    finally:
        if keeper.stdin is not None:
            keeper.stdin.close()
        keeper.terminate()
        keeper.wait(STOP_S_MAX)
        _remove(name)


def down(name: str = DEFAULT_NAME) -> list[str]:
    """Stop a cluster and return what it left behind: an empty list, or a bug.

    Args:
        name: Its name; one that does not run is swept and no error.
    """
    folder = _folder(name)
    state = _read_state(name)
    if state is not None and _is_keeper(state["keeper"], folder):
        os.kill(state["keeper"], signal.SIGTERM)
        deadline = time.monotonic() + STOP_S_MAX
        while _is_keeper(state["keeper"], folder) and time.monotonic() < deadline:
            time.sleep(0.05)
    network = None if state is None else state["network"]
    _remove(name)
    return machine.traces(name, network=network, folder=folder)


def status(name: str = DEFAULT_NAME) -> Cluster | None:
    """Return a cluster that is up, None when there is none."""
    state = _read_state(name)
    if (
        state is None
        or state["phase"] != "ready"
        or not _is_keeper(state["keeper"], _folder(name))
    ):
        return None
    return Cluster(
        name=name,
        folder=_folder(name),
        kubeconfig=Path(state["kubeconfig"]),
        keeper=state["keeper"],
        network=state["network"],
        cannot=tuple(state["cannot"]),
    )


def _prepare(name: str, **request: object) -> None:
    needed = (*TOOL_SETS, KWOK) if request["kwok"] else TOOL_SETS
    missing = [tools.name for tools in needed if not tools.is_built]
    if missing:
        also = " --kwok" if request["kwok"] else ""
        msg = f"{', '.join(missing)}: not built; run `python -m infra.testcluster build{also}`"
        raise CannotBuildError(msg)
    _sweep_dead()
    folder = _folder(name)
    folder.mkdir(parents=True)
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")


def _start_keeper(name: str, *, stdin: int) -> "subprocess.Popen[bytes]":
    folder = _folder(name)
    with (folder / "keeper.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "infra.testcluster.keeper", str(folder)],
            stdin=stdin,
            stdout=log,
            stderr=log,
            cwd=ROOT,  # where the package is found
            start_new_session=True,
        )


def _await(name: str) -> Cluster:
    deadline = time.monotonic() + START_S_MAX
    while (running := status(name)) is None:
        state = _read_state(name) or {}
        if state.get("phase") in {"failed", "stopped"} or time.monotonic() > deadline:
            log = (_folder(name) / "keeper.log").read_text(encoding="utf-8")[-2000:]
            raise CannotStartError(state.get("message") or log or "the keeper did not answer")
        time.sleep(0.05)
    return running


def _folder(name: str) -> Path:
    return cache_folder() / "clusters" / name


def _read_state(name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((_folder(name) / "state.json").read_text("utf-8"))
    except FileNotFoundError:
        return None
    return found


def _is_keeper(pid: int, folder: Path) -> bool:
    """Say whether a process is this cluster's keeper, and not a stranger with its old number."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    is_zombie = stat.rpartition(")")[2].split()[0] == "Z"
    return str(folder).encode() in line.split(b"\0") and not is_zombie


def _sweep_dead() -> None:
    """Remove what keepers that were killed could not remove themselves."""
    for folder in (cache_folder() / "clusters").glob("*"):
        state = _read_state(folder.name)
        if state is not None and not _is_keeper(state["keeper"], folder):
            _remove(folder.name)


def _remove(name: str) -> None:
    state = _read_state(name)
    machine.sweep(name, network=None if state is None else state["network"])
    shutil.rmtree(_folder(name), ignore_errors=True)
