"""The one process that owns a cluster: it starts every program, watches them, and ends them all.

Stopping a cluster means stopping its keeper. The keeper ends when it is told to (SIGTERM), when the
process that asked for it is gone (its standard input closes, which the kernel does however that
process died), or when one of its programs ends by itself. Should the keeper itself be killed, each
program has asked the kernel to be killed with it.
"""

import ctypes
import json
import os
import select
import signal
import ssl
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.testcluster import machine, node, programs
from infra.testcluster.build import find_program
from infra.testcluster.pki import make_authority
from infra.testcluster.programs import LOOPBACK, Layout

START_S_MAX = 120.0
_PR_SET_PDEATHSIG = 1


class CannotStartError(RuntimeError):
    """A program did not come up."""


@dataclass(slots=True, kw_only=True)
class Keeper:
    """Starts the programs of one cluster and keeps them.

    Attributes:
        layout: Where its files and ports are.
        children: The programs started so far, in order.
    """

    layout: Layout
    children: "dict[str, subprocess.Popen[bytes]]" = field(
        default_factory=dict[str, "subprocess.Popen[bytes]"]
    )

    def spawn(self, name: str, command: Sequence[str]) -> None:
        """Start a program that dies with this process, its output in a log of its own."""
        with (self.layout.folder / "logs" / f"{name}.log").open("ab") as log:
            self.children[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - the keeper has one thread
                process_group=0,  # a Ctrl-C meant for a person's shell is not meant for etcd
            )

    def wait_until(self, what: str, is_so: Callable[[], bool]) -> None:
        """Wait until something is so, and fail at once when a program has ended meanwhile."""
        deadline = time.monotonic() + START_S_MAX
        while not is_so():
            self.check_alive()
            if time.monotonic() > deadline:
                msg = (
                    f"{what} did not come up in {START_S_MAX:.0f} s; see {self.layout.folder}/logs"
                )
                raise CannotStartError(msg)
            time.sleep(0.05)

    def check_alive(self) -> None:
        """Fail when a program has ended by itself."""
        for name, child in self.children.items():
            if child.poll() is not None:
                log = self.layout.folder / "logs" / f"{name}.log"
                tail = log.read_text(encoding="utf-8", errors="replace")[-600:]
                msg = f"{name} ended with {child.returncode}; {log} ends with:\n{tail}"
                raise CannotStartError(msg)

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl as the administrator and return what it printed."""
        command = [str(find_program("kubectl")), f"--kubeconfig={self.layout.admin}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            msg = f"kubectl {' '.join(arguments)}: {done.stderr.strip()}"
            raise CannotStartError(msg)
        return done.stdout

    def is_ready(self, url: str) -> bool:
        """Say whether an address of the cluster answers with a success."""
        context = ssl.create_default_context(cafile=str(self.layout.authority.path))
        pki = self.layout.authority.folder
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        try:
            with urllib.request.urlopen(url, timeout=1, context=context):  # noqa: S310 - loopback
                return True
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """Kill every program, the last one first; nothing of theirs is kept, so none needs to tidy."""
        for child in reversed(self.children.values()):
            child.kill()
        for child in self.children.values():
            child.wait()


def main(folder: Path) -> int:
    """Run the cluster described by `request.json` in the folder until it is to end."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    if not request["owned"] and os.fork():
        return 0  # the child goes on, and belongs to nobody
    signal.signal(signal.SIGTERM, _raise_exit)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    state: dict[str, Any] = {"phase": "starting", "keeper": os.getpid(), "network": None}
    keeper: Keeper | None = None
    try:
        wants_node = request["node"] and machine.why_no_node() is None
        state["network"] = machine.take_address() if wants_node else None
        _write_state(folder, state)
        keeper = Keeper(layout=_make_layout(folder, network=state["network"]))
        state.update(_start(keeper, name=folder.name, request=request, network=state["network"]))
        _write_state(folder, state)
        _keep(keeper, owned=request["owned"])
    except CannotStartError as error:
        state.update(phase="failed", message=str(error))
    except SystemExit:
        state["phase"] = "stopped"
    except Exception:  # noqa: BLE001 - whoever waits for this cluster must learn why it is not there
        state.update(phase="failed", message=traceback.format_exc())
    finally:
        if keeper is not None:
            keeper.stop()
        machine.sweep(folder.name, network=state["network"])
        _write_state(folder, state)
    return 0 if state["phase"] == "stopped" else 1


def _make_layout(folder: Path, *, network: int | None) -> Layout:
    (folder / "logs").mkdir()
    authority = make_authority(folder / "pki", now=datetime.now(UTC))
    address = None if network is None else machine.node_address(network)
    layout = Layout(
        folder=folder, authority=authority, ports=programs.free_ports(), node_address=address
    )
    authority.kubeconfig("admin", server=layout.server, group="system:masters")
    return layout


