"""The data is split without a leak, and the network really learns."""

import importlib

import numpy as np
import pytest

from examples.digits.network import Floats, Network, load_digits


def rows(images: Floats) -> set[bytes]:
    return {image.tobytes() for image in images}


@pytest.mark.slow
def test_the_images_are_those_that_scikit_learn_loads() -> None:
    reference = importlib.import_module("sklearn.datasets").load_digits()

    digits = load_digits(copies=1, seed=0)

    x = np.concatenate([digits.train_x, digits.val_x])
    y = np.concatenate([digits.train_y, digits.val_y])
    assert len(x) == 1797
    pairs = sorted(zip(x.tolist(), y.tolist(), strict=True))
    assert pairs == sorted(
        zip((reference.data / 16).tolist(), reference.target.tolist(), strict=True)
    )


def test_no_copy_of_a_validation_image_is_trained_on() -> None:
    plain, shifted = load_digits(copies=1, seed=20), load_digits(copies=25, seed=20)

    np.testing.assert_array_equal(plain.val_x, shifted.val_x)
    assert len(shifted.train_x) == 25 * len(plain.train_x) == 35_950
    np.testing.assert_array_equal(shifted.train_x[: len(plain.train_x)], plain.train_x)
    # Each copy is one of the training images, moved: undo the move and look whether it fits.
    images = plain.train_x.reshape(-1, 8, 8)
    last = shifted.train_x[-len(images) :].reshape(-1, 8, 8)
    np.testing.assert_array_equal(last[:, 2:, 2:], images[:, :-2, :-2])
    assert not last[:, :2].any()
    assert not last[:, :, :2].any()


def test_the_split_is_the_seeds() -> None:
    assert rows(load_digits(copies=1, seed=1).val_x) == rows(load_digits(copies=1, seed=1).val_x)
    assert rows(load_digits(copies=1, seed=1).val_x) != rows(load_digits(copies=1, seed=2).val_x)


@pytest.mark.parametrize("copies", [0, 26])
def test_copies_that_do_not_exist_are_refused(copies: int) -> None:
    with pytest.raises(ValueError, match="copies must be 1 to 25"):
        load_digits(copies=copies, seed=0)


def test_a_step_goes_down_the_true_gradient() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((8, 64)), rng.integers(0, 10, 8)
    network = Network(hidden=6, seed=0)
    before = {name: array.copy() for name, array in network.state().items()}

    loss = network.learn(x, y, epoch=0)

    # Adam's first step keeps a tenth of the gradient as its mean: compare that with differences.
    for name in ("weight0", "weight3", "weight6"):
        nudged = dict(before)
        nudged[name] = before[name].copy()
        nudged[name].flat[0] += 1e-6
        other = Network(hidden=6, seed=1)
        other.restore(nudged)
        slope = (other.learn(x, y, epoch=0) - loss) / 1e-6 / len(y)
        mean = network.state()[name.replace("weight", "mean")].flat[0]
        assert float(mean) * 10 == pytest.approx(slope, abs=1e-4)
