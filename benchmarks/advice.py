"""Advice tried on recorded trainings: batch size by its regret, early stopping by what it loses.

    python -m benchmarks.advice

Batch size: the cost of a training is its time on one GPU to a metric that all batch sizes reach;
regret is that cost over the best recorded batch's, beside keeping the batch and beside taking the
largest recorded one and the largest that fits at once. Throughput and noise scale are as recorded in
the run that is advised on. Early stopping: the rule learned on one curve is applied to itself and to
the other curves of its program, beside fixed patience. Needs the public data.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.public_series import (
    BATCH_SIZES_FIRST,
    Curve,
    Floats,
    cost_to_target,
    curves,
    data_folder,
    largest_batch,
    step_seconds,
)
from lowtide.early_stopping import stop_epoch
from lowtide.job import EarlyStopping
from lowtide.learning_curve import forecast_best
from lowtide.recommend.batch_size import Doubling, examples_ratio
from lowtide.recommend.early_stopping import rule_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The recorded trainings of one program, by batch size."""

    name: str
    cost_s: dict[int, float]
    epoch_ratio: dict[int, float]
    noise_scale: dict[int, float]
    fits: int

    @classmethod
    def read(cls, folder: Path, name: str) -> "Program":
        """Read one of Pollux's programs."""
        recorded = curves(folder, name)
        sizes = [curve.batch_size for curve in recorded]
        target = _CLOSE * min(float(curve.metric.max()) for curve in recorded)
        return cls(
            name=name,
            cost_s={one.batch_size: _cost_to(one, target) for one in recorded},
            epoch_ratio={
                size: step_seconds(folder, name, 2 * size) / (2 * step_seconds(folder, name, size))
                for size in sizes
            },
            noise_scale={one.batch_size: float(np.median(one.noise_scale)) for one in recorded},
            fits=max(size for size in sizes if size <= largest_batch(folder, name)),
        )

    def regret(self, batch_size: int) -> float:
        """Return the cost with this batch over that with the best."""
        return self.cost_s[batch_size] / min(self.cost_s.values())

    def advised(self, batch_size: int) -> int:
        """Return the batch after one piece of advice."""
        doubling = Doubling(
            epoch_ratio=self.epoch_ratio[batch_size],
            examples_ratio=examples_ratio(batch_size, noise_scale=self.noise_scale[batch_size]),
        )
        return 2 * batch_size if doubling.pays and 2 * batch_size in self.cost_s else batch_size

    def followed(self, batch_size: int) -> int:
        """Return the batch after following advice run after run, to its end."""
        for _ in self.cost_s:
            batch_size = self.advised(batch_size)
        return batch_size


_CLOSE = 0.995
"""All batch sizes come this near to the worst of their best metrics."""


def _cost_to(curve: Curve, target: float) -> float:
    """Return the seconds on one GPU until the metric reaches the target."""
    return float(curve.steps[int(np.argmax(curve.metric >= target))]) * curve.step_s


def show_batch_sizes(folder: Path) -> None:
    """Print the regret of each way to choose a batch, from the program's own and from every start."""
    print("batch size, cost over that of the best recorded batch (1 = best)")
    titles = ("advised", "followed", "largest that fits", "largest")
    print(f"{'program':<10}{'start':>7}{'keep':>7}" + "".join(f"{title:>18}" for title in titles))
    totals: list[list[float]] = []
    for name, first in BATCH_SIZES_FIRST.items():
        program = Program.read(folder, name)
        for start in program.cost_s:
            picks = (
                start,
                program.advised(start),
                program.followed(start),
                program.fits,
                max(program.cost_s),
            )
            regrets = [program.regret(pick) for pick in picks]
            totals.append(regrets)
            if start == first:
                shown = "".join(
                    f"{pick:>12}{regret:6.2f}"
                    for pick, regret in zip(picks[1:], regrets[1:], strict=True)
                )
                print(f"{name:<10}{start:>7}{regrets[0]:7.2f}{shown}")
    means = np.exp(np.log(np.array(totals)).mean(axis=0))
    print(
        f"from every recorded start ({len(totals)}), geometric mean: keep {means[0]:.3f}, "
        f"advised once {means[1]:.3f}, followed {means[2]:.3f}, largest that fits {means[3]:.3f}, "
        f"largest {means[4]:.3f}"
    )