def _start(
    keeper: Keeper, *, name: str, request: Mapping[str, Any], network: int | None
) -> dict[str, Any]:
    layout = keeper.layout
    keeper.spawn("etcd", programs.etcd(layout))
    keeper.spawn("kube-apiserver", programs.api_server(layout))
    keeper.wait_until("the API server", lambda: keeper.is_ready(f"{layout.server}/readyz"))
    if network is not None:
        _start_node(keeper, name=name, network=network)
    keeper.spawn("kube-controller-manager", programs.controller_manager(layout))
    keeper.spawn("kube-scheduler", programs.scheduler(layout))
    cannot = [] if network is not None else [machine.why_no_node() or "no node was asked for"]
    no_kueue = machine.why_no_kueue()
    if no_kueue is None:
        _start_kueue(keeper)
    else:
        cannot.append(no_kueue)
    if request["kwok"]:
        keeper.spawn("kwok", programs.kwok(layout))
    if network is not None:
        _advertise_gpus(keeper, name=name, gpus=request["gpus"])
    keeper.wait_until("the default service account", lambda: _has_account(keeper))
    return {"phase": "ready", "kubeconfig": str(layout.admin), "cannot": cannot}


def _start_node(keeper: Keeper, *, name: str, network: int) -> None:
    layout = keeper.layout
    address = machine.node_address(network)
    machine.make_cgroup(name)
    account = layout.authority.kubeconfig(
        f"system:node:{name}", server=layout.server, group="system:nodes"
    )
    certificate, key = layout.authority.issue("kubelet", addresses=(address,))
    socket = layout.folder / "containerd" / "containerd.sock"
    config = node.kubelet_config(
        layout.folder,
        settings={
            "address": address,
            "port": layout.ports["kubelet"],
            "healthzBindAddress": LOOPBACK,
            "healthzPort": layout.ports["kubelet-health"],
            "cgroupRoot": f"/{machine.cgroup_name(name)}",
            "containerRuntimeEndpoint": f"unix://{socket}",
            "tlsCertFile": str(certificate),
            "tlsPrivateKeyFile": str(key),
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
                "x509": {"clientCAFile": str(layout.authority.path)},
            },
        },
    )
    settings = {
        "socket": str(socket),
        "containerd": str(
            node.containerd_config(layout.folder, name=name, subnet=machine.pod_subnet(network))
        ),
        "kubelet": [
            str(find_program("kubelet")),
            f"--config={config}",
            f"--kubeconfig={account}",
            f"--node-ip={address}",
            f"--hostname-override={name}",
            f"--root-dir={layout.folder / 'kubelet'}",
        ],
    }
    (layout.folder / "node.json").write_text(json.dumps(settings), encoding="utf-8")
    keeper.spawn(
        "node",
        [
            *("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"),
            *("--mount-proc", sys.executable, "-m", "infra.testcluster.node", str(layout.folder)),
        ],
    )


def _start_kueue(keeper: Keeper) -> None:
    layout = keeper.layout
    apply = ("apply", "--server-side", "-f")
    keeper.kubectl(*apply, str(programs.kueue_crds()))
    keeper.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    keeper.spawn("kueue", programs.kueue(layout))
    health = f"http://{LOOPBACK}:{layout.ports['kueue-health']}/readyz"
    keeper.wait_until("Kueue", lambda: keeper.is_ready(health))
    keeper.kubectl(*apply, str(programs.kueue_webhooks(layout)))


def _advertise_gpus(keeper: Keeper, *, name: str, gpus: int) -> None:
    def has_joined() -> bool:
        condition = 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'
        return "True" in keeper.kubectl("get", "nodes", "-o", condition)

    keeper.wait_until("the node", has_joined)
    patch = [{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": str(gpus)}]
    keeper.kubectl(
        *("patch", "node", name, "--subresource=status", "--type=json", "-p", json.dumps(patch))
    )

    def has_gpus() -> bool:
        shown = keeper.kubectl("get", "node", name, "-o", "jsonpath={.status.allocatable}")
        return json.loads(shown).get("nvidia.com/gpu") == str(gpus)

    keeper.wait_until("the node's GPUs", has_gpus)


def _has_account(keeper: Keeper) -> bool:
    found = keeper.kubectl("-n", "default", "get", "serviceaccounts", "-o", "name")
    return "serviceaccount/default" in found


def _keep(keeper: Keeper, *, owned: bool) -> None:
    while True:
        if owned and select.select([sys.stdin], [], [], 0.5)[0]:
            raise SystemExit  # our owner closed its end, or died
        if not owned:
            time.sleep(0.5)
        keeper.check_alive()


def _write_state(folder: Path, state: Mapping[str, Any]) -> None:
    partial = folder / "state.json.partial"
    partial.write_text(json.dumps(state), encoding="utf-8")
    partial.rename(folder / "state.json")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _raise_exit(_number: int, _frame: object) -> None:
    raise SystemExit


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
