"""A checkpoint is whole or not there, and a torn one costs one interval, not the training."""

from pathlib import Path

import numpy as np
import pytest

from examples.digits.contract import Ask, Checkpoints


def saved(folder: Path, *, progress: int) -> Path:
    Checkpoints(folder).save({"x": np.full(1000, progress)}, progress=progress)
    return folder / f"checkpoint-{progress:012d}.npz"


def test_the_newest_checkpoint_comes_back_and_only_two_are_kept(tmp_path: Path) -> None:
    for progress in (9, 10, 11):
        saved(tmp_path, progress=progress)

    newest = Checkpoints(tmp_path).newest()

    assert newest is not None
    assert newest["x"].tolist() == [11] * 1000
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_torn_checkpoint_falls_back_to_the_one_before_it(tmp_path: Path, share: float) -> None:
    saved(tmp_path, progress=1)
    torn = saved(tmp_path, progress=2)
    torn.write_bytes(torn.read_bytes()[: int(torn.stat().st_size * share)])

    newest = Checkpoints(tmp_path).newest()

    assert newest is not None
    assert newest["x"].tolist() == [1] * 1000


def test_a_checkpoint_with_a_flipped_bit_falls_back_too(tmp_path: Path) -> None:
    saved(tmp_path, progress=1)
    damaged = saved(tmp_path, progress=2)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)

    newest = Checkpoints(tmp_path).newest()

    assert newest is not None
    assert newest["x"].tolist() == [1] * 1000


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none").newest() is None
    (tmp_path / "checkpoint-000000000001.npz").touch()
    assert Checkpoints(tmp_path).newest() is None


def test_without_a_folder_nothing_is_kept() -> None:
    nowhere = Checkpoints(None)

    assert nowhere.save({"x": np.zeros(1)}, progress=1) is None
    assert nowhere.newest() is None


def test_the_environment_says_what_is_asked() -> None:
    ask = Ask.from_env(
        {
            "LOWTIDE_EPOCHS": "3",
            "LOWTIDE_BATCH_SIZE": "32",
            "LOWTIDE_CHECKPOINT_DIR": "/c",
            "LOWTIDE_CHECKPOINT_EVERY_S": "1.5",
            "LOWTIDE_PARAM_COPIES": "2",
            "MLFLOW_TRACKING_URI": "http://m",
            "MLFLOW_RUN_ID": "m1",
        }
    )

    assert ask == Ask(
        epochs=3,
        batch_size=32,
        checkpoint_dir=Path("/c"),
        checkpoint_every_s=1.5,
        mlflow_uri="http://m",
        mlflow_run="m1",
        params={"copies": "2"},
    )
