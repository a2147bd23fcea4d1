"""Forecast of the remaining time: its error beside four baselines, and what its ranges cover.

    python -m benchmarks.forecast [--runs 400] [--seed 20261123]

Runs are made from public series (mini-batch times of two jobs, cut into epochs at random; epochs of
two programs whose batch grows more efficient as they train) and from generated ones. The error of a
family is the median absolute percentage error of the remaining time at 5, 10, 25 and 50 % of the
epochs, the mean of the four. Ranges are calibrated on 50 random runs and tried on all others, 200
times. Without the public data the generated families stand in, and the output says so.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy.stats import theilslopes

from benchmarks.public_series import Floats, batch_times, curves, data_folder
from lowtide.forecast.calibration import PastErrors
from lowtide.forecast.pace import pace
from lowtide.forecast.remaining import UNCALIBRATED_SCALES

Families: TypeAlias = Mapping[str, list[Floats]]
Rng: TypeAlias = np.random.Generator

SEED = 20_261_123
SHARES = (0.05, 0.10, 0.25, 0.50)
CALIBRATION_SETS = 200
CALIBRATION_RUNS = 50
OURS = "lowtide"


def baselines() -> dict[str, Callable[[Floats, int], float]]:
    """Return the simple forecasts of the mean epoch to come, from the epochs so far."""
    return {
        "last": lambda seen_s, _: float(seen_s[-1]),
        "mean": lambda seen_s, _: float(seen_s.mean()),
        "median": lambda seen_s, _: float(np.median(seen_s)),
        "Theil-Sen": _theil_sen,
    }


def _ours(seen_s: Floats, epochs: int) -> float:
    return pace(seen_s, epochs_left=epochs - seen_s.size).epoch_s


def _theil_sen(seen_s: Floats, epochs: int) -> float:
    if seen_s.size < 2:
        return float(seen_s.mean())
    line = theilslopes(seen_s, np.arange(seen_s.size))
    ahead = np.arange(seen_s.size, epochs)
    return float(np.maximum(line.intercept + line.slope * ahead, 0).mean())


def public_families(folder: Path, rng: Rng, *, runs: int) -> dict[str, list[Floats]]:
    """Return runs made from the public series."""
    families = {
        job: [_cut_into_epochs(series[rng.integers(len(series))], rng) for _ in range(runs)]
        for job, series in batch_times(folder).items()
    }
    for program in ("cifar10", "imagenet"):
        recorded = [curve.epoch_s for curve in curves(folder, program)]
        families[f"Pollux {program}"] = [
            one[: rng.integers(one.size // 2, one.size + 1)]
            for one in (recorded[rng.integers(len(recorded))] for _ in range(runs))
        ]
    return families


def _cut_into_epochs(series: Floats, rng: Rng) -> Floats:
    """Return 40 to 100 epochs of 1 to 3 recorded mini-batches each, from a random place on."""
    each = int(rng.integers(1, 4))
    most = min(100, series.size // each)
    epochs = int(rng.integers(min(40, most), most + 1))
    start = int(rng.integers(0, series.size - each * epochs + 1))
    return series[start : start + each * epochs].reshape(epochs, each).sum(axis=1)


def generated_families(rng: Rng, *, runs: int) -> dict[str, list[Floats]]:
    """Return runs of 100 epochs of known kinds of noise."""
    kinds: dict[str, Callable[[Rng], Floats]] = {
        "independent": _independent,
        "slow first epoch": _slow_first,
        "spikes": _spikes,
        "drift": lambda rng: _independent(rng) * (1 + 0.3 * np.arange(100) / 99),
        "level shift": lambda rng: _shifted(_independent(rng), rng),
        "autoregressive": _autoregressive,
        "mix": lambda rng: _shifted(_spikes(rng) * (_slow_first(rng) / _independent(rng)), rng),
    }
    return {kind: [make(rng) for _ in range(runs)] for kind, make in kinds.items()}


def _independent(rng: Rng) -> Floats:
    return 60 * np.exp(0.03 * rng.standard_normal(100))


def _slow_first(rng: Rng) -> Floats:
    epoch_s = _independent(rng)
    epoch_s[0] *= rng.uniform(1.5, 4)
    return epoch_s


def _spikes(rng: Rng) -> Floats:
    epoch_s = _independent(rng)
    slow = rng.random(100) < 0.05
    epoch_s[slow] *= rng.uniform(2, 6, np.count_nonzero(slow))
    return epoch_s


def _shifted(epoch_s: Floats, rng: Rng) -> Floats:
    epoch_s[rng.integers(25, 75) :] *= rng.uniform(0.8, 1.5)
    return epoch_s


def _autoregressive(rng: Rng) -> Floats:
    noise = 0.06 * rng.standard_normal(100)
    noise[0] /= 0.6
    for epoch in range(1, 100):
        noise[epoch] += 0.8 * noise[epoch - 1]
    return 60 * np.exp(noise)


def _done(run: Floats, share: float) -> int:
    return max(1, round(share * run.size))


def _errors(runs: list[Floats], forecast: Callable[[Floats, int], float]) -> Floats:
    """Return absolute percentage errors, shape (runs, shares)."""
    return np.array(
        [
            [
                100 * abs(forecast(run[:done], run.size) / run[done:].mean() - 1)
                for done in (_done(run, share) for share in SHARES)
            ]
            for run in runs
        ]
    )


def show_errors(families: Families, *, asserted: bool) -> list[str]:
    """Print the errors by family and of the mixture; return the lines that are missed."""
    forecasts = {**baselines(), OURS: _ours}
    errors = {
        family: {name: _errors(runs, forecast) for name, forecast in forecasts.items()}
        for family, runs in families.items()
    }
    mixture = {name: np.concatenate([by[name] for by in errors.values()]) for name in forecasts}
    print(f"{'error, %':<20}" + "".join(f"{name:>11}" for name in forecasts) + "   of the best")
    missed: list[str] = []
    for family, by in [*errors.items(), ("mixture", mixture)]:
        figure = {name: float(np.median(found, axis=0).mean()) for name, found in by.items()}
        best = min(figure[name] for name in baselines())
        ratio, most = figure[OURS] / best, 1.0 if family == "mixture" else 1.05
        met = ratio < most if family == "mixture" else ratio <= most
        row = "".join(f"{figure[name]:11.3f}" for name in forecasts)
        print(f"{family:<20}{row}{ratio:11.3f}  {'' if met else 'missed'}")
        if asserted and not met:
            missed.append(f"error, {family}: {ratio:.3f} of the best baseline, line {most:.2f}")
    shares = ", ".join(f"{100 * share:.0f} %" for share in SHARES)
    for name, found in mixture.items():
        by_share = " ".join(f"{value:7.2f}" for value in np.median(found, axis=0))
        print(f"  mixture at {shares}: {name:<10}{by_share}")
    return missed


def show_coverage(families: Families, rng: Rng, *, asserted: bool) -> list[str]:
    """Print what calibrated ranges cover; return the lines that are missed."""
    names = [family for family, runs in families.items() for _ in runs]
    guesses = np.array([_guesses(run) for runs in families.values() for run in runs])
    came_s, level_s, scale_s = guesses[..., 0], guesses[..., 1], guesses[..., 2]
    scores = (came_s - level_s) / scale_s
    missed: list[str] = []
    for tail in (0.1, 0.05):
        inside, tried, width = (np.zeros(scores.shape) for _ in range(3))
        for _ in range(CALIBRATION_SETS):
            order = rng.permutation(len(names))
            past, rest = order[:CALIBRATION_RUNS], order[CALIBRATION_RUNS:]
            for at in range(len(SHARES)):
                errors = PastErrors(scores=scores[past, at], same_job=False)
                low, high = min(0.0, errors.at(tail)), max(0.0, errors.at(1 - tail))
                inside[rest, at] += (scores[rest, at] >= low) & (scores[rest, at] <= high)
                tried[rest, at] += 1
                width[rest, at] += (high - low) * scale_s[rest, at] / came_s[rest, at]
        covered = 100 * float(inside.sum() / tried.sum())
        width_pct = 100 * width / tried
        band = f"P{100 * tail:.0f} to P{100 - 100 * tail:.0f}"
        aim = 100 - 200 * tail
        print(
            f"{band}: {covered:.1f} % covered (line {aim - 2:.0f} to {aim + 2:.0f}), "
            f"median width {np.median(width_pct):.1f} % of the remaining time; {scores.size} pairs, "
            f"{CALIBRATION_SETS} sets of {CALIBRATION_RUNS} runs"
        )
        for family in families:
            of = np.array([name == family for name in names])
            share = 100 * float(inside[of].sum() / tried[of].sum())
            print(f"  {family:<20}{share:6.1f} %, width {np.median(width_pct[of]):6.1f} %")
        if asserted and not aim - 2 <= covered <= aim + 2:
            missed.append(f"coverage of {band}: {covered:.1f} %")
    stated = 100 * np.count_nonzero(np.abs(scores) <= UNCALIBRATED_SCALES) / scores.size
    print(f"uncalibrated, {UNCALIBRATED_SCALES:g} scales: {stated:.1f} % covered")
    return missed


def _guesses(run: Floats) -> list[tuple[float, float, float]]:
    """Return what came, what was forecast and its scale, at each share."""
    found: list[tuple[float, float, float]] = []
    for share in SHARES:
        done = _done(run, share)
        guess = pace(run[:done], epochs_left=run.size - done)
        found.append((float(run[done:].mean()), guess.epoch_s, guess.error_s))
    return found


def show_periodic(rng: Rng, *, runs: int) -> None:
    """Print the error where every fifth epoch is known to evaluate, and where it is found out."""
    made: list[Floats] = []
    for _ in range(runs):
        epoch_s = _independent(rng)
        epoch_s[4::5] *= 1.8
        made.append(epoch_s)
    print("\nevery fifth epoch slow, error at each share, %")
    for name, every in (("cycle known", 5), ("cycle found out", None)):

        def forecast(seen_s: Floats, epochs: int, every: int | None = every) -> float:
            return pace(seen_s, epochs_left=epochs - seen_s.size, slow_every=every).epoch_s

        errors = np.median(_errors(made, forecast), axis=0)
        print(f"  {name:<20}" + " ".join(f"{error:7.2f}" for error in errors))


def main() -> int:
    """Print all figures; return 1 if a line is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400, help="runs of each family")
    parser.add_argument("--seed", type=int, default=SEED, help="of all random choices")
    asked = parser.parse_args()
    runs: int = asked.runs
    rng = np.random.default_rng(asked.seed)
    folder = data_folder()
    generated = generated_families(rng, runs=runs)
    missed: list[str] = []
    if folder is None:
        print("the public data is absent: generated series stand in\n")
        missed += show_coverage(generated, rng, asserted=False)
        show_errors(generated, asserted=False)
    else:
        public = public_families(folder, rng, runs=runs)
        print("public series")
        missed += show_errors(public, asserted=True)
        print()
        missed += show_coverage(public, rng, asserted=True)
        print("\ngenerated series")
        show_errors(generated, asserted=False)
        print("\nboth together")
        missed += show_errors({**public, **generated}, asserted=False)
        show_coverage({**public, **generated}, rng, asserted=False)
    show_periodic(rng, runs=runs)
    for line in missed:
        print(f"missed: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
