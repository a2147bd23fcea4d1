"""MLflow: where a training program logs its epochs, and where lowtide reads them.

The REST API is spoken directly, for two measured reasons: `MlflowClient` takes over three seconds to
import, and it has no call for the metric history of many runs at once, which the server has. One
query then serves every run that a process watches.

Errors are made here and nowhere else: no answer is `UnavailableError`, and the caller goes on with
what it knew; anything that a retry cannot mend is a `LowtideError` that says what MLflow said.
"""

import math
import ssl
from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import httpx
from prefect.blocks.core import Block
from pydantic import Field, HttpUrl, PrivateAttr

from lowtide.errors import LowtideError, UnavailableError
from lowtide.progress import EpochPoint
from lowtide.recommend import TrackedRun

RUN_TAG = "lowtide.run"
RunStatus: TypeAlias = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

_API = "/api/2.0/mlflow"
_HISTORY_RUNS_MAX = 100  # MLflow refuses more run ids in one query
_HISTORY_POINTS_MAX = 25_000  # and cuts the answer here, without saying so
_PARAM_LENGTH_MAX = 6_000
_RUNNING_MAX = 1_000
_HTTP_ERROR_SERVER = 500
_HTTP_THROTTLED = 429
_HTTP_BAD_REQUEST = 400
_HTTP_NOT_FOUND = 404


