"""Public series that the benchmarks read, and the small generated set that stands in for them.

`LOWTIDE_DATA` names the folder; the default is `../shared/data` beside the project. Nothing of it
is copied into the project.

Sources: Alibaba's cluster-trace-gpu-v2020 (mini-batch times of two jobs), Pollux's artifact (OSDI
2021; step times, validation curves and gradient noise), Zeus' artifact (NSDI 2023).
"""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

BATCH_SIZES_FIRST = {"cifar10": 128, "imagenet": 200, "bert": 12}
"""The batch size from which each of Pollux's programs starts."""


def data_folder() -> Path | None:
    """Return the folder of the public data, or None where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LOWTIDE_DATA", beside))
    return folder if folder.is_dir() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One training with one batch size.

    Attributes:
        program: Name of the program.
        batch_size: Samples in one step.
        metric: Validation metric after each statistical epoch, more is better.
        steps: Steps done until then.
        noise_scale: Gradient noise scale after each, samples.
        step_s: Seconds of one step on one GPU.
    """

    program: str
    batch_size: int
    metric: Floats
    steps: Floats
    noise_scale: Floats
    step_s: float

    @property
    def epoch_s(self) -> Floats:
        """Seconds of each statistical epoch."""
        return np.diff(self.steps, prepend=0.0) * self.step_s


def batch_times(folder: Path) -> dict[str, list[Floats]]:
    """Return the recorded mini-batch times of each job: its workers', and those it waited for.

    The workers run in step, so the job itself takes as long as its slowest one.
    """
    jobs: dict[str, list[Floats]] = {}
    for job in (1, 2):
        workers: dict[int, list[tuple[int, float]]] = {}
        path = folder / "alibaba_gpu_v2020_minibatch" / f"job_{job}_norm.csv"
        for row in _rows(path):
            point = (int(row["time"]), float(row["batch_time_norm"]))
            workers.setdefault(int(row["worker"]), []).append(point)
        series = [np.array([value for _, value in sorted(w)]) for w in workers.values()]
        shortest = min(one.size for one in series)
        slowest = np.max([one[:shortest] for one in series], axis=0)
        jobs[f"PAI job {job}"] = [*series, slowest]
    return jobs


def curves(folder: Path, program: str) -> list[Curve]:
    """Return the trainings of one of Pollux's programs, smallest batch first."""
    place = folder / "pollux_throughput" / program
    first = BATCH_SIZES_FIRST[program]
    found: list[Curve] = []
    for path in place.glob("validation-*.csv"):
        batch_size = int(path.stem.split("-")[1])
        rows = list(_rows(path))
        noise = [float(row["grad_var"]) / float(row["grad_sqr"]) * first for row in rows]
        found.append(
            Curve(
                program=program,
                batch_size=batch_size,
                metric=np.array([float(row["metric"]) for row in rows]),
                steps=np.array([float(row["iteration"]) for row in rows]),
                noise_scale=np.array(noise),
                step_s=step_seconds(folder, program, batch_size),
            )
        )
    return sorted(found, key=lambda curve: curve.batch_size)


def step_seconds(folder: Path, program: str, batch_size: int) -> float:
    """Return the seconds of a step on one GPU; a batch that does not fit is accumulated."""
    rows = [
        (float(row["local_bsz"]), float(row["step_time"]))
        for row in _rows(folder / "pollux_throughput" / program / "placements.csv")
        if row["placement"] == "1"
    ]
    sizes, times_s = (np.array(column) for column in zip(*sorted(rows), strict=True))
    parts = int(np.ceil(batch_size / sizes.max()))
    return parts * float(np.interp(batch_size / parts, sizes, times_s))


def largest_batch(folder: Path, program: str) -> int:
    """Return the largest batch that was run on one GPU at once."""
    path = folder / "pollux_throughput" / program / "placements.csv"
    return max(int(row["local_bsz"]) for row in _rows(path) if row["placement"] == "1")


def cost_to_target(folder: Path) -> dict[str, dict[int, float]]:
    """Return the seconds to a common target by workload and batch size, on one V100.

    The median seed at full power; infinite where a seed never reaches the target.
    """
    place = folder / "zeus_nsdi23"
    power = list(_rows(place / "summary_power_v100.csv"))
    full = max(int(row["power_limit"]) for row in power)
    epoch_s: dict[tuple[str, int], list[float]] = {}
    for row in power:
        if int(row["power_limit"]) == full:
            where = (row["dataset"], int(row["batch_size"]))
            epoch_s.setdefault(where, []).append(float(row["time_per_epoch"]))
    epochs: dict[tuple[str, int], list[float]] = {}
    for row in _rows(place / "summary_train.csv"):
        if float(row["target_metric"]) == _TARGETS[row["dataset"]]:
            where = (row["dataset"], int(row["batch_size"]))
            epochs.setdefault(where, []).append(float(row["target_epoch"] or "nan"))
    costs: dict[str, dict[int, float]] = {}
    for (workload, size), needed in epochs.items():
        if (workload, size) in epoch_s:
            reached = np.nan_to_num(np.array(needed), nan=np.inf)
            cost_s = float(np.max(reached) if np.isinf(reached).any() else np.median(reached))
            cost_s *= float(np.mean(epoch_s[workload, size]))
            costs.setdefault(workload, {})[size] = cost_s
    return costs


_TARGETS = {"cifar100": 0.6, "imagenet": 0.5, "librispeech": 40.0}


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)
