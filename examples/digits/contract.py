"""What a training program owes lowtide, with nothing but the standard library and NumPy.

    1. Log the metric of each epoch to MLflow, step = epoch, counted from 1.     `Tracker`
    2. On SIGTERM save the state and exit with 143; on start go on from it.      `Checkpoints`, `Sigterm`

It speaks to MLflow by its REST interface: two calls, no package that takes seconds to import in
every leg. The one hard idea: training never waits for tracking. A thread sends what `log` leaves
behind, in order, for as long as it takes; what was not sent when the program ends is part of the
checkpoint and is sent by the next leg. Before it sends anything the thread asks MLflow which epochs
it has, so an epoch that is trained again, or sent again, is there once.
"""

import http.client
import io
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

EXIT_STOPPED = 143

_KEPT = 2  # checkpoints: the newest may be torn, the one before it is whole
_SENT_AT_ONCE_MAX = 100
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What lowtide asks of the program, read from its environment.

    Attributes:
        epochs: Epochs to train in all, by all legs together.
        batch_size: Images in one step.
        checkpoint_dir: Folder that outlives the leg; None: nothing is saved.
        checkpoint_every_s: Seconds between checkpoints; None: one after each epoch.
        mlflow_uri: MLflow server; None: the epochs are only printed.
        mlflow_run: Id of the MLflow run.
        params: The job's own parameters, by lower-case name.
    """

    epochs: int
    batch_size: int
    checkpoint_dir: Path | None
    checkpoint_every_s: float | None
    mlflow_uri: str | None
    mlflow_run: str | None
    params: Mapping[str, str]

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the variables of the training contract, with defaults to run it by hand."""
        folder, every_s = env.get("LOWTIDE_CHECKPOINT_DIR"), env.get("LOWTIDE_CHECKPOINT_EVERY_S")
        prefix = "LOWTIDE_PARAM_"
        return cls(
            epochs=int(env.get("LOWTIDE_EPOCHS", "20")),
            batch_size=int(env.get("LOWTIDE_BATCH_SIZE", "64")),
            checkpoint_dir=Path(folder) if folder else None,
            checkpoint_every_s=float(every_s) if every_s else None,
            mlflow_uri=env.get("MLFLOW_TRACKING_URI"),
            mlflow_run=env.get("MLFLOW_RUN_ID"),
            params={
                name.removeprefix(prefix).lower(): value
                for name, value in env.items()
                if name.startswith(prefix)
            },
        )


class Sigterm:
    """Remembers that the program was asked to end."""

    def __init__(self) -> None:
        self.received = False
        signal.signal(signal.SIGTERM, self._receive)

    def _receive(self, _signal: int, _frame: object) -> None:
        self.received = True


class Checkpoints:
    """The newest states of a training, each whole or not there.

    Args:
        folder: Where they are kept; None: nowhere.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def save(self, state: Mapping[str, NDArray[Any]], *, progress: int) -> float | None:
        """Write a state, and let go of all but the newest two.

        Args:
            state: Arrays by name.
            progress: A number that grows from checkpoint to checkpoint.

        Returns:
            What it took, seconds; None when nothing is kept.
        """
        if self._folder is None:
            return None
        begun_s = time.monotonic()
        self._folder.mkdir(parents=True, exist_ok=True)
        aside = self._folder / ".checkpoint.partial"
        with aside.open("wb") as file:
            np.savez(file, allow_pickle=False, **state)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._folder / f"checkpoint-{progress:012d}.npz")
        for old in self._newest_first()[_KEPT:]:
            old.unlink()
        return time.monotonic() - begun_s

    def newest(self) -> dict[str, NDArray[Any]] | None:
        """Return the newest state that is whole; None when there is none."""
        for path in self._newest_first():
            try:
                with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                    return dict(arrays)
            except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
                print(f"{path.name} is torn ({error}); the one before it is tried", flush=True)
        return None

    def _newest_first(self) -> list[Path]:
        return sorted(self._folder.glob("checkpoint-*.npz"), reverse=True) if self._folder else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What is logged of an epoch.

    Attributes:
        step: Number of the epoch, from 1.
        at_ms: When it ended, Unix time in milliseconds, as MLflow wants it.
        metrics: Numbers by name.
    """

    step: int
    at_ms: int
    metrics: Mapping[str, float]