class Tracking(Block):
    """An MLflow tracking server.

    Examples:
        Load a saved tracking server:
        ```python
        from blocks.tracking import Tracking

        tracking = Tracking.load("BLOCK_NAME")
        ```
    """

    _block_type_slug: ClassVar[str | None] = "lowtide-tracking"
    _block_type_name: ClassVar[str | None] = "Lowtide Tracking"
    _description: ClassVar[str | None] = "An MLflow tracking server that runs log their epochs to."
    _documentation_url: ClassVar[HttpUrl | None] = HttpUrl(
        "https://example.invalid/lowtide/blocks"
    )

    uri: str = Field(description="Address of the MLflow server, as in http://127.0.0.1:5000.")
    timeout_s: float = Field(
        default=5.0, gt=0, description="Longest wait for one answer, seconds."
    )

    _connected: httpx.Client | None = PrivateAttr(default=None)
    _experiments: dict[str, str] = PrivateAttr(default_factory=dict[str, str])

    @property
    def _client(self) -> httpx.Client:
        if self._connected is None:
            self._connected = httpx.Client(
                base_url=self.uri, timeout=self.timeout_s, verify=_certificates()
            )
        return self._connected

    def close(self) -> None:
        """Close the connections; the next question opens one again."""
        if self._connected is not None:
            self._connected.close()
            self._connected = None

    def open_run(
        self,
        run: str,
        *,
        experiment: str,
        params: Mapping[str, object],
        tags: Mapping[str, str],
        now: datetime,
        is_new: bool = False,
    ) -> str:
        """Return the MLflow run of a lowtide run, made if there is none.

        Two callers at once may make two; the ledger's compare-and-set picks one and the loser
        deletes its own (`delete_run`).

        Args:
            run: Id of the lowtide run; it becomes the tag `lowtide.run`.
            experiment: Name of the experiment; one is made if there is none.
            params: The job's parameters.
            tags: Further tags.
            now: Start time of the run.
            is_new: Whether nobody can have made it yet, so that none is looked for; to look takes
                MLflow as long as to make one.

        Returns:
            The MLflow run's id.
        """
        experiment_id = self._experiment(experiment)
        found = None if is_new else self.find_run(run, experiment_id=experiment_id)
        if found is not None:
            return found
        all_tags = {**tags, RUN_TAG: run, "mlflow.runName": run}
        asked = {
            "experiment_id": experiment_id,
            "start_time": _milliseconds(now),
            "tags": [{"key": key, "value": value} for key, value in all_tags.items()],
        }
        try:
            answer = self._post("runs/create", asked)
        except LowtideError:
            self._experiments.pop(experiment, None)  # it may have been deleted since
            raise
        mlflow_run: str = answer["run"]["info"]["run_id"]
        self._post(
            "runs/log-batch",
            {
                "run_id": mlflow_run,
                "params": [
                    {"key": key, "value": str(value)[:_PARAM_LENGTH_MAX]}
                    for key, value in params.items()
                ],
            },
        )
        return mlflow_run

    def find_run(self, run: str, *, experiment_id: str) -> str | None:
        """Return the oldest MLflow run with the tag of a lowtide run, if there is one."""
        answer = self._post(
            "runs/search",
            {
                "experiment_ids": [experiment_id],
                "filter": f"tags.`{RUN_TAG}` = '{run}'",
                "order_by": ["attributes.start_time ASC"],
                "max_results": 1,
            },
        )
        runs: list[dict[str, Any]] = answer.get("runs", [])
        return runs[0]["info"]["run_id"] if runs else None

    def running(self, experiment: str) -> tuple[str, ...]:
        """Return the ids of lowtide's MLflow runs that are `RUNNING` in an experiment.

        Args:
            experiment: Name of the experiment, which is the job's name.
        """
        experiment_id = self._experiment_named(experiment)
        if experiment_id is None:
            return ()
        answer = self._post(
            "runs/search",
            {
                "experiment_ids": [experiment_id],
                "filter": f"attributes.status = 'RUNNING' AND tags.`{RUN_TAG}` LIKE 'r-%'",
                "max_results": _RUNNING_MAX,
            },
        )
        runs: list[dict[str, Any]] = answer.get("runs", [])
        return tuple(run["info"]["run_id"] for run in runs)

    def delete_run(self, mlflow_run: str) -> None:
        """Delete a run that lost the race to be a lowtide run's own."""
        self._post("runs/delete", {"run_id": mlflow_run})

    def history(
        self, mlflow_runs: Sequence[str], *, metric: str
    ) -> dict[str, tuple[EpochPoint, ...]]:
        """Return one metric's logged points of many runs, in the order of their time.

        Args:
            mlflow_runs: MLflow run ids.
            metric: Name of the metric.

        Returns:
            Points by run id; a run that logged none has an empty tuple.

        Raises:
            UnavailableError: MLflow does not answer.
        """
        points: dict[str, list[EpochPoint]] = {run: [] for run in mlflow_runs}
        for first in range(0, len(mlflow_runs), _HISTORY_RUNS_MAX):
            some = mlflow_runs[first : first + _HISTORY_RUNS_MAX]
            found = self._bulk(some, metric)
            if len(found) >= _HISTORY_POINTS_MAX and len(some) > 1:
                # The answer may have been cut: ask run by run, where the limit is far away.
                found = [point for run in some for point in self._bulk([run], metric)]
            for row in found:
                points[row["run_id"]].append(_point(row))
        return {run: tuple(sorted(some, key=_by_time)) for run, some in points.items()}

    def set_tags(self, mlflow_run: str, tags: Mapping[str, str]) -> None:
        """Write tags, replacing those of the same name."""
        pairs = [{"key": key, "value": value} for key, value in tags.items()]
        self._post("runs/log-batch", {"run_id": mlflow_run, "tags": pairs})

    def end_run(self, mlflow_run: str, *, status: RunStatus, now: datetime) -> None:
        """Write the run's final status; repeating it changes nothing."""
        self._post(
            "runs/update",
            {"run_id": mlflow_run, "status": status, "end_time": _milliseconds(now)},
        )

    def log_artifact(self, mlflow_run: str, path: Path) -> None:
        """Upload one file as an artifact of the run."""
        info = self._get("runs/get", {"run_id": mlflow_run})["run"]["info"]
        root: str = info["artifact_uri"]
        if not root.startswith("mlflow-artifacts:"):
            # The server does not proxy its artifact store: only MLflow's own client knows how.
            mlflow: Any = import_module("mlflow")  # three seconds, rarely needed
            mlflow.MlflowClient(self.uri).log_artifact(mlflow_run, str(path))
            return
        folder = root.removeprefix("mlflow-artifacts:").strip("/")
        self._send(
            "PUT",
            f"/api/2.0/mlflow-artifacts/artifacts/{folder}/{path.name}",
            content=path.read_bytes(),
        )

    def tracked_run(self, mlflow_run: str) -> TrackedRun | None:
        """Return what MLflow knows of a run, whoever made it; None if it never heard of it."""
        answer = self._send(
            "GET",
            f"{_API}/runs/get",
            params={"run_id": mlflow_run},
            handled={_HTTP_NOT_FOUND, _HTTP_BAD_REQUEST},
        )
        if answer.is_error:
            return None
        run: dict[str, Any] = answer.json()["run"]
        info, data = run["info"], run["data"]
        experiment = self._get("experiments/get", {"experiment_id": info["experiment_id"]})
        ended_ms = info.get("end_time")
        return TrackedRun(
            mlflow_run=info["run_id"],
            experiment=experiment["experiment"]["name"],
            status=info["status"],
            deleted=info["lifecycle_stage"] != "active",
            started_at=_moment(info["start_time"]),
            ended_at=None if not ended_ms else _moment(ended_ms),
            params={pair["key"]: pair["value"] for pair in data.get("params", [])},
            tags={pair["key"]: pair["value"] for pair in data.get("tags", [])},
            metrics=tuple(metric["key"] for metric in data.get("metrics", [])),
        )

    def run_url(self, mlflow_run: str) -> str:
        """Return the address at which a person sees the run."""
        experiment = self._get("runs/get", {"run_id": mlflow_run})["run"]["info"]["experiment_id"]
        return f"{self.uri}/#/experiments/{experiment}/runs/{mlflow_run}"

    def answers(self) -> bool:
        """Say whether the server answers."""
        try:
            return self._client.get("/health").is_success
        except httpx.TransportError:
            return False

    def _experiment(self, name: str) -> str:
        """Return an experiment's id, made if there is none; asked for once, for it never changes.

        One that was deleted since is refused by MLflow itself, where a run is made in it.
        """
        found = self._experiments.get(name)
        if found is None:
            found = self._experiments[name] = self._made_experiment(name)
        return found

    def _made_experiment(self, name: str) -> str:
        found = self._experiment_named(name)
        if found is not None:
            return found
        # Another process may make it between our two questions: then it is refused, and there.
        self._send(
            "POST",
            f"{_API}/experiments/create",
            json={"name": name},
            handled={_HTTP_BAD_REQUEST},
        )
        made = self._experiment_named(name)
        if made is None:
            msg = f"experiment {name!r} can be neither made nor found; was it deleted?"
            raise LowtideError(msg, where=self.uri, remedy="restore it in MLflow's UI")
        return made

    def _experiment_named(self, name: str) -> str | None:
        answer = self._send(
            "GET",
            f"{_API}/experiments/get-by-name",
            params={"experiment_name": name},
            handled={_HTTP_NOT_FOUND},
        )
        if answer.status_code == _HTTP_NOT_FOUND:
            return None
        experiment: dict[str, Any] = answer.json()["experiment"]
        is_active = experiment["lifecycle_stage"] == "active"
        return experiment["experiment_id"] if is_active else None

    def _bulk(self, mlflow_runs: Sequence[str], metric: str) -> list[dict[str, Any]]:
        answer = self._send(
            "GET",
            "/ajax-api/2.0/mlflow/metrics/get-history-bulk",
            params={"run_id": list(mlflow_runs), "metric_key": metric},
        )
        rows: list[dict[str, Any]] = answer.json()["metrics"]
        return rows

    def _get(self, call: str, params: Mapping[str, str]) -> dict[str, Any]:
        document: dict[str, Any] = self._send("GET", f"{_API}/{call}", params=params).json()
        return document

    def _post(self, call: str, body: Mapping[str, object]) -> dict[str, Any]:
        document: dict[str, Any] = self._send("POST", f"{_API}/{call}", json=body).json()
        return document

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, object] | None = None,
        content: bytes | None = None,
        handled: Container[int] = (),
    ) -> httpx.Response:
        try:
            answer = self._client.request(method, path, params=params, json=json, content=content)
        except httpx.TransportError as error:
            msg = f"MLflow does not answer: {error or type(error).__name__}"
            raise UnavailableError(msg, where=self.uri, remedy="see `lowtide status`") from error
        if answer.status_code >= _HTTP_ERROR_SERVER or answer.status_code == _HTTP_THROTTLED:
            msg = f"MLflow answered {answer.status_code}"
            raise UnavailableError(msg, where=f"{self.uri}{path}", remedy="see its log")
        if answer.is_error and answer.status_code not in handled:
            msg = f"MLflow refused: {answer.text[:500]}"
            raise LowtideError(msg, where=f"{self.uri}{path}", got=f"HTTP {answer.status_code}")
        return answer


@cache
def _certificates() -> ssl.SSLContext:
    # To read them takes longer than most questions, and they are the same for every server.
    return httpx.create_ssl_context()


def _point(row: Mapping[str, Any]) -> EpochPoint:
    value = row["value"]
    return EpochPoint(
        epoch=int(row["step"]),
        value=math.nan if value is None else float(value),
        at=_moment(row["timestamp"]),
    )


def _by_time(point: EpochPoint) -> datetime:
    return point.at


def _moment(milliseconds: int | str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
