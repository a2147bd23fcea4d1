"""One real cluster for the whole test run: our own, or the one that LOWTIDE_TEST_KUBECONFIG names."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from apps.books import prepare_ledger
from blocks.ledger import Books
from blocks.settings import Settings
from infra.testcluster import launcher
from infra.testcluster.build import CannotBuildError
from tests.cluster.host_python import host_python
from tests.cluster.sandbox import (
    WITHIN_S,
    Bed,
    Sandbox,
    kubectl_apply,
    missing_objects,
    open_bed,
    open_sandbox,
    with_queues,
)

FOREIGN = "LOWTIDE_TEST_KUBECONFIG"
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a test take longer than `wait_for` waits: then its failure shows what was seen last."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(2 * WITHIN_S))


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """A cluster and what it can do."""
    foreign = os.environ.get(FOREIGN)
    if foreign:
        bed = open_bed(Path(foreign), is_own=False)
        missing = missing_objects(bed)
        if missing:
            pytest.skip(f"{foreign} lacks {missing}; apply infra/kubernetes there first")
        yield bed
        return
    name = f"test-{os.getpid()}"
    try:
        with launcher.cluster(name) as cluster:
            bed = open_bed(cluster.kubeconfig, is_own=True, cannot=cluster.cannot)
            kubectl_apply(bed, "kubernetes/priority-classes.yaml")
            kubectl_apply(bed, "kubernetes/leg-starts-once.yaml")
            kubectl_apply(bed, "kubernetes/leg-starts-in-time.yaml")
            yield bed
    except CannotBuildError as error:
        pytest.skip(str(error))


@pytest.fixture
def sandbox(bed: Bed) -> Iterator[Sandbox]:
    """A namespace of this test's own, in which pods may do as they please."""
    with open_sandbox(bed) as sandbox:
        yield sandbox


@pytest.fixture
def pods(bed: Bed) -> None:
    """Skip where no pod can run."""
    if bed.why_no_pods:
        pytest.skip(bed.why_no_pods)


@pytest.fixture
def kueue(bed: Bed) -> None:
    """Skip where there is no Kueue."""
    if bed.why_no_kueue:
        pytest.skip(bed.why_no_kueue)


@pytest.fixture
def queued(
    sandbox: Sandbox, stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Sandbox:
    """A namespace with the shipped queues, which the settings of every process of ours name."""
    assert stack.home.exists()
    tmp_path.chmod(0o777)
    cluster = {
        "kubeconfig": str(sandbox.bed.kubeconfig),
        "checkpoint_folder": str(tmp_path),
        "pod_template": host_python(),
    }
    monkeypatch.setenv("LOWTIDE_NAMESPACE", sandbox.namespace)
    monkeypatch.setenv("LOWTIDE_CLUSTER", json.dumps(cluster))
    return replace(with_queues(sandbox), folder=tmp_path)


@pytest.fixture
def books(stack: Settings) -> Iterator[Books]:
    """The ledger of the test's stack."""
    opened = prepare_ledger(stack, say=print)
    yield opened
    opened.close()
