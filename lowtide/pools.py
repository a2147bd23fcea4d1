"""What ResourceQuotas, ClusterQueues and Workloads say, in the words of `lowtide.quota`."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from lowtide.objects import Document, condition, part, parts
from lowtide.quantities import quantity
from lowtide.quota import Amount, Pool
from lowtide.site import GPU

_GIB = Decimal(1024) ** 3
_ZERO = Decimal(0)


def resource_quota_pool(document: Document, *, priority: str, gpu: str = GPU) -> Pool | None:
    """Return a ResourceQuota's books; None where it does not count pods of this priority.

    Args:
        document: The ResourceQuota.
        priority: PriorityClass of the pods in question.
        gpu: Name of the GPU resource.

    Returns:
        The pool, of what it counts by request.
    """
    if not _applies(document, priority):
        return None
    used = _by_request(part(document, "status", "used"), gpu)
    return Pool(
        name=f"ResourceQuota {document['metadata']['name']}",
        amounts={
            name: Amount(capacity=capacity, used=used.get(name, _ZERO))
            for name, capacity in _by_request(part(document, "status", "hard"), gpu).items()
        },
    )


def _applies(document: Document, priority: str) -> bool:
    for term in parts(document, "spec", "scopeSelector", "matchExpressions"):
        if term.get("scopeName") != "PriorityClass":
            return False  # it counts pods by something that is not known here
        is_named = priority in term.get("values", ())
        if {"In": not is_named, "NotIn": is_named}.get(term.get("operator", ""), False):
            return False
    return not part(document, "spec").get("scopes")


def _by_request(amounts: Mapping[str, str], gpu: str) -> dict[str, Decimal]:
    return {
        name: value
        for resource, text in amounts.items()
        for name, value in _named(resource.removeprefix("requests."), text, gpu)
    }


def _named(resource: str, text: str, gpu: str) -> Iterable[tuple[str, Decimal]]:
    """Yield a resource's name here and its amount in our unit; nothing for one we do not count."""
    names = {gpu: "gpus", "cpu": "cpus", "memory": "memory_gib", "pods": "jobs"}
    name = names.get(resource)
    if name is not None:
        amount = quantity(text)
        yield name, amount / _GIB if name == "memory_gib" else amount


def cluster_queue_pool(
    document: Document, *, pending: Sequence[Document] = (), gpu: str = GPU
) -> Pool:
    """Return a ClusterQueue's books: what it owns and may borrow, what it uses, what waits for it.

    Args:
        document: The ClusterQueue.
        pending: Workloads that wait in it.
        gpu: Name of the GPU resource.

    Returns:
        The pool. Where borrowing has no limit of its own, only what it owns is counted on; what it
        owns nothing of and may borrow freely is left to the other pools.
    """
    capacity = _summed(
        (resource["name"], _nominal(resource), gpu)
        for group in parts(document, "spec", "resourceGroups")
        for flavor in group["flavors"]
        for resource in flavor["resources"]
        if not _is_borrowed_freely(resource)
    )
    used = _summed(
        (resource["name"], resource.get("total", "0"), gpu)
        for flavor in parts(document, "status", "flavorsReservation")
        for resource in flavor["resources"]
    )
    queued = _summed(
        (name, text, gpu)
        for workload in pending
        for pods in parts(workload, "spec", "podSets")
        for name, text in _requests(pods)
    )
    return Pool(
        name=f"ClusterQueue {document['metadata']['name']}",
        amounts={
            name: Amount(
                capacity=amount, used=used.get(name, _ZERO), queued=queued.get(name, _ZERO)
            )
            for name, amount in capacity.items()
        },
    )


def _is_borrowed_freely(resource: Document) -> bool:
    return quantity(resource["nominalQuota"]) == 0 and resource.get("borrowingLimit") is None


def _nominal(resource: Document) -> str:
    return str(quantity(resource["nominalQuota"]) + quantity(resource.get("borrowingLimit", "0")))


def _requests(pods: Document) -> Iterable[tuple[str, str]]:
    count = int(pods.get("count", 1))
    yield "pods", str(count)
    for container in parts(pods, "template", "spec", "containers"):
        for name, text in part(container, "resources", "requests").items():
            yield name, str(quantity(text) * count)


def _summed(amounts: Iterable[tuple[str, str, str]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for resource, text, gpu in amounts:
        for name, amount in _named(resource, text, gpu):
            sums[name] = sums.get(name, _ZERO) + amount
    return sums


def is_pending(workload: Document) -> bool:
    """Say whether a Workload waits for its turn."""
    return bool(
        part(workload, "spec").get("active", True)
        and not condition(workload, "QuotaReserved")
        and not condition(workload, "Finished")
    )


def queue_places(workloads: Sequence[Document]) -> dict[str, int]:
    """Return how many Workloads stand before each waiting one, by uid.

    Kueue's own order within a queue: the higher priority first, then the older.

    Args:
        workloads: All Workloads of a namespace.

    Returns:
        The number of those ahead of it in its own queue.
    """
    waiting = sorted((w for w in workloads if is_pending(w)), key=_order)
    ahead: dict[str, int] = {}
    places: dict[str, int] = {}
    for workload in waiting:
        queue = workload["spec"].get("queueName", "")
        places[workload["metadata"]["uid"]] = ahead.get(queue, 0)
        ahead[queue] = ahead.get(queue, 0) + 1
    return places


def _order(workload: Document) -> tuple[int, str, str]:
    metadata = workload["metadata"]
    return (
        -int(workload["spec"].get("priority", 0)),
        metadata["creationTimestamp"],
        metadata["uid"],
    )
