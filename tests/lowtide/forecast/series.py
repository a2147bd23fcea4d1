"""Generated epoch times with known properties: what a forecast has to cope with."""

from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Rng: TypeAlias = np.random.Generator


class Make(Protocol):
    """Makes the epochs of a run."""

    def __call__(self, rng: Rng, epochs: int = 100) -> NDArray[np.float64]: ...


def steady(rng: Rng, epochs: int = 100, *, noise: float = 0.03) -> NDArray[np.float64]:
    """Independent epochs of about a minute."""
    return 60 * np.exp(noise * rng.standard_normal(epochs))


def with_slow_start(rng: Rng, epochs: int = 100) -> NDArray[np.float64]:
    """A first epoch that compiles and fills caches."""
    epoch_s = steady(rng, epochs)
    epoch_s[0] *= rng.uniform(1.5, 4)
    return epoch_s


def with_spikes(rng: Rng, epochs: int = 100) -> NDArray[np.float64]:
    """One epoch in twenty stalls."""
    epoch_s = steady(rng, epochs)
    slow = rng.random(epochs) < 0.05
    epoch_s[slow] *= rng.uniform(2, 6, np.count_nonzero(slow))
    return epoch_s


def with_change(rng: Rng, epochs: int = 100, *, factor: float = 1.4) -> NDArray[np.float64]:
    """The level changes once, in the middle half."""
    epoch_s = steady(rng, epochs)
    epoch_s[rng.integers(epochs // 4, 3 * epochs // 4) :] *= factor
    return epoch_s
