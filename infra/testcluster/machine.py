"""What this machine can run, said plainly, and what a cluster leaves on it that no exit removes.

The control plane needs nothing but its programs. Kueue needs a mount namespace, and a node needs
root, containerd and cgroups; where one is missing the rest still serves every test that does not need
it, and the sentence given here is what a skipped test says.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

from infra.testcluster.node import BUSYBOX, CNI_PLUGINS, bridge_name

CGROUPS = Path("/sys/fs/cgroup")
_NODE_PROGRAMS = ("containerd", "containerd-shim-runc-v2", "ctr", "runc", "ip", "unshare", "mount")
_DYING_S_MAX = 5.0
_NODE_NETWORKS = range(256)
_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "pids")


def why_no_kueue() -> str | None:
    """Say why Kueue cannot run here, None when it can."""
    probe = [*own_mounts(), "sh", "-c", "mount -t tmpfs tmpfs /etc"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "Kueue needs the program `unshare`"
    if done.returncode:
        return f"Kueue needs a mount namespace of its own: {done.stderr.strip()}"
    return None


def own_mounts() -> list[str]:
    """Return the command that gives the next one a mount namespace, also to those who are not root."""
    as_root = ["--map-root-user"] if os.geteuid() else []
    return ["unshare", "--mount", "--propagation=private", *as_root]


def why_no_node() -> str | None:
    """Say why no pod can run here, None when pods can."""
    if os.uname().sysname != "Linux" or os.geteuid() != 0:
        return "pods run only on Linux, as root"
    missing = [name for name in _NODE_PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"pods need {', '.join(missing)}; on Debian: make system-deps"
    if not any((path / "bridge").exists() for path in CNI_PLUGINS):
        return "pods need the CNI plugins (Debian: containernetworking-plugins)"
    if not BUSYBOX.exists():
        return f"pods need a static busybox at {BUSYBOX} (Debian: busybox-static)"
    return _why_no_cgroups()


def _why_no_cgroups() -> str | None:
    if (CGROUPS / "cgroup.controllers").exists():
        return None if os.access(CGROUPS, os.W_OK) else f"pods need {CGROUPS} to be writable"
    missing = [name for name in _CONTROLLERS if not os.access(CGROUPS / name, os.W_OK)]
    return f"pods need the cgroup controllers {', '.join(missing)}" if missing else None


def cgroup_name(name: str) -> str:
    """Return the cgroup under which all pods of a cluster live."""
    return f"lowtide-{name}"


def make_cgroup(name: str) -> None:
    """Make the cluster's cgroup under every controller."""
    if (CGROUPS / "cgroup.controllers").exists():
        (CGROUPS / cgroup_name(name)).mkdir(exist_ok=True)
        return
    for controller in _v1_controllers():
        group = controller / cgroup_name(name)
        group.mkdir(exist_ok=True)
        if controller.name == "cpuset":
            # A new cpuset is empty, and nothing can run in it, until it inherits its parent's.
            (group / "cgroup.clone_children").write_text("1")
            for setting in ("cpuset.cpus", "cpuset.mems"):
                (group / setting).write_text((controller / setting).read_text())


def take_address() -> int:
    """Put a node's address on the loopback device, and return its number in 10.99.N.1.

    The kubelet refuses 127.0.0.1. The lowest free number is taken, so clusters can run side by side.

    Raises:
        RuntimeError: no address can be taken.
    """
    for number in _NODE_NETWORKS:
        command = ["ip", "address", "add", f"{node_address(number)}/32", "dev", "lo"]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return number
    msg = f"no address of {node_address(0)} to {node_address(255)} could be put on the device lo"
    raise RuntimeError(msg)


def node_address(number: int) -> str:
    """Return the address of a node."""
    return f"10.99.{number}.1"


def pod_subnet(number: int) -> str:
    """Return the network of a node's pods."""
    return f"10.98.{number}.0/24"


def sweep(name: str, *, network: int | None) -> None:
    """Remove what outlives a cluster's processes; what is already gone is no error."""
    if network is not None:
        address = f"{node_address(network)}/32"
        subprocess.run(
            ["ip", "address", "del", address, "dev", "lo"], capture_output=True, check=False
        )
        bridge = bridge_name(name)
        subprocess.run(["ip", "link", "del", bridge], capture_output=True, check=False)
    for group in _cgroups_of(name):
        _remove_tree(group)


def traces(name: str, *, network: int | None, folder: Path) -> list[str]:
    """List what a cluster has left on this machine: addresses, devices, cgroups, mounts, processes.

    Args:
        name: Name of the cluster.
        network: Number of its node's network; None without a node.
        folder: Its folder; a process or mount that names it is its own.
    """
    left = [f"cgroup {group}" for group in _cgroups_of(name)]
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    left += [f"mount {line.split()[1]}" for line in mounts if f"{folder}/" in line]
    left += [f"process {pid}: {line}" for pid, line in _commands() if f"{folder}/" in line]
    if network is not None:
        shown = subprocess.run(
            ["ip", "-oneline", "address"], capture_output=True, text=True, check=False
        )
        names = (f"{node_address(network)}/", f"{bridge_name(name)} ")
        left += [line for line in shown.stdout.splitlines() if any(n in line for n in names)]
    return left


def _commands() -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
            except OSError:
                continue  # it ended meanwhile
            found.append((int(entry.name), line))
    return found


def _v1_controllers() -> list[Path]:
    return sorted(
        path
        for path in CGROUPS.iterdir()
        if path.is_dir() and not path.is_symlink() and path.name != "unified"
    )


def _cgroups_of(name: str) -> list[Path]:
    if not CGROUPS.is_dir():
        return []
    places = [CGROUPS, *(path for path in CGROUPS.iterdir() if path.is_dir())]
    return [group for place in places if (group := place / cgroup_name(name)).is_dir()]


def _remove_tree(group: Path) -> None:
    # A cgroup is removed by rmdir alone, children first; its files are the kernel's. A process that
    # was just killed may still be in it.
    deadline = time.monotonic() + _DYING_S_MAX
    while True:
        try:
            for child in sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True):
                child.rmdir()
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
