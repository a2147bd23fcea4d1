"""The data and the network: scikit-learn's digits, and a few dense layers in NumPy.

The one hard idea: nothing depends on what happened before except the arrays of `Network.state`. The
order of the images in an epoch is a function of seed and epoch, so a training that was stopped
between any two batches goes on bit for bit as if it had not been.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]

SIDE = 8
PIXELS = SIDE * SIDE
CLASSES = 10
HIDDEN_LAYERS = 3
COPIES_MAX = 25

_VALIDATION_SHARE = 0.2
_SHIFT_MAX = 2
_BRIGHTEST = 16.0
_RATE = 5e-4
_RATE_KEPT = 0.9  # of the learning rate, from one epoch to the next
_MEAN_KEPT, _SQUARE_KEPT, _TINY = 0.9, 0.999, 1e-8  # Adam's usual constants


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """Images as rows of 64 brightnesses from 0 to 1, and the digits they show.

    Attributes:
        train_x: Training images with their shifted copies; shape (n, 64).
        train_y: Their digits; shape (n,).
        val_x: Validation images as they are, none of them a copy of a training image.
        val_y: Their digits.
    """

    train_x: Floats
    train_y: Labels
    val_x: Floats
    val_y: Labels


def load_digits(*, copies: int, seed: int) -> Digits:
    """Return the 1,797 images, split by the seed, the training part shifted into copies.

    The split comes first and the copies after it, so that no copy of a validation image is ever
    trained on. The file is read where scikit-learn ships it: importing the package takes three
    seconds, which every leg would pay for, and reading the file a hundredth of one.

    Args:
        copies: Copies of each training image, 1 to 25, the unshifted one included.
        seed: Seed of the split.

    Returns:
        The data.

    Raises:
        ValueError: `copies` is out of range.
        ModuleNotFoundError: scikit-learn is not installed.
    """
    if not 1 <= copies <= COPIES_MAX:
        msg = f"copies must be 1 to {COPIES_MAX}, got {copies}"
        raise ValueError(msg)
    table = np.loadtxt(_digits_file(), delimiter=",")
    images = table[:, :PIXELS].reshape(-1, SIDE, SIDE) / _BRIGHTEST
    digits = table[:, PIXELS].astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(images))
    val, train = np.split(order, [round(len(order) * _VALIDATION_SHARE)])
    reach = range(-_SHIFT_MAX, _SHIFT_MAX + 1)
    nearest = sorted(((dy, dx) for dy in reach for dx in reach), key=_distance)[:copies]
    return Digits(
        train_x=np.concatenate([_shifted(images[train], dy, dx) for dy, dx in nearest]),
        train_y=np.tile(digits[train], copies),
        val_x=images[val].reshape(-1, PIXELS),
        val_y=digits[val],
    )


class Network:
    """Dense layers with rectifiers, cross-entropy, and Adam with a decaying rate.

    Args:
        hidden: Width of each hidden layer.
        seed: Seed of the first weights.

    Attributes:
        steps: Steps taken so far.
    """

    def __init__(self, *, hidden: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        widths = [PIXELS, *[hidden] * HIDDEN_LAYERS, CLASSES]
        self._weights: list[Floats] = []
        for fan_in, fan_out in pairwise(widths):
            scale = np.sqrt(2 / fan_in)
            self._weights += [rng.standard_normal((fan_in, fan_out)) * scale, np.zeros(fan_out)]
        self._means = [np.zeros_like(weight) for weight in self._weights]
        self._squares = [np.zeros_like(weight) for weight in self._weights]
        self.steps = 0

    def learn(self, x: Floats, y: Labels, *, epoch: int) -> float:
        """Take one step down the gradient of a batch.

        Args:
            x: Images; shape (batch, 64).
            y: Their digits; shape (batch,).
            epoch: Epochs done before, for the learning rate.

        Returns:
            Sum of the batch's losses before the step, nats.
        """
        layers = self._forward(x)
        guess = _softmax(layers.pop())
        rows = np.arange(len(y))
        loss = -float(np.log(guess[rows, y] + _TINY).sum())
        guess[rows, y] -= 1
        self._adam(self._gradients(layers, guess / len(y)), rate=_RATE * _RATE_KEPT**epoch)
        return loss

    def accuracy(self, x: Floats, y: Labels) -> float:
        """Return the share of images that are read rightly, 0 to 1."""
        return float((self._forward(x)[-1].argmax(axis=1) == y).mean())

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that the network is, by name; `restore` takes it back."""
        parts = {"weight": self._weights, "mean": self._means, "square": self._squares}
        arrays = {
            f"{part}{i}": array for part, some in parts.items() for i, array in enumerate(some)
        }
        return {**arrays, "steps": np.array(self.steps)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` returned."""
        for name, array in self.state().items():
            if array.shape:
                array[...] = state[name]
        self.steps = int(state["steps"])

    def _forward(self, x: Floats) -> list[Floats]:
        layers = [x]
        for i in range(0, len(self._weights), 2):
            out = layers[-1] @ self._weights[i] + self._weights[i + 1]
            is_last = i + 2 == len(self._weights)
            layers.append(out if is_last else np.maximum(out, 0))
        return layers

    def _gradients(self, layers: list[Floats], slope: Floats) -> list[Floats]:
        gradients: list[Floats] = []
        for i, layer in reversed(list(enumerate(layers))):
            gradients += [slope.sum(axis=0), layer.T @ slope]
            slope = (slope @ self._weights[2 * i].T) * (layer > 0)
        return gradients[::-1]

    def _adam(self, gradients: list[Floats], *, rate: float) -> None:
        self.steps += 1
        unbiased = np.sqrt(1 - _SQUARE_KEPT**self.steps) / (1 - _MEAN_KEPT**self.steps)
        for i, gradient in enumerate(gradients):
            mean, square = self._means[i], self._squares[i]
            mean += (1 - _MEAN_KEPT) * (gradient - mean)
            square += (1 - _SQUARE_KEPT) * (gradient**2 - square)
            self._weights[i] -= rate * unbiased * mean / (np.sqrt(square) + _TINY)


def _digits_file() -> Path:
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        msg = "the digits ship with scikit-learn: pip install 'lowtide[examples]'"
        raise ModuleNotFoundError(msg, name="sklearn")
    return Path(found.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"


def _distance(shift: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    return abs(shift[0]) + abs(shift[1]), shift


def _shifted(images: Floats, dy: int, dx: int) -> Floats:
    """Move images by whole pixels; what comes in is dark, what goes out is lost."""
    edge = _SHIFT_MAX
    padded = np.pad(images, ((0, 0), (edge, edge), (edge, edge)))
    window = padded[:, edge - dy : edge - dy + SIDE, edge - dx : edge - dx + SIDE]
    return window.reshape(-1, PIXELS)


def _softmax(scores: Floats) -> Floats:
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)
