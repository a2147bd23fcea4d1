"""The main job: it learns, it can be stopped anywhere, and it goes on as if it had not been."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import yaml

from blocks.local.cluster import LocalCluster
from examples.digits.contract import Ask, Checkpoints
from examples.digits.train import Training
from lowtide.job import parse_job
from lowtide.legs import LegEnd, LegStatus
from tests.blocks.local.rigs import leg_spec
from tests.examples.mlflow_server import MlflowServer
from tests.fakes.runner_contract import RUN

pytestmark = pytest.mark.slow  # real processes, one after the other

KEY = "val_accuracy"
JOB = Path(__file__).parents[2] / "examples" / "digits" / "job.yaml"


@pytest.fixture
def mlflow() -> Iterator[MlflowServer]:
    server = MlflowServer()
    yield server
    server.leave()


def ask(folder: Path, *, epochs: int = 3, mlflow: MlflowServer | None = None) -> Ask:
    return Ask(
        epochs=epochs,
        batch_size=64,
        checkpoint_dir=folder,
        checkpoint_every_s=None,
        mlflow_uri=mlflow.uri if mlflow else None,
        mlflow_run="m1" if mlflow else None,
        params={"copies": "1", "hidden": "32"},
    )


def never() -> bool:
    return False


def after_batches(count: int) -> Callable[[], bool]:
    """SIGTERM comes while that batch is trained."""
    asked = iter(range(count))
    return lambda: next(asked, None) is None


def test_a_training_without_any_variable_set_prints_its_epochs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    alone = replace(ask(tmp_path), checkpoint_dir=None)

    assert Training(alone, is_asked_to_end=never).run() == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]


@pytest.mark.parametrize("batches", [0, 1, 22, 23, 30, 46, 68])
def test_a_training_that_was_stopped_goes_on_bit_for_bit(
    tmp_path: Path, mlflow: MlflowServer, batches: int
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert Training(ask(whole), is_asked_to_end=never).run() == 0

    first = Training(ask(parts, mlflow=mlflow), is_asked_to_end=after_batches(batches))
    assert first.run() == 143
    assert Training(ask(parts, mlflow=mlflow), is_asked_to_end=never).run() == 0

    expected, got = Checkpoints(whole).newest(), Checkpoints(parts).newest()
    assert expected is not None
    assert got is not None
    for name in expected.keys() - {"progress", "unsent"}:
        np.testing.assert_array_equal(expected[name], got[name], err_msg=name)
    assert mlflow.steps(KEY) == mlflow.steps("loss") == [1, 2, 3]


def test_a_training_that_was_killed_logs_no_epoch_twice(
    tmp_path: Path, mlflow: MlflowServer
) -> None:
    rarely = replace(ask(tmp_path, mlflow=mlflow), checkpoint_every_s=3600.0)
    assert Training(replace(rarely, epochs=1), is_asked_to_end=never).run() == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert Training(rarely, is_asked_to_end=never).run() == 0
    for path in tmp_path.iterdir():  # as if no checkpoint had been written since
        path.unlink()
    for path, content in before.items():
        path.write_bytes(content)

    assert Training(rarely, is_asked_to_end=never).run() == 0

    assert mlflow.steps(KEY) == [1, 2, 3]


def test_a_training_that_is_done_trains_no_more_and_says_so_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Training(ask(tmp_path), is_asked_to_end=never).run()
    capsys.readouterr()

    assert Training(ask(tmp_path), is_asked_to_end=never).run() == 0

    assert capsys.readouterr().out == "resumed after epoch 3, batch 0\n"


def test_checkpoints_are_as_frequent_as_asked(tmp_path: Path) -> None:
    always = replace(ask(tmp_path, epochs=1), checkpoint_every_s=0.0)

    Training(always, is_asked_to_end=after_batches(10)).run()

    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "checkpoint-000000000009.npz",
        "checkpoint-000000000010.npz",
    ]


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    Training(ask(tmp_path), is_asked_to_end=never).run()

    with pytest.raises(ValueError, match="holds another training: 1 copies, 32 hidden"):
        Training(replace(ask(tmp_path), batch_size=32), is_asked_to_end=never)


def test_every_epoch_comes_with_what_makes_advice_better(
    tmp_path: Path, mlflow: MlflowServer
) -> None:
    Training(ask(tmp_path, mlflow=mlflow), is_asked_to_end=never).run()

    assert mlflow.steps("throughput") == [1, 2, 3]
    assert mlflow.steps("checkpoint_s") == [2, 3]
    assert all(rate > 0 for rate in mlflow.values("throughput"))


class TestAsAProgram:
    """`python -m examples.digits.train`, as a leg runs it."""

    @staticmethod
    def environment(folder: Path, mlflow: MlflowServer, **more: str) -> dict[str, str]:
        return {
            "MLFLOW_TRACKING_URI": mlflow.uri,
            "MLFLOW_RUN_ID": "m1",
            "LOWTIDE_CHECKPOINT_DIR": str(folder / "checkpoints"),
            "LOWTIDE_PARAM_COPIES": "1",
            **more,
        }

    def test_reaches_95_percent_within_its_epochs(
        self, tmp_path: Path, mlflow: MlflowServer
    ) -> None:
        job = parse_job(yaml.safe_load(JOB.read_text()), source=str(JOB))
        env = self.environment(tmp_path, mlflow, LOWTIDE_EPOCHS=str(job.epochs))

        subprocess.run((sys.executable, *job.command[1:]), env=env, check=True)

        assert mlflow.steps(job.metric.name) == list(range(1, 21))
        assert mlflow.values(job.metric.name)[-1] >= 0.95

    def test_ends_in_time_when_mlflow_hangs_and_the_next_leg_sends_its_epochs(
        self, tmp_path: Path, mlflow: MlflowServer
    ) -> None:
        env = self.environment(tmp_path, mlflow, LOWTIDE_EPOCHS="2")
        mlflow.mood = "hangs"
        begun_s = time.monotonic()
        alone = self.run(env)
        took_s = time.monotonic() - begun_s
        mlflow.leave()
        mlflow.mood = "answers"
        mlflow.come()

        after = self.run(env)

        assert "the next leg sends them" in alone
        assert took_s < 15
        assert after == "resumed after epoch 2, batch 0\n"
        assert mlflow.steps(KEY) == [1, 2]

    @pytest.mark.slow
    def test_stopped_in_the_middle_of_an_epoch_is_gone_on_with_by_the_next_leg(
        self, tmp_path: Path, mlflow: MlflowServer
    ) -> None:
        cluster = LocalCluster(home=tmp_path / "legs")
        env = self.environment(tmp_path, mlflow, LOWTIDE_EPOCHS="600")
        self.start(cluster, tmp_path, env, leg=1)
        wait_for(lambda: len(mlflow.steps(KEY)) >= 3)
        cluster.stop(RUN, 1)
        stopped = ended(cluster, leg=1)
        reached = len(mlflow.steps(KEY))
        self.start(cluster, tmp_path, {**env, "LOWTIDE_EPOCHS": str(reached + 2)}, leg=2)
        completed = ended(cluster, leg=2)

        assert (stopped.end, stopped.exit_code) == (LegEnd.STOPPED, 143)
        assert completed.end is LegEnd.COMPLETED
        assert cluster.logs(RUN, 2)[0].startswith(f"resumed after epoch {reached}, batch ")
        assert mlflow.steps(KEY) == list(range(1, reached + 3))

    @pytest.mark.slow
    def test_ends_at_its_limit_with_its_state_saved(
        self, tmp_path: Path, mlflow: MlflowServer
    ) -> None:
        cluster = LocalCluster(home=tmp_path / "legs")
        env = self.environment(tmp_path, mlflow, LOWTIDE_EPOCHS="10000")
        self.start(cluster, tmp_path, env, leg=1, limit_s=3.0)

        status = ended(cluster, leg=1)

        assert (status.end, status.exit_code) == (LegEnd.DEADLINE, 143)
        saved = Checkpoints(tmp_path / "checkpoints").newest()
        assert saved is not None
        assert f'"epochs": {len(mlflow.steps(KEY))}' in str(saved["progress"])

    @staticmethod
    def run(env: dict[str, str]) -> str:
        return subprocess.check_output(
            (sys.executable, "-m", "examples.digits.train"), env=env, text=True
        )

    @staticmethod
    def start(
        cluster: LocalCluster,
        folder: Path,
        env: dict[str, str],
        *,
        leg: int,
        limit_s: float = 60.0,
    ) -> None:
        command = ("python", "-m", "examples.digits.train")
        spec = leg_spec(*command, home=folder, leg=leg, now=datetime.now(UTC))
        spec = replace(spec, env=env, limit_s=limit_s, grace_s=10.0, workdir=str(JOB.parents[2]))
        cluster.start(spec, now=datetime.now(UTC))


def test_sigterm_before_the_first_batch_is_heeded_too(tmp_path: Path) -> None:
    env = {"LOWTIDE_CHECKPOINT_DIR": str(tmp_path), "LOWTIDE_PARAM_COPIES": "1"}
    wake = f"import os, signal; from examples.digits import train, contract\n{INTERRUPTED}"

    ended = subprocess.run((sys.executable, "-c", wake), env=env, check=False)

    assert ended.returncode == 143
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000000000000.npz"]


INTERRUPTED = """
load = train.load_digits
def load_and_be_told(**asked):
    os.kill(os.getpid(), signal.SIGTERM)
    return load(**asked)
train.load_digits = load_and_be_told
raise SystemExit(train.main())
"""


def ended(cluster: LocalCluster, *, leg: int) -> LegStatus:
    wait_for(lambda: cluster.status(RUN, leg, now=datetime.now(UTC)).phase == "ended")
    return cluster.status(RUN, leg, now=datetime.now(UTC))


def wait_for(holds: Callable[[], bool], *, within_s: float = 60.0) -> None:
    give_up_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up_s
        time.sleep(0.02)
