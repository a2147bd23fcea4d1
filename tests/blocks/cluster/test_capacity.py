"""Whether a cluster's spot nodes take pods: seen in the nodes, never guessed."""

from datetime import UTC, datetime
from typing import Any, ClassVar, cast

import pytest
from pydantic import PrivateAttr
from typing_extensions import override

from blocks.cluster.api import Api
from blocks.cluster.errors import ForbiddenError
from blocks.cluster.runner import KubernetesCluster
from lowtide.job import Where
from lowtide.objects import Document

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TAINT = {"key": "lowtide.dev/spot", "effect": "NoSchedule"}


class Nodes:
    """An API server that knows nodes, and who may list them."""

    def __init__(self, *nodes: Document, may_list: bool = True) -> None:
        self.nodes, self.may_list = nodes, may_list

    def get(self, path: str, **query: str | int) -> Document:
        assert (path, query["labelSelector"]) == ("/api/v1/nodes", "lowtide.dev/capacity=spot")
        if not self.may_list:
            msg = "nodes may not be listed"
            raise ForbiddenError(msg)
        return {"items": list(self.nodes)}


def node(*, ready: str = "True", cordoned: bool = False, taints: tuple[Any, ...] = ()) -> Document:
    return {
        "spec": {"unschedulable": cordoned, "taints": [TAINT, *taints]},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


class ClusterOfNodes(KubernetesCluster):
    """A cluster of which only the nodes are seen."""

    _block_type_slug: ClassVar[str | None] = "cluster-of-nodes"
    _nodes: Any = PrivateAttr(default=None)

    @property
    @override
    def api(self) -> Api:
        return cast("Api", self._nodes)


def has_spot(nodes: Nodes) -> bool | None:
    cluster = ClusterOfNodes(namespace="n")
    cluster._nodes = nodes
    return cluster.has_spot(Where.KUBERNETES, now=NOON)


GONE = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("nodes", "there"),
    [
        ([node()], True),
        ([node(cordoned=True), node()], True),
        ([node(cordoned=True)], None),
        ([node(ready="Unknown")], None),
        ([node(taints=(GONE,))], None),
        ([], None),
    ],
    ids=["ready", "one of two", "cordoned", "silent", "tainted", "none, but one may come"],
)
def test_spot_is_there_where_a_spot_node_takes_pods(
    nodes: list[Document],
    there: bool | None,
) -> None:
    assert has_spot(Nodes(*nodes)) is there


def test_where_nodes_may_not_be_listed_only_trying_tells() -> None:
    assert has_spot(Nodes(node(), may_list=False)) is None
