"""How each program of the control plane is started: flags, ports, certificates.

Only what differs from the programs' own defaults is here, each with its reason. Everything listens on
loopback, on ports that were free a moment ago, so two clusters can run side by side.
"""

import base64
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.testcluster.build import KUEUE, KWOK, find_program
from infra.testcluster.machine import own_mounts
from infra.testcluster.pki import Authority, write_key

LOOPBACK = "127.0.0.1"
SERVICES = "10.97.0.0/24"
_PORTS = (
    "etcd",
    "etcd-peer",
    "api",
    "controllers",
    "scheduler",
    "kueue-health",
    "kueue-metrics",
    "kueue-webhook",
    "kubelet",
    "kubelet-health",
)
# A client of the API server may ask so many times a second: tests wait for controllers, not for limits.
_CLIENT_RATE = ("--kube-api-qps=400", "--kube-api-burst=800")


def free_ports() -> dict[str, int]:
    """Return a free loopback port for each listener."""
    with ExitStack() as stack:
        held: dict[str, int] = {}
        for name in _PORTS:
            listener = stack.enter_context(socket.socket())
            listener.bind((LOOPBACK, 0))
            held[name] = listener.getsockname()[1]
        return held


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where one cluster keeps its files, and where its programs listen.

    Attributes:
        folder: The cluster's own folder.
        authority: Who signs its certificates.
        ports: Port of each listener.
        node_address: Address of its node; None without a node.
    """

    folder: Path
    authority: Authority
    ports: Mapping[str, int]
    node_address: str | None = None

    @property
    def server(self) -> str:
        """Address of the API server."""
        return f"https://{LOOPBACK}:{self.ports['api']}"

    @property
    def admin(self) -> Path:
        """Kubeconfig of the administrator."""
        return self.folder / "pki" / "admin.kubeconfig"


def etcd(layout: Layout) -> list[str]:
    """Return the command of the store."""
    client = f"http://{LOOPBACK}:{layout.ports['etcd']}"
    peer = f"http://{LOOPBACK}:{layout.ports['etcd-peer']}"
    return [
        str(find_program("etcd")),
        f"--data-dir={layout.folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",  # nothing here outlives the machine's power
        "--log-level=warn",
    ]


def api_server(layout: Layout) -> list[str]:
    """Return the command of the API server, with its keys written."""
    authority = layout.authority
    certificate, key = authority.issue(
        "kube-apiserver", addresses=(LOOPBACK, "localhost", "kubernetes.default.svc")
    )
    client, client_key = authority.issue("kube-apiserver-kubelet-client", group="system:masters")
    accounts = write_key(authority.folder / "service-accounts.key")
    return [
        str(find_program("kube-apiserver")),
        f"--etcd-servers=http://{LOOPBACK}:{layout.ports['etcd']}",
        f"--secure-port={layout.ports['api']}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        "--endpoint-reconciler-type=none",  # a loopback address is no endpoint
        f"--service-cluster-ip-range={SERVICES}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        f"--client-ca-file={authority.path}",
        f"--kubelet-client-certificate={client}",
        f"--kubelet-client-key={client_key}",
        f"--kubelet-certificate-authority={authority.path}",
        "--kubelet-preferred-address-types=InternalIP",  # else `logs` asks DNS for the node
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={accounts}",
        f"--service-account-signing-key-file={accounts}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
    ]


def controller_manager(layout: Layout) -> list[str]:
    """Return the command of the controllers."""
    config = layout.authority.kubeconfig(
        "system:kube-controller-manager", server=layout.server, group="system:masters"
    )
    return [
        str(find_program("kube-controller-manager")),
        f"--kubeconfig={config}",
        "--leader-elect=false",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={layout.ports['controllers']}",
        f"--service-account-private-key-file={layout.authority.folder / 'service-accounts.key'}",
        f"--root-ca-file={layout.authority.path}",
        *_CLIENT_RATE,
    ]


def scheduler(layout: Layout) -> list[str]:
    """Return the command of the scheduler."""
    config = layout.authority.kubeconfig(
        "system:kube-scheduler", server=layout.server, group="system:masters"
    )
    return [
        str(find_program("kube-scheduler")),
        f"--kubeconfig={config}",
        "--leader-elect=false",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={layout.ports['scheduler']}",
        *_CLIENT_RATE,
    ]


def kueue(layout: Layout) -> list[str]:
    """Return the command of Kueue.

    It insists on a certificate for its metrics in a folder of `/etc` that nothing can change. So it
    runs in a mount namespace of its own, in which `/etc` holds that certificate and nothing else.
    """
    certificate, key = layout.authority.issue("kueue", addresses=(LOOPBACK,))
    certificates = layout.folder / "kueue" / "certs"
    certificates.mkdir(parents=True)
    (certificates / "tls.crt").write_bytes(certificate.read_bytes())
    (certificates / "tls.key").write_bytes(key.read_bytes())
    config = layout.folder / "kueue" / "config.yaml"
    config.write_text(yaml.safe_dump(_kueue_config(layout, certificates)), encoding="utf-8")
    inside = "/etc/kueue/metrics/certs"
    script = (
        f"mount -t tmpfs tmpfs /etc && mkdir -p {inside} && cp '{certificates}'/* {inside}/"
        ' && exec "$@"'
    )
    account = layout.authority.kubeconfig("kueue", server=layout.server, group="system:masters")
    return [
        *(*own_mounts(), "sh", "-c", script, "kueue"),
        str(find_program("kueue")),
        f"--config={config}",
        f"--kubeconfig={account}",
        # Its API extension server is reached through a Service, which needs a cluster network.
        "--feature-gates=VisibilityOnDemand=false",
        "--zap-log-level=2",
    ]


def _kueue_config(layout: Layout, certificates: Path) -> dict[str, Any]:
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta1",
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": f"{LOOPBACK}:{layout.ports['kueue-health']}"},
        "metrics": {"bindAddress": f"{LOOPBACK}:{layout.ports['kueue-metrics']}"},
        "webhook": {
            "host": LOOPBACK,
            "port": layout.ports["kueue-webhook"],
            "certDir": str(certificates),
        },
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "clientConnection": {"qps": 400, "burst": 800},
        "integrations": {"frameworks": ["batch/job"]},
    }


def kueue_crds() -> Path:
    """Return the folder with Kueue's resource definitions."""
    return KUEUE.folder / "extras" / "config" / "components" / "crd" / "bases"


