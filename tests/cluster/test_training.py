"""A real training in real pods: tracked in a real MLflow, evicted, and gone on with where it was."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from blocks.cluster.runner import KubernetesCluster
from blocks.settings import Settings
from blocks.tracking import Tracking
from infra.testcluster.node import IMAGE
from lowtide.contract import training_environment
from lowtide.job import TrainingJob
from lowtide.leg_state import State
from lowtide.legs import LegEnd, LegSpec
from lowtide.progress import EpochPoint
from lowtide.site import KubernetesSettings
from tests.cluster.host_python import host_python
from tests.cluster.sandbox import Sandbox, wait_for
from tests.cluster.test_legs import evict

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.usefixtures("pods"),
]

DIGITS = TrainingJob.model_validate(
    {
        "name": "digits",
        "command": ["python", "-m", "examples.digits.train"],
        "epochs": 8,
        "batch_size": 64,
        "where": "kubernetes",
        "image": IMAGE,
        "resources": {"gpus": 1, "cpus": 0.5, "memory_gib": 1},
        "params": {"copies": 20, "hidden": 256},
    }
)
WITHIN_S = 110.0


@pytest.fixture
def tracking(stack: Settings) -> Iterator[Tracking]:
    """The tracking server of the local stack."""
    assert stack.tracking_address is not None
    tracking = Tracking(uri=stack.tracking_address)
    yield tracking
    tracking.close()


@pytest.fixture
def runner(sandbox: Sandbox, tmp_path: Path) -> KubernetesCluster:
    """A runner whose pods run this machine's Python."""
    tmp_path.chmod(0o777)
    return sandbox.runner(checkpoint_folder=str(tmp_path), pod_template=host_python())


def leg_of(tracking: Tracking, run: str, mlflow_run: str) -> LegSpec:
    env = training_environment(
        DIGITS,
        run=run,
        leg=1,
        tracking_uri=tracking.uri,
        mlflow_run=mlflow_run,
        checkpoint_dir="/checkpoints",
        checkpoint_every_s=1,
    )
    return LegSpec(
        run=run,
        leg=1,
        command=DIGITS.command,
        env=env,
        checkpoint_dir="/checkpoints",
        limit_s=600,
        start_by=datetime.now(UTC) + timedelta(minutes=10),
        grace_s=10,
        settings=KubernetesSettings.of(DIGITS).document(),
    )


@pytest.mark.timeout(300)
def test_an_evicted_training_goes_on_in_its_next_leg_with_no_epoch_lost_or_twice(
    sandbox: Sandbox, tracking: Tracking, runner: KubernetesCluster
) -> None:
    run = f"r-{secrets.token_hex(6)}"
    mlflow_run = tracking.open_run(
        run, experiment="digits-in-pods", params={}, tags={}, now=datetime.now(UTC)
    )

    def epochs() -> tuple[EpochPoint, ...]:
        return tracking.history([mlflow_run], metric="val_accuracy")[mlflow_run]

    first = leg_of(tracking, run, mlflow_run)
    runner.start(first, now=datetime.now(UTC))
    wait_for(epochs, lambda points: len(points) >= 2, within_s=WITHIN_S)
    evict(sandbox, run)
    ended = sandbox.until(first)
    before = epochs()

    second = replace(first, leg=2, env={**first.env, "LOWTIDE_LEG": "2"})
    runner.start(second, now=datetime.now(UTC))
    done = sandbox.until(second, within_s=WITHIN_S)

    assert (ended.state, ended.end, ended.exit_code) == (State.EVICTED, LegEnd.PREEMPTED, 143)
    assert done.end is LegEnd.COMPLETED
    assert len(before) < DIGITS.epochs
    assert [point.epoch for point in epochs()] == list(range(1, DIGITS.epochs + 1))
    assert epochs()[: len(before)] == before
