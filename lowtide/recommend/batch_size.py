"""Batch size: as much goodput as one doubling can bring.

Goodput is throughput times statistical efficiency. A larger batch makes epochs shorter, because a
step has a fixed cost, and needs more of them, because the gradient's noise is averaged more than it
helps: examples needed grow as 1 + batch / noise scale. Without a noise scale the second half is
unknown, and the advice says so.

Source: McCandlish et al. (2018), "An Empirical Model of Large-Batch Training"; Qiao et al. (2021),
"Pollux: Co-adaptive Cluster Scheduling for Goodput-Optimized Deep Learning".
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lowtide.advice import AdviceKind
from lowtide.forecast import batch_model
from lowtide.recommend.case import Case, Proposal, scaled, unchanged

_RATIO_MAX = 0.98
_EPOCHS_RATIO_MIN = 1.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubling:
    """What doubling the batch does.

    Attributes:
        epoch_ratio: Length of an epoch, relative.
        examples_ratio: Examples needed for the same quality, relative; None: unknown.
    """

    epoch_ratio: float
    examples_ratio: float | None

    @property
    def time_ratio(self) -> float:
        """Time to the same quality, relative; by throughput alone where that is all we know."""
        return self.epoch_ratio * (self.examples_ratio or 1.0)

    @property
    def pays(self) -> bool:
        """Whether it is worth proposing."""
        return self.time_ratio < _RATIO_MAX


def examples_ratio(batch_size: float, *, noise_scale: float) -> float:
    """Return how many more examples the doubled batch needs for the same quality.

    Args:
        batch_size: Samples in one step now.
        noise_scale: Gradient noise scale, samples, > 0.

    Examples:
        >>> examples_ratio(100, noise_scale=100), round(examples_ratio(1, noise_scale=1e6), 6)
        (1.5, 1.000001)
    """
    return (1 + 2 * batch_size / noise_scale) / (1 + batch_size / noise_scale)


def busy_epoch_ratio(gpu_utilization: float) -> float:
    """Return the length of an epoch after doubling the batch, from how busy the GPU was.

    What the GPU did not do is taken as the fixed cost of a step; doubling halves it.

    Examples:
        >>> busy_epoch_ratio(0.7)
        0.85
    """
    return (1 + gpu_utilization) / 2


def propose(case: Case) -> Iterator[Proposal]:
    """Yield a doubled batch where it pays."""
    record = case.record
    found = None if "batch_size" in record.assumed else _epoch_ratio(case)
    if found is None:
        return
    epoch_ratio, basis = found
    batch_size = record.job.batch_size
    noise = [value for value in record.signals.noise_scale if value > 0]
    likely = Doubling(
        epoch_ratio=epoch_ratio,
        examples_ratio=(
            examples_ratio(batch_size, noise_scale=float(np.median(noise))) if noise else None
        ),
    )
    if likely.pays:
        yield _proposal(case, likely, noise=noise, basis=basis)


def _epoch_ratio(case: Case) -> tuple[float, str] | None:
    """Return the relative length of an epoch with the batch doubled, and how that is known."""
    batch_size = case.record.job.batch_size
    model = batch_model(case.history, batch_size=batch_size)
    if model is not None and model.measured:
        here, doubled = model.ratio(np.array([batch_size, 2.0 * batch_size]))
        return float(doubled / here), model.stated(2 * batch_size) or "measured on past runs"
    busy = case.record.signals.gpu_utilization
    if not busy:
        return None
    ratio = busy_epoch_ratio(min(1.0, float(np.mean(busy))))
    return ratio, f"taken from a GPU that was {100 * float(np.mean(busy)):.0f} % busy"


def _proposal(case: Case, likely: Doubling, *, noise: list[float], basis: str) -> Proposal:
    size = 2 * case.record.job.batch_size
    epochs = case.record.job.epochs
    faster = f"epochs take {100 * (1 - likely.epoch_ratio):.0f} % less, {basis}"
    if likely.examples_ratio is None:
        effect = "throughput only: what it does to convergence is unknown"
        cautious, hopeful = unchanged, scaled(likely.time_ratio)
    else:
        needed = epochs * likely.examples_ratio
        effect = f"by the noise scale it takes {needed:.1f} epochs to where {epochs} came"
        low, high = (
            likely.epoch_ratio * examples_ratio(size / 2, noise_scale=float(value))
            for value in np.quantile(noise, (0.1, 0.9))
        )
        cautious, hopeful = scaled(min(1.0, max(low, high))), scaled(min(low, high))
    return Proposal(
        kind=AdviceKind.BATCH_SIZE,
        description=f"Double the batch to {size}: {faster}; {effect}.",
        likely=scaled(likely.time_ratio),
        cautious=cautious,
        hopeful=hopeful,
        confidence="low" if likely.examples_ratio is None else "medium",
        confidence_reason=(
            "no gradient noise scale was logged, so a slower convergence could eat it all"
            if likely.examples_ratio is None
            else f"the noise scale was logged in {len(noise)} epochs; it changes as training goes"
        ),
        evidence={
            "batch_size": size // 2,
            "proposed_batch_size": size,
            "epoch_ratio": likely.epoch_ratio,
            "epoch_ratio_basis": basis,
            "noise_scale": float(np.median(noise)) if noise else None,
            "examples_ratio": likely.examples_ratio,
        },
        risk=(
            "another learning rate may be needed (times 2 for SGD, times 1.4 for Adam), and the "
            "doubled batch needs more GPU memory"
        ),
        action=case.command(batch_size=size),
    )