def kueue_webhooks(layout: Layout) -> Path:
    """Write Kueue's webhooks, pointed at its loopback port, and return the file.

    Only those of the frameworks in use are kept: a webhook for a kind that does not exist is noise,
    and one for pods would put Kueue between the kubelet's every pod and its start.
    """
    manifest = KUEUE.folder / "extras" / "config" / "components" / "webhook" / "manifests.yaml"
    authority = base64.b64encode(layout.authority.path.read_bytes()).decode()
    documents: list[dict[str, Any]] = []
    for document in yaml.safe_load_all(manifest.read_text(encoding="utf-8")):
        hooks = [hook for hook in document["webhooks"] if _is_wanted(hook)]
        for hook in hooks:
            path = hook["clientConfig"]["service"]["path"]
            hook["clientConfig"] = {
                "url": f"https://{LOOPBACK}:{layout.ports['kueue-webhook']}{path}",
                "caBundle": authority,
            }
        name = f"kueue-{document['metadata']['name']}"
        documents.append({**document, "metadata": {"name": name}, "webhooks": hooks})
    target = layout.folder / "kueue" / "webhooks.yaml"
    target.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    return target


def _is_wanted(hook: Mapping[str, Any]) -> bool:
    groups = {group for rule in hook["rules"] for group in rule["apiGroups"]}
    return groups <= {"batch", "kueue.x-k8s.io"}


PRETENDED = "kwok.x-k8s.io/node"
"""Annotation, with the value `fake`, of a node that is only pretended."""
LASTS = "lowtide.test/lasts"
"""Annotation of a pod on a pretended node that says how long its program runs, as in 30s."""


def kwok(layout: Layout) -> list[str]:
    """Return the command of KWOK, which pretends the nodes that carry its annotation."""
    stages = KWOK.folder / "extras" / "kustomize" / "stage"
    texts = (path.read_text(encoding="utf-8") for path in sorted(stages.rglob("*.yaml")))
    documents = [yaml.safe_load(text) for text in texts if "\nkind: Stage\n" in text]
    for document in documents:
        if document["metadata"]["name"] == "pod-complete":
            lasts = {"expressionFrom": f'.metadata.annotations["{LASTS}"]'}
            document["spec"]["delay"] = {"durationMilliseconds": 1, "durationFrom": lasts}
            # Kubernetes cuts the end to whole seconds; the last words tell it exactly.
            template = document["spec"]["next"]["statusTemplate"]
            document["spec"]["next"]["statusTemplate"] = template.replace(
                "reason: Completed", "reason: Completed\n      message: {{ $now | Quote }}"
            )
    config = layout.folder / "kwok.yaml"
    config.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    return [
        str(find_program("kwok")),
        f"--kubeconfig={layout.admin}",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={PRETENDED}=fake",
        f"--config={config}",
        f"--server-address={LOOPBACK}:0",
    ]
