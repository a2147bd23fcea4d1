"""How much of the cluster is free: ResourceQuotas and ClusterQueues, as far as we may look.

What may not be seen is left out: fewer books are an answer, and the ones that were read are named.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal

from blocks.cluster.doctor import may
from blocks.cluster.errors import ForbiddenError, MissingError
from blocks.cluster.runner import KubernetesCluster
from blocks.cluster.view import workloads_path
from lowtide.job import Priority
from lowtide.objects import Document, part, parts
from lowtide.pools import cluster_queue_pool, is_pending, resource_quota_pool
from lowtide.quota import Namespace, Pool, tightest

_KUEUE = "/apis/kueue.x-k8s.io/v1beta1"
_NAMESPACES_MAX = 100
_WORKLOADS_MAX = 1_000


def read_pools(cluster: KubernetesCluster, priority: Priority) -> tuple[Pool, ...]:
    """Return the books that a leg of a priority must fit into.

    Args:
        cluster: The cluster.
        priority: Priority of the leg.

    Returns:
        One pool for each ResourceQuota that counts such legs, and one for their ClusterQueue.

    Raises:
        UnavailableError: no answer.
    """
    return (
        *_resource_quotas(cluster, cluster.namespace, priority),
        *_cluster_queue(cluster, priority),
    )


def read_elsewhere(
    cluster: KubernetesCluster, priority: Priority, demand: Mapping[str, Decimal]
) -> tuple[Namespace, ...]:
    """Return the other namespaces in which we may make Jobs and whose quota has room.

    Args:
        cluster: The cluster.
        priority: Priority of the jobs.
        demand: What one job takes, by resource.

    Returns:
        Those with room for one at least, the roomiest first; empty where we may not look.
    """
    try:
        listed = cluster.api.get("/api/v1/namespaces", limit=_NAMESPACES_MAX)["items"]
    except ForbiddenError:
        return ()
    names = [document["metadata"]["name"] for document in listed]
    places = [
        Namespace(name=name, fits=_fits(_resource_quotas(cluster, name, priority), demand))
        for name in names
        if name != cluster.namespace
        and may(cluster, name, "create", group="batch", resource="jobs")
    ]
    return tuple(sorted((p for p in places if p.fits), key=lambda p: (-p.fits, p.name)))


def _resource_quotas(
    cluster: KubernetesCluster, namespace: str, priority: Priority
) -> tuple[Pool, ...]:
    try:
        listed = cluster.api.get(f"/api/v1/namespaces/{namespace}/resourcequotas")["items"]
    except ForbiddenError:
        return ()
    pools = (
        resource_quota_pool(document, priority=priority.value, gpu=cluster.gpu_resource)
        for document in listed
    )
    return tuple(pool for pool in pools if pool is not None)


def _cluster_queue(cluster: KubernetesCluster, priority: Priority) -> tuple[Pool, ...]:
    queue = cluster.site.queue_of(priority)
    if queue is None:
        return ()
    with suppress(MissingError, ForbiddenError):
        local = cluster.api.get(f"{_KUEUE}/namespaces/{cluster.namespace}/localqueues/{queue}")
        name = part(local, "spec")["clusterQueue"]
        document = cluster.api.get(f"{_KUEUE}/clusterqueues/{name}")
        pending = _pending(cluster, queue)
        return (cluster_queue_pool(document, pending=pending, gpu=cluster.gpu_resource),)
    return ()


def _pending(cluster: KubernetesCluster, queue: str) -> Sequence[Document]:
    listed = cluster.api.get(workloads_path(cluster.namespace), limit=_WORKLOADS_MAX)
    return [
        workload
        for workload in parts(listed, "items")
        if part(workload, "spec").get("queueName") == queue and is_pending(workload)
    ]


def _fits(pools: Sequence[Pool], demand: Mapping[str, Decimal]) -> int:
    """Return how many jobs fit; none where no quota counts what they need: nobody promises room."""
    rows = [row for row in tightest(pools) if demand.get(row.name)]
    return min((int(row.amount.free // demand[row.name]) for row in rows), default=0)
