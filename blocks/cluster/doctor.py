"""What is wrong with a cluster before a leg finds out: access, rights, clocks, queues, policies."""

from collections.abc import Callable, Iterator

from blocks.cluster import checks
from blocks.cluster.runner import KubernetesCluster
from lowtide.errors import LowtideError
from lowtide.job import Priority
from lowtide.objects import part

# What the Role of infra/kubernetes/flows.yaml gives, verb and resource.
_RIGHTS = (
    ("create", "batch", "jobs"),
    ("patch", "batch", "jobs"),
    ("delete", "batch", "jobs"),
    ("watch", "batch", "jobs"),
    ("watch", "", "pods"),
    ("patch", "", "pods"),
    ("get", "", "pods/log"),
    ("list", "", "events"),
)


def findings(cluster: KubernetesCluster) -> tuple[str, ...]:
    """Return what would keep legs from running, one sentence each; empty when all is well.

    Args:
        cluster: The cluster.
    """
    try:
        version = cluster.api.get("/version")
    except LowtideError as error:
        return (str(error),)
    if not version:
        return ("the API server does not say its version",)
    return tuple(found for look in _looks(cluster) if (found := _said_by(look)) is not None)


def _looks(cluster: KubernetesCluster) -> Iterator[Callable[[], None]]:
    yield lambda: checks.check_clock(cluster.api)
    yield lambda: _check_rights(cluster)
    queues = {cluster.site.queue_of(priority) for priority in Priority} - {None}
    for queue in sorted(name for name in queues if name is not None):
        yield lambda queue=queue: checks.check_queue(cluster.api, cluster.namespace, queue)
    if queues:
        yield lambda: checks.check_policies(cluster.api, cluster.admission_policies)


def _said_by(look: Callable[[], None]) -> str | None:
    try:
        look()
    except LowtideError as error:
        return str(error)
    return None


def _check_rights(cluster: KubernetesCluster) -> None:
    missing = [
        f"{verb} {resource}"
        for verb, group, resource in _RIGHTS
        if not may(cluster, cluster.namespace, verb, group=group, resource=resource)
    ]
    if missing:
        msg = f"we may not {', '.join(missing)}"
        where = f"namespace {cluster.namespace!r}"
        remedy = "let an administrator apply infra/kubernetes/flows.yaml"
        raise LowtideError(msg, where=where, remedy=remedy)


def may(
    cluster: KubernetesCluster, namespace: str, verb: str, *, group: str, resource: str
) -> bool:
    """Say whether we may do something in a namespace.

    Args:
        cluster: The cluster.
        namespace: The namespace.
        verb: What is to be done.
        group: API group of the resource.
        resource: To what, as pods or pods/log.
    """
    name, _, subresource = resource.partition("/")
    attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": name}
    if subresource:
        attributes["subresource"] = subresource
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    return bool(part(cluster.api.create(path, review), "status").get("allowed"))
