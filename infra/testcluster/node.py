"""The node: containerd and a kubelet that runs real pods, in namespaces of their own.

Run as the first process of a new PID and mount namespace (`unshare --pid --mount`). Two things follow
from that, and they are the whole trick of leaving no trace: when this process ends, the kernel ends
every container, shim and daemon below it; and every mount they made was never seen outside. What lies
outside both namespaces, and is swept by `infra.testcluster.traces`, is an address on the loopback
device, a bridge, and the cgroups of the pods.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

IMAGE = "lowtide.test/busybox:1"
BUSYBOX = Path("/bin/busybox")
CNI_PLUGINS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
_READY_S_MAX = 30.0
_PRIVATE = ("/run", "/var/lib", "/var/log")


def main(folder: Path) -> None:
    """Start containerd, give it the one image, start the kubelet; then bury the dead for ever."""
    settings = json.loads((folder / "node.json").read_text(encoding="utf-8"))
    _hide_what_is_shared()
    containerd = _spawn(folder, "containerd", ["containerd", "--config", settings["containerd"]])
    socket = settings["socket"]
    _wait_for(Path(socket))
    image = folder / "image.tar"
    image.write_bytes(make_image())
    ctr = ["ctr", "--address", socket, "-n", "k8s.io", "images", "import", str(image)]
    subprocess.run(ctr, check=True, capture_output=True, timeout=_READY_S_MAX)
    kubelet = _spawn(folder, "kubelet", settings["kubelet"])
    daemons = {containerd.pid: "containerd", kubelet.pid: "kubelet"}
    # The first process of a PID namespace inherits every orphan; unreaped they would pile up.
    while True:
        pid, status = os.wait()
        if pid in daemons:
            sys.exit(f"{daemons[pid]} ended with {os.waitstatus_to_exitcode(status)}; see its log")


def containerd_config(folder: Path, *, name: str, subnet: str) -> Path:
    """Write containerd's configuration and that of its network, and return the file.

    Args:
        folder: The cluster's folder.
        name: Short name of the cluster; its bridge is called after it.
        subnet: Network of the pods, as in 10.98.7.0/24.
    """
    base = folder / "containerd"
    networks = base / "cni"
    networks.mkdir(parents=True)
    plugins = next(path for path in CNI_PLUGINS if (path / "bridge").exists())
    network = {
        "cniVersion": "0.4.0",
        "name": name,
        "plugins": [
            {
                "type": "bridge",
                "bridge": bridge_name(name),
                "isGateway": True,
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": subnet}]],
                    "dataDir": str(base / "addresses"),
                },
            }
        ],
    }
    (networks / "10-bridge.conflist").write_text(json.dumps(network), encoding="utf-8")
    config = base / "config.toml"
    config.write_text(
        _CONTAINERD.format(base=base, image=IMAGE, plugins=plugins, networks=networks),
        encoding="utf-8",
    )
    return config


def bridge_name(name: str) -> str:
    """Return the name of a cluster's bridge; the kernel allows 15 letters."""
    return f"lt{sha256(name.encode()).hexdigest()[:10]}"


_CONTAINERD = """\
version = 2
root = "{base}/root"
state = "{base}/state"
[grpc]
  address = "{base}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  restrict_oom_score_adj = true # works without CAP_SYS_RESOURCE
  netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{plugins}"
  conf_dir = "{networks}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  Root = "{base}/runc"
"""


def kubelet_config(folder: Path, *, settings: Mapping[str, Any]) -> Path:
    """Write the kubelet's configuration and return the file.

    Args:
        folder: The cluster's folder.
        settings: What differs from cluster to cluster.
    """
    document: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "failSwapOn": False,
        "resolvConf": "",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},  # whoever holds the authority's certificate
        "registerNode": True,
        "podLogsDir": str(folder / "pods"),
        "syncFrequency": "10s",
        "containerLogMaxSize": "4Mi",
        "nodeStatusUpdateFrequency": "5s",
        "nodeStatusReportFrequency": "1m",
        "serializeImagePulls": False,
        **settings,
    }
    path = folder / "kubelet.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def make_image() -> bytes:
    """Return an image with busybox and nothing else, as `docker save` would write it.

    No registry can be reached, so the image is written here. It serves as the pods' sandbox too: its
    own command waits for ever.
    """
    layer = _tar(_root_filesystem())
    config = {
        "architecture": _architecture(),
        "os": "linux",
        "config": {
            "Entrypoint": [],
            "Cmd": ["/bin/sleep", "2147483647"],
            "Env": ["PATH=/bin"],
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    return _tar(
        [
            (_file("config.json"), json.dumps(config).encode()),
            (_file("layer.tar"), layer),
            (_file("manifest.json"), json.dumps(manifest).encode()),
        ]
    )


def _root_filesystem() -> list[tuple[tarfile.TarInfo, bytes]]:
    listed = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True)
    entries = [(_folder(name, mode), b"") for name, mode in (("bin", 0o755), ("tmp", 0o1777))]
    entries.append((_file("bin/busybox", mode=0o755), BUSYBOX.read_bytes()))
    for applet in listed.stdout.split():
        if applet != "busybox":
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            entries.append((link, b""))
    passwd = b"root:x:0:0:root:/:/bin/sh\nnobody:x:65532:65532:nobody:/tmp:/bin/sh\n"
    return [*entries, (_folder("etc", 0o755), b""), (_file("etc/passwd"), passwd)]


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def _file(name: str, *, mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = mode
    return info


def _folder(name: str, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    return info


def _tar(entries: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for info, content in entries:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _hide_what_is_shared() -> None:
    """Put an empty file system over each folder in which the daemons would write beside their own."""
    for place in _PRIVATE:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    subprocess.run(["mount", "--make-rshared", "/"], check=True)  # a pod may ask for propagation


def _spawn(folder: Path, name: str, command: Sequence[str]) -> "subprocess.Popen[bytes]":
    with (folder / "logs" / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _wait_for(socket: Path) -> None:
    deadline = time.monotonic() + _READY_S_MAX
    while not socket.exists():
        if time.monotonic() > deadline:
            sys.exit("containerd did not open its socket; see its log")
        time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
