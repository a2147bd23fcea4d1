"""Train a network to read handwritten digits: `python -m examples.digits.train`.

A real program on real data, and the shortest one that honours the training contract (see
`examples.digits.contract`). Stopped by SIGTERM it saves between two batches, also in the middle of
an epoch, and exits with 143; started again it goes on from there, bit for bit.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from examples.digits.contract import EXIT_STOPPED, Ask, Checkpoints, Sigterm, Tracker
from examples.digits.network import Network, load_digits

SEED = 20
METRIC = "val_accuracy"

_FLUSH_S_MAX = 5.0  # within any sensible grace period; the state is saved before


@dataclass(slots=True, kw_only=True)
class Progress:
    """Where the training is.

    Attributes:
        epochs: Epochs done.
        batches: Batches done in the epoch at hand.
        loss: Sum of their losses, nats.
        spent_s: Time spent on them, in all legs.
    """

    epochs: int = 0
    batches: int = 0
    loss: float = 0.0
    spent_s: float = 0.0


class Training:
    """One training, from its newest checkpoint to its last epoch or to SIGTERM.

    Args:
        ask: What is asked of the program.
        is_asked_to_end: Tells whether SIGTERM came; asked before each batch.

    Raises:
        ValueError: the checkpoint is of another training, or a parameter is out of range.
    """

    def __init__(self, ask: Ask, *, is_asked_to_end: Callable[[], bool]) -> None:
        copies, hidden = int(ask.params.get("copies", "25")), int(ask.params.get("hidden", "256"))
        self._work = f"{copies} copies, {hidden} hidden, batches of {ask.batch_size}"
        self._ask = ask
        self._is_asked_to_end = is_asked_to_end
        self._digits = load_digits(copies=copies, seed=SEED)
        self._network = Network(hidden=hidden, seed=SEED)
        self._progress = Progress()
        self._checkpoints = Checkpoints(ask.checkpoint_dir)
        self._save_s: float | None = None
        self._saved_at_s = time.monotonic()
        unsent = self._resume()
        self._tracker = Tracker(ask.mlflow_uri, run=ask.mlflow_run, metric=METRIC, unsent=unsent)

    def run(self) -> int:
        """Train what is left, and return the exit code."""
        while self._progress.epochs < self._ask.epochs and self._train_epoch():
            self._finish_epoch()
        is_done = self._progress.epochs >= self._ask.epochs
        self._save()
        if not self._tracker.flush(wait_s_max=_FLUSH_S_MAX):
            print("MLflow lacks some epochs; the next leg sends them", flush=True)
        return 0 if is_done else EXIT_STOPPED

    def _train_epoch(self) -> bool:
        """Train the rest of the epoch at hand; False when SIGTERM came first."""
        at, size = self._progress, self._ask.batch_size
        x, y = self._digits.train_x, self._digits.train_y
        order = np.random.default_rng([SEED, at.epochs]).permutation(len(y))
        for first in range(at.batches * size, len(order), size):
            if self._is_asked_to_end():
                return False
            begun_s = time.perf_counter()
            rows = order[first : first + size]
            at.loss += self._network.learn(x[rows], y[rows], epoch=at.epochs)
            at.batches += 1
            at.spent_s += time.perf_counter() - begun_s
            self._save_if_due()
        return True

    def _finish_epoch(self) -> None:
        done, digits = self._progress, self._digits
        metrics = {
            METRIC: self._network.accuracy(digits.val_x, digits.val_y),
            "loss": done.loss / len(digits.train_y),
            "throughput": len(digits.train_y) / done.spent_s,
        }
        print(
            f"epoch {done.epochs + 1}/{self._ask.epochs}: {METRIC} {metrics[METRIC]:.4f}, "
            f"loss {metrics['loss']:.4f}, {metrics['throughput']:,.0f} images/s",
            flush=True,
        )
        if self._save_s is not None:
            metrics["checkpoint_s"] = self._save_s
        self._progress = Progress(epochs=done.epochs + 1)
        self._tracker.log(self._progress.epochs, metrics)
        if self._ask.checkpoint_every_s is None:
            self._save()

    def _save_if_due(self) -> None:
        every_s = self._ask.checkpoint_every_s
        if every_s is not None and time.monotonic() - self._saved_at_s >= every_s:
            self._save()

    def _save(self) -> None:
        state: dict[str, NDArray[Any]] = {
            **self._network.state(),
            "progress": np.array(json.dumps(asdict(self._progress))),
            "unsent": np.array(self._tracker.unsent()),
            "work": np.array(self._work),
        }
        self._save_s = self._checkpoints.save(state, progress=self._network.steps)
        self._saved_at_s = time.monotonic()

    def _resume(self) -> str:
        """Go back to the newest checkpoint; return the epochs that were not sent to MLflow."""
        saved = self._checkpoints.newest()
        if saved is None:
            return "[]"
        if str(saved["work"]) != self._work:
            msg = f"{self._ask.checkpoint_dir} holds another training: {saved['work']}"
            raise ValueError(msg)
        self._network.restore(saved)
        self._progress = Progress(**json.loads(str(saved["progress"])))
        at = self._progress
        print(f"resumed after epoch {at.epochs}, batch {at.batches}", flush=True)
        return str(saved["unsent"])


def main() -> int:
    """Train as the environment asks."""
    sigterm = Sigterm()
    ask = Ask.from_env(os.environ)
    with threadpool_limits(1):  # one core, and the same sums in the same order everywhere
        return Training(ask, is_asked_to_end=lambda: sigterm.received).run()


if __name__ == "__main__":
    sys.exit(main())