class Tracker:
    """Sends epochs to MLflow, in order, each once, whenever MLflow can be reached.

    Args:
        uri: MLflow server; None: nothing is sent.
        run: Id of the MLflow run.
        metric: The metric that every epoch has.
        unsent: What an earlier leg could not send, as `unsent` returned it.
        request_s_max: How long MLflow may be silent within one request, seconds.
        retry_s: Pause between two attempts, seconds.
    """

    def __init__(
        self,
        uri: str | None,
        *,
        run: str | None,
        metric: str,
        unsent: str = "[]",
        request_s_max: float = 5.0,
        retry_s: float = 1.0,
    ) -> None:
        self._uri = uri
        self._request_s_max = request_s_max
        self._retry_s = retry_s
        self._run = run
        self._metric = metric
        self._queue = [Epoch(**epoch) for epoch in json.loads(unsent)]
        self._changed = threading.Condition()
        if uri and run:
            # A daemon: a request that hangs must not keep the program from ending.
            threading.Thread(target=self._send_all, name="tracker", daemon=True).start()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Leave an epoch to be sent; never waits."""
        epoch = Epoch(step=step, at_ms=round(time.time() * 1000), metrics=metrics)
        with self._changed:
            self._queue.append(epoch)
            self._changed.notify_all()

    def unsent(self) -> str:
        """Return what was not sent yet, to be kept in the checkpoint."""
        with self._changed:
            return json.dumps([asdict(epoch) for epoch in self._queue])

    def flush(self, *, wait_s_max: float) -> bool:
        """Wait until all is sent, but no longer than that; return whether it is."""
        with self._changed:
            if not (self._uri and self._run):
                return True
            return self._changed.wait_for(lambda: not self._queue, timeout=wait_s_max)

    def _send_all(self) -> None:
        logged = self._insist(self._logged_steps) or set[int]()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue)
                batch = self._queue[:_SENT_AT_ONCE_MAX]
            fresh = [epoch for epoch in batch if epoch.step not in logged]
            if fresh:
                self._insist(lambda some=fresh: self._send(some))
            with self._changed:
                del self._queue[: len(batch)]
                self._changed.notify_all()

    def _insist(self, request: Callable[[], set[int]]) -> set[int] | None:
        """Repeat a request until MLflow answers; None when it answers that it never will."""
        is_first_failure = True
        while True:
            try:
                return request()
            except urllib.error.HTTPError as error:
                text = _text(error)
                if error.code < _SERVER_ERROR and error.code != _TOO_MANY_REQUESTS:
                    print(f"MLflow refuses: {error.code} {text}", flush=True)
                    return None
                reason: object = error
            except (OSError, ValueError, http.client.HTTPException) as error:
                reason = error
            if is_first_failure:
                print(f"MLflow does not answer ({reason}); training goes on", flush=True)
            is_first_failure = False
            time.sleep(self._retry_s)

    def _logged_steps(self) -> set[int]:
        query = urllib.parse.urlencode({"run_id": self._run, "metric_key": self._metric})
        answer = self._request(f"metrics/get-history?{query}", body=None)
        return {int(point.get("step", 0)) for point in answer.get("metrics", [])}

    def _send(self, epochs: list[Epoch]) -> set[int]:
        metrics = [
            {"key": key, "value": value, "timestamp": epoch.at_ms, "step": epoch.step}
            for epoch in epochs
            for key, value in epoch.metrics.items()
        ]
        self._request("runs/log-batch", body={"run_id": self._run, "metrics": metrics})
        return {epoch.step for epoch in epochs}

    def _request(self, path: str, *, body: Mapping[str, object] | None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the address is the job's own
            f"{(self._uri or '').rstrip('/')}/api/2.0/mlflow/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=self._request_s_max) as response:  # noqa: S310
            answer: dict[str, Any] = json.loads(response.read())
        return answer


def _text(error: urllib.error.HTTPError) -> str:
    with error, suppress(OSError, http.client.HTTPException):
        return error.read(500).decode(errors="replace")
    return ""
