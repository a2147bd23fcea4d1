"""A spot node goes and comes back on the real cluster; the run lives on, on demand meanwhile.

The cluster has one node that runs pods. It plays both: it is a spot node or one on demand by its
label, cordoned while the one that it played is gone. What runs on it goes on when the label changes.
"""

import json
import secrets
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from apps.cli.main import run
from apps.output import EXIT_FAILED
from blocks.ledger import Books
from blocks.settings import Settings
from lowtide.events import EventKind
from lowtide.identity import run_id
from lowtide.legs import Capacity, LegEnd
from tasks.stop import ask_stop
from tests.cluster.host_python import host_python
from tests.cluster.sandbox import Sandbox, wait_for
from tests.cluster.test_legs import evict
from tests.cluster.trained import (
    DIGITS,
    assert_each_second_is_paid_once,
    epochs_of,
    job_file,
    until_epochs,
)

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.usefixtures("pods", "kueue"),
]

CAPACITY = "karpenter.sh/capacity-type"
# So many that the run is behind its line when it is evicted, and needs no waiting to catch up.
EPOCHS = 150


class Node:
    """The node, as the provider of the capacity has it."""

    def __init__(self, sandbox: Sandbox) -> None:
        [node] = sandbox.api.get("/api/v1/nodes")["items"]
        self._bed, self._name = sandbox.bed, node["metadata"]["name"]

    def comes(self, capacity: str) -> None:
        """Be there as a node of one kind."""
        self._do("label", "node", self._name, f"{CAPACITY}={capacity}", "--overwrite")
        self._do("uncordon", self._name)

    def goes(self) -> None:
        """Take no pods any more."""
        self._do("cordon", self._name)

    def restore(self) -> None:
        """Be as before."""
        self._do("label", "node", self._name, f"{CAPACITY}-")
        self._do("uncordon", self._name)

    def _do(self, *words: str) -> None:
        done = self._bed.kubectl(*words)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def node(queued: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """The one node, which starts as a spot node."""
    if not queued.bed.is_own:
        pytest.skip("it cordons and relabels a node, which other people's pods may need")
    cluster = {
        "kubeconfig": str(queued.bed.kubeconfig),
        "checkpoint_folder": str(queued.folder),
        "pod_template": host_python(),
        "spot_nodes": "karpenter",
    }
    monkeypatch.setenv("LOWTIDE_CLUSTER", json.dumps(cluster))
    node = Node(queued)
    node.comes("spot")
    yield node
    node.restore()


def provide(node: Node, sandbox: Sandbox, books: Books, run: str) -> None:
    """Take the spot node away, bring one on demand, bring spot back, and let the run end there."""
    until_epochs(books, run, 3)
    node.goes()
    evict(sandbox, run)
    wait_for(lambda: books.legs(run)[0].ended_at, lambda ended_at: ended_at is not None)
    node.comes("on-demand")
    until_epochs(books, run, 6)
    node.comes("spot")
    # However long it takes to see that spot is there again: epochs are short on a fast machine.
    wait_for(
        lambda: [leg for leg in books.legs(run)[1:] if leg.capacity is Capacity.SPOT],
        lambda back: any(leg.started_at is not None for leg in back),
    )
    until_epochs(books, run, len(books.events(run, kind=EventKind.EPOCH)) + 2)
    ask_stop(books, run, reason="the story is told", now=datetime.now(UTC))


@pytest.mark.timeout(600)
def test_a_run_moves_to_on_demand_when_its_spot_node_goes_and_back_when_one_comes(
    queued: Sandbox,
    node: Node,
    books: Books,
    stack: Settings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = f"spot-{secrets.token_hex(4)}"
    name = run_id(key)
    deadline = datetime.now(UTC) + timedelta(minutes=25)
    job: dict[str, Any] = {
        **DIGITS,
        "epochs": EPOCHS,
        "expected_epoch_s": 2,
        "policy": "uniform-progress",
        "deadline": deadline.isoformat(),
    }

    provider = threading.Thread(target=provide, args=(node, queued, books, name))
    provider.start()
    code = run(["train", job_file(tmp_path, job), "--wait", "--key", key, "--json"])
    provider.join()
    printed = capsys.readouterr()

    assert code == EXIT_FAILED, printed.err  # it was stopped
    # A try of spot that found none costs nothing, and there may have been one.
    legs = [leg for leg in books.legs(name) if leg.end is not LegEnd.WITHDRAWN]
    assert [(leg.capacity, leg.end) for leg in legs] == [
        (Capacity.SPOT, LegEnd.PREEMPTED),
        (Capacity.ON_DEMAND, LegEnd.STOPPED),
        (Capacity.SPOT, LegEnd.STOPPED),
    ]
    assert all(leg.charged_usd > 0 for leg in legs)
    assert_each_second_is_paid_once(books, name, job)
    seen = epochs_of(json.loads(printed.out)["mlflow_run_id"], stack)
    assert seen == list(range(1, len(seen) + 1))  # none was done twice
    reasons = [event.body["reason"] for event in books.events(name, kind=EventKind.DECISION)]
    assert len(reasons) >= len(legs)
    assert all(reasons)
