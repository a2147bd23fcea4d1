"""The launcher itself: clusters come up, say what they cannot do, and leave nothing behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.testcluster import launcher, machine
from infra.testcluster.build import KUBERNETES, TOOL_SETS, CannotBuildError, ToolSet, find_program
from infra.testcluster.keeper import CannotStartError
from infra.testcluster.node import IMAGE, make_image
from tests.cluster.sandbox import open_bed, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def name() -> Iterator[str]:
    """Name of a cluster that is gone after the test."""
    if not all(tools.is_built for tools in TOOL_SETS):
        pytest.skip("not built; run `python -m infra.testcluster build`")
    name = f"launched-{os.getpid()}"
    yield name
    launcher.down(name)


def test_a_cluster_comes_up_serves_and_leaves_nothing_behind(name: str) -> None:
    cluster = launcher.up(name, node=machine.why_no_node() is None)
    bed = open_bed(cluster.kubeconfig, is_own=True, cannot=cluster.cannot)
    pod = (
        '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"},'
        f' "spec": {{"containers": [{{"name": "c", "image": "{IMAGE}"}}]}}}}'
    )
    bed.kubectl("apply", "-f", "-", stdin=pod)
    if bed.why_no_pods is None:
        wait_for(
            lambda: bed.kubectl("get", "pod", "p", "-o", "jsonpath={.status.phase}").stdout,
            lambda phase: phase == "Running",
        )

    again = launcher.up(name)
    left = launcher.down(name)

    assert again == cluster
    assert left == []
    assert launcher.status(name) is None
    assert not cluster.folder.exists()


def test_a_cluster_whose_keeper_is_killed_dies_with_it_and_is_swept_by_the_next_command(
    name: str,
) -> None:
    cluster = launcher.up(name)

    os.kill(cluster.keeper, signal.SIGKILL)
    wait_for(
        lambda: machine.traces(name, network=cluster.network, folder=cluster.folder),
        lambda traces: not any(trace.startswith("process") for trace in traces),
    )

    assert launcher.status(name) is None
    assert launcher.down(name) == []


def test_a_cluster_ends_with_the_process_that_asked_for_it(name: str) -> None:
    script = (
        "import os, sys\n"
        "from infra.testcluster import launcher\n"
        f"with launcher.cluster({name!r}, node=False) as cluster:\n"
        "    print(cluster.folder, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    folder = Path(done.stdout.strip())

    assert done.returncode == -signal.SIGKILL
    wait_for(
        lambda: machine.traces(name, network=None, folder=folder), lambda traces: traces == []
    )


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Programs of which the first one fails."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for tools in TOOL_SETS:
        (tools.folder / "bin").mkdir(parents=True)
        for program in tools.programs:
            path = tools.folder / "bin" / program
            path.write_text("#!/bin/sh\necho the disk is full >&2; exit 7\n")
            path.chmod(0o755)


@pytest.mark.usefixtures("broken")
def test_a_cluster_that_cannot_start_says_which_program_failed_and_why_and_leaves_nothing() -> (
    None
):
    with (
        pytest.raises(CannotStartError, match=r"etcd ended with 7(?s:.*)the disk is full"),
        launcher.cluster("broken"),
    ):
        pass

    folder = launcher.cache_folder() / "clusters" / "broken"
    assert machine.traces("broken", network=None, folder=folder) == []
    assert not folder.exists()


def test_a_program_that_is_not_built_says_how_to_build_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    with pytest.raises(CannotBuildError, match="make cluster"):
        find_program("kubectl")
    with pytest.raises(CannotBuildError, match="not built"), launcher.cluster("none"):
        pass


def test_a_change_of_the_pins_is_another_build() -> None:
    other = ToolSet(
        name=KUBERNETES.name, module=KUBERNETES.module, programs={"kubectl": "elsewhere"}
    )

    assert other.checksum != KUBERNETES.checksum
    assert KUBERNETES.checksum in str(KUBERNETES.folder)


@pytest.mark.skipif(machine.why_no_node() is not None, reason="no busybox here")
def test_the_image_of_the_pods_is_the_same_every_time() -> None:
    assert make_image() == make_image()
