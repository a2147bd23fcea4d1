"""A namespace on the real cluster for one test: made, used with the real runner, and removed."""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import yaml

from blocks.cluster.api import Api
from blocks.cluster.connect import connect
from blocks.cluster.errors import MissingError
from blocks.cluster.runner import KubernetesCluster
from blocks.cluster.view import close_view, jobs_path, pods_path
from infra.testcluster.build import CannotBuildError, find_program
from infra.testcluster.node import IMAGE
from lowtide.leg_state import LegState, State
from lowtide.legs import LegSpec
from lowtide.manifest import FINALIZER, IN_TIME_POLICY, ONCE_POLICY
from lowtide.objects import condition, part
from lowtide.site import KubernetesSettings

INFRA = Path(__file__).parents[2] / "infra"
T = TypeVar("T")
WITHIN_S = 180.0
"""Longer than anything takes, also on a machine that does five other things."""
CLUSTER_QUEUES = "/apis/kueue.x-k8s.io/v1beta1/clusterqueues"
HEEDS = "trap 'exit 143' TERM; "
"""What a shell needs to end at a SIGTERM."""
FOR_EVER = HEEDS + "sleep 1000 & wait"
UNTIL_RELEASED = HEEDS + "until [ -e /checkpoints/go ]; do sleep 0.1; done"
"""What a leg does that is to end when the test says so: see `Sandbox.release`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bed:
    """A cluster and what it can do.

    Attributes:
        kubeconfig: How its administrator reaches it.
        is_own: Whether it is ours alone: then a test may change what all namespaces share.
        why_no_pods: Why no pod can run; None where pods can.
        why_no_kueue: Why there is no Kueue; None where there is.
    """

    kubeconfig: Path
    is_own: bool
    why_no_pods: str | None
    why_no_kueue: str | None

    @property
    def api(self) -> Api:
        return connect(self.kubeconfig, None)

    def kubectl(
        self, *arguments: str, stdin: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run kubectl and return what it did, good or bad."""
        try:
            program = str(find_program("kubectl"))
        except CannotBuildError:
            program = "kubectl"
        return subprocess.run(
            [program, f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )


def open_bed(kubeconfig: Path, *, is_own: bool, cannot: Sequence[str] = ()) -> Bed:
    """Look at a cluster and say what it can do."""
    api = connect(kubeconfig, None)
    nodes = api.get("/api/v1/nodes")["items"]
    gpus = any("nvidia.com/gpu" in part(node, "status", "allocatable") for node in nodes)
    no_pods = None if nodes and gpus else "; ".join(cannot) or "no node of the cluster has GPUs"
    if not is_own and no_pods is None:
        no_pods = "the tests' own image is not on somebody else's nodes"
        if os.environ.get("LOWTIDE_TEST_IMAGE"):
            no_pods = None
    try:
        api.get("/apis/kueue.x-k8s.io/v1beta1")
        no_kueue = None
    except MissingError:
        no_kueue = "; ".join(cannot) or "the cluster has no Kueue"
    return Bed(kubeconfig=kubeconfig, is_own=is_own, why_no_pods=no_pods, why_no_kueue=no_kueue)


def missing_objects(bed: Bed) -> str | None:
    """Return what all legs need and no test may make on somebody else's cluster; None: nothing."""
    paths = {
        "the PriorityClass normal": "/apis/scheduling.k8s.io/v1/priorityclasses/normal",
        **{
            f"the policy {policy}": (
                "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/" + policy
            )
            for policy in (ONCE_POLICY, IN_TIME_POLICY)
        },
    }
    for what, path in paths.items():
        try:
            bed.api.get(path)
        except MissingError:
            return what
    return None


def kubectl_apply(bed: Bed, manifest: str) -> None:
    """Apply one of the shipped manifests as it is."""
    done = bed.kubectl("apply", "-f", str(INFRA / manifest))
    assert done.returncode == 0, done.stderr


@dataclass(slots=True)
class Sandbox:
    """One test's namespace, and legs in it."""

    bed: Bed
    namespace: str
    queue: str | None = None
    folder: Path | None = None
    """Where the runs' checkpoints are on the node; None: nowhere."""
    made: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    @property
    def api(self) -> Api:
        return self.bed.api

    def runner(self, **changes: Any) -> KubernetesCluster:
        """Return a runner of this namespace."""
        here: dict[str, Any] = {
            "namespace": self.namespace,
            "queue": self.queue,
            "background_queue": "training-background" if self.queue else None,
            "kubeconfig": self.bed.kubeconfig,
            "checkpoint_folder": None if self.folder is None else str(self.folder),
        }
        return KubernetesCluster.model_validate(here | changes)

    def spec(self, script: str = FOR_EVER, *, run: str | None = None, **changes: Any) -> LegSpec:
        """Return a leg that runs a shell script; unknown changes are the cluster's settings."""
        known = {name: changes.pop(name) for name in LegSpec.__slots__ if name in changes}
        settings = {
            "image": os.environ.get("LOWTIDE_TEST_IMAGE", IMAGE),
            "gpus": 0,
            "cpus": "0.05",
            "memory_gib": "0.0625",
            **changes,
        }
        spec = LegSpec(
            run=run or f"r-{secrets.token_hex(6)}",
            leg=1,
            command=("sh", "-c", script),
            env={},
            checkpoint_dir="/checkpoints",
            limit_s=600,
            start_by=datetime.now(UTC) + timedelta(minutes=10),
            grace_s=5,
            settings=KubernetesSettings.model_validate(settings).document(),
        )
        return replace(spec, **known)

    def start(self, script: str = FOR_EVER, **changes: Any) -> LegSpec:
        """Start a leg and return it."""
        spec = self.spec(script, **changes)
        self.runner().start(spec, now=datetime.now(UTC))
        return spec

    def release(self, *legs: LegSpec) -> None:
        """Let legs end that work until they are released, and those that follow them."""
        assert self.folder is not None
        for leg in legs:
            (self.folder / leg.run).mkdir(exist_ok=True)
            (self.folder / leg.run / "go").touch()

    def state(self, spec: LegSpec) -> LegState:
        """Return how a leg is, with the upkeep that a watching flow does.

        The upkeep comes last: a flow does it on what it saw, so whoever has seen a leg end here may
        count on its place in the queue to be given back.
        """
        now = datetime.now(UTC)
        runner = self.runner()
        found = runner.state(spec.run, spec.leg, now=now)
        runner.status(spec.run, spec.leg, now=now)
        return found

    def until(self, spec: LegSpec, *states: State, within_s: float = WITHIN_S) -> LegState:
        """Wait until a leg is in one of the states, or has ended where none is named."""

        def holds(found: LegState) -> bool:
            return found.state in states if states else found.phase == "ended"

        return wait_for(lambda: self.state(spec), holds, within_s=within_s)

    def job(self, spec: LegSpec) -> Mapping[str, Any]:
        """Return a leg's Job as it is, not as the runner sees it."""
        return self.api.get(f"{jobs_path(self.namespace)}/{spec.name}")

    def pods_of(self, spec: LegSpec) -> Sequence[Mapping[str, Any]]:
        """Return a leg's pods as they are, not as the runner sees them."""
        selector = f"lowtide.dev/run={spec.run}"
        return self.api.get(pods_path(self.namespace), labelSelector=selector)["items"]

    def kubectl(
        self, *arguments: str, stdin: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run kubectl in this namespace."""
        return self.bed.kubectl("-n", self.namespace, *arguments, stdin=stdin)

    def apply(self, *documents: Mapping[str, Any]) -> None:
        """Make objects; those that no namespace holds are removed with the sandbox."""
        text = yaml.safe_dump_all(documents)
        done = self.bed.kubectl("apply", "-f", "-", stdin=text)
        assert done.returncode == 0, done.stderr
        self.made += [
            (document["kind"], document["metadata"]["name"])
            for document in documents
            if "namespace" not in document["metadata"]
        ]


@contextmanager
def open_sandbox(bed: Bed, *, labels: Mapping[str, str] | None = None) -> Generator[Sandbox]:
    """Make a namespace, and remove it with all that was made for it."""
    name = f"lowtide-{secrets.token_hex(4)}"
    sandbox = Sandbox(bed=bed, namespace=name)
    metadata = {"name": name, "labels": dict(labels or {})}
    sandbox.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    wait_for(
        lambda: sandbox.kubectl("get", "serviceaccount", "default").returncode,
        lambda code: code == 0,
    )
    try:
        yield sandbox
    finally:
        close_view(bed.api, name)
        sandbox.kubectl("delete", "jobs", "--all", "--wait=false")
        for pod in bed.api.get(pods_path(name))["items"]:
            let_go(bed.api, pod)
        for kind, made in reversed(sandbox.made):
            bed.kubectl("delete", kind, made, "--wait=false", "--ignore-not-found")


def let_go(api: Api, pod: Mapping[str, Any]) -> None:
    """Take our finalizer off a pod, as settling does."""
    metadata = pod["metadata"]
    path = f"{pods_path(metadata['namespace'])}/{metadata['name']}"
    body = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
    try:
        api.patch(path, body, kind="strategic-merge")
    except MissingError:
        return


def shipped(*names: str) -> list[dict[str, Any]]:
    """Return the documents of shipped manifests."""
    return [
        document
        for name in names
        for document in yaml.safe_load_all((INFRA / name).read_text(encoding="utf-8"))
    ]


def moved(documents: Sequence[Mapping[str, Any]], *, to: str) -> list[dict[str, Any]]:
    """Return manifests as they would be for another namespace than ml-training."""
    text = json.dumps(list(documents)).replace('"ml-training"', json.dumps(to))
    found: list[dict[str, Any]] = json.loads(text)
    return found


def with_queues(sandbox: Sandbox) -> Sandbox:
    """Give a sandbox the shipped queues; what no namespace holds gets a name of its own."""
    suffix = sandbox.namespace.removeprefix("lowtide")
    flavors, queues, locals_ = (
        moved(shipped(f"kueue/{name}.yaml"), to=sandbox.namespace)
        for name in ("flavors", "cluster-queues", "local-queues")
    )
    for document in (*flavors, *queues):
        document["metadata"]["name"] += suffix
    for queue in queues:
        queue["spec"]["cohort"] += suffix
        for group in queue["spec"]["resourceGroups"]:
            for flavor in group["flavors"]:
                flavor["name"] += suffix
    for local in locals_:
        local["spec"]["clusterQueue"] += suffix
    sandbox.apply(*flavors, *queues, *locals_)
    for queue in queues:
        wait_for(
            lambda name=queue["metadata"]["name"]: sandbox.api.get(f"{CLUSTER_QUEUES}/{name}"),
            lambda found: bool(condition(found, "Active")),
        )
    return replace(sandbox, queue="training")


def wait_for(
    look: Callable[[], T], holds: Callable[[T], bool], *, within_s: float = WITHIN_S
) -> T:
    """Look until something holds, and return what was seen; fail with the last sight."""
    deadline = time.monotonic() + within_s
    while not holds(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found