def show_throughput_only(folder: Path) -> None:
    """Print what doubling by throughput alone costs where no noise scale was recorded."""
    print("\ndoubling by throughput alone, time to target over that before (Zeus, V100)")
    for workload, cost_s in cost_to_target(folder).items():
        pairs = [(size, 2 * size) for size in sorted(cost_s) if 2 * size in cost_s]
        changes = [cost_s[after] / cost_s[before] for before, after in pairs]
        finite = [change for change in changes if np.isfinite(change)]
        better = sum(change < 1 for change in changes)
        print(
            f"  {workload:<12}{better} of {len(changes)} doublings pay, "
            f"{len(changes) - len(finite)} never reach the target, "
            f"median change {np.median(finite):.2f}"
        )


def show_early_stopping(folder: Path) -> None:
    """Print time saved and metric lost by rules learned on one curve, and by fixed patience."""
    print("\nearly stopping: time saved, % / metric lost, % of what it moved (median, worst)")
    for name in ("cifar10", "imagenet"):
        recorded = curves(folder, name)
        ways: dict[str, list[tuple[float, float]]] = {}
        for learned in recorded:
            rule = rule_for(_values(learned.metric), goal="maximize")
            for tried in recorded:
                way = "rule, same curve" if tried is learned else "rule, other curves"
                ways.setdefault(way, []).append(_outcome(tried, rule))
        for patience in (3, 5, 10):
            rule = EarlyStopping(patience=patience)
            ways[f"patience {patience}"] = [_outcome(curve, rule) for curve in recorded]
        for way, outcomes in ways.items():
            saved, lost = np.array(outcomes).T
            print(
                f"  {name:<10}{way:<20}saved {np.median(saved):5.1f}   "
                f"lost {np.median(lost):5.2f}, {lost.max():5.2f}"
            )


def _outcome(curve: Curve, rule: EarlyStopping | None) -> tuple[float, float]:
    """Return the share of time saved and of the metric's movement lost, per cent."""
    stopped = stop_epoch(_values(curve.metric), goal="maximize", early_stopping=rule)
    if stopped is None:
        return 0.0, 0.0
    saved = 100 * float(curve.epoch_s[stopped:].sum() / curve.epoch_s.sum())
    lost = float(curve.metric.max() - curve.metric[:stopped].max()) / float(np.ptp(curve.metric))
    return saved, 100 * lost


def _values(metric: Floats) -> Sequence[float]:
    return [float(value) for value in metric]


def show_learning_curves(folder: Path) -> None:
    """Print the error of the forecast of the best metric, beside the best value so far."""
    print("\nbest metric at the end: error, % of what it moved (median), and how often in range")
    for name in ("cifar10", "imagenet"):
        recorded = curves(folder, name)
        for share in (0.1, 0.2, 0.4, 0.6, 0.8):
            ours: list[float] = []
            plain: list[float] = []
            inside = 0
            for curve in recorded:
                seen = _values(curve.metric)[: max(4, round(share * curve.metric.size))]
                found = forecast_best(seen, epochs=curve.metric.size, goal="maximize")
                best, span = float(curve.metric.max()), float(np.ptp(curve.metric))
                if found is None:
                    continue
                ours.append(100 * abs(found.p50 - best) / span)
                plain.append(100 * abs(max(seen) - best) / span)
                inside += found.p10 - 1e-9 <= best <= found.p90 + 1e-9
            print(
                f"  {name:<10}at {100 * share:.0f} %: {np.median(ours):5.1f}, best so far "
                f"{np.median(plain):5.1f}; in range {inside} of {len(ours)}"
            )


def main() -> int:
    """Print all figures."""
    folder = data_folder()
    if folder is None:
        print("the public data is absent: set LOWTIDE_DATA to its folder")
        return 0
    show_batch_sizes(folder)
    show_throughput_only(folder)
    show_early_stopping(folder)
    show_learning_curves(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
