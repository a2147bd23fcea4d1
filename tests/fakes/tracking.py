"""An MLflow that is none: epochs come from a fake runner, their values from curves by run."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from pydantic import PrivateAttr
from typing_extensions import override

from blocks.tracking import RunStatus, Tracking
from lowtide.progress import EpochPoint
from tests.fakes.runner import FakeRunner

Curve = Callable[[str, int], float]


class FakeTracking(Tracking):
    """Logs, of every run of a fake runner, the epochs that have passed on its clock."""

    _block_type_slug: ClassVar[str | None] = "fake-tracking"

    _runner: FakeRunner | None = PrivateAttr(default=None)
    _curves: tuple[Curve, ...] = PrivateAttr(default=())
    _status: dict[str, RunStatus] = PrivateAttr(default_factory=dict[str, RunStatus])

    @classmethod
    def of(cls, runner: FakeRunner, *, curve: Curve) -> "FakeTracking":
        made = cls(uri="http://fake")
        made._runner, made._curves = runner, (curve,)
        return made

    @property
    def statuses(self) -> Mapping[str, RunStatus]:
        return self._status

    @override
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
        self._status.setdefault(run, "RUNNING")
        return run

    @override
    def history(
        self, mlflow_runs: Sequence[str], *, metric: str
    ) -> dict[str, tuple[EpochPoint, ...]]:
        assert self._runner is not None
        [curve] = self._curves
        return {
            run: tuple(
                EpochPoint(epoch=epoch, value=curve(run, epoch), at=at)
                for epoch, at in self._runner.epochs(run)
            )
            for run in mlflow_runs
        }

    @override
    def end_run(self, mlflow_run: str, *, status: RunStatus, now: datetime) -> None:
        self._status[mlflow_run] = status

    @override
    def set_tags(self, mlflow_run: str, tags: Mapping[str, str]) -> None:
        assert mlflow_run in self._status

    @override
    def running(self, experiment: str) -> tuple[str, ...]:
        return tuple(run for run, status in self._status.items() if status == "RUNNING")

    @override
    def log_artifact(self, mlflow_run: str, path: Path) -> None:
        assert path.exists()
