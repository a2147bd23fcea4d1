"""What a cluster has to offer: whether its spot nodes take pods, and how many GPUs its quota has."""

from abc import ABC, abstractmethod
from datetime import datetime
from typing import TYPE_CHECKING, cast

from typing_extensions import override

from blocks.cluster.api import Api
from blocks.cluster.errors import ForbiddenError
from blocks.runner import Runner
from lowtide.job import Priority, Where
from lowtide.legs import Capacity
from lowtide.objects import Document, part, parts
from lowtide.quota import tightest
from lowtide.site import Site

if TYPE_CHECKING:
    from blocks.cluster.runner import KubernetesCluster

_NODES_MAX = 500


class CapacityOfCluster(Runner, ABC):
    """The part of a cluster's runner that looks at nodes and quotas."""

    @property
    @abstractmethod
    def api(self) -> Api:
        """This process' client of the cluster."""

    @property
    @abstractmethod
    def site(self) -> Site:
        """How the cluster is, for all legs alike."""

    @override
    def has_spot(self, where: Where, *, now: datetime) -> bool | None:
        """Say that spot is there where a spot node takes pods; else only trying tells.

        Where no such node is, an autoscaler may still bring one, and where nodes may not be listed
        nobody knows.
        """
        labels, tolerations = self.site.nodes_of(Capacity.SPOT)
        tolerated = {toleration["key"] for toleration in tolerations}
        wanted = ",".join(f"{key}={value}" for key, value in labels.items())
        try:
            listed = self.api.get("/api/v1/nodes", labelSelector=wanted, limit=_NODES_MAX)
        except ForbiddenError:
            return None
        is_there = any(_takes_pods(node, tolerated) for node in parts(listed, "items"))
        return True if is_there else None

    @override
    def on_demand_gpus(self, where: Where) -> int | None:
        from blocks.cluster.quota import read_pools  # noqa: PLC0415 - reads through this class

        pools = read_pools(cast("KubernetesCluster", self), Priority.NORMAL)
        rows = {row.name: row.amount for row in tightest(pools)}
        return int(rows["gpus"].capacity) if "gpus" in rows else None


def _takes_pods(node: Document, tolerated: set[str]) -> bool:
    spec = part(node, "spec")
    if spec.get("unschedulable"):
        return False
    keeps_off = ("NoSchedule", "NoExecute")
    taints = (taint for taint in parts(node, "spec", "taints") if taint["effect"] in keeps_off)
    if any(taint["key"] not in tolerated for taint in taints):
        return False
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in parts(node, "status", "conditions")
    )
