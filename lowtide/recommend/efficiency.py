"""Training efficiency: time in which the run paid for a GPU and did not train on it.

Four findings, each from the run's own figures: a GPU that idled in every epoch, slow starts, epochs
that stall, and epochs that are long. Unknown is not idle: a run that did not log its utilisation is
not accused, and what a change would save is left open where nothing measured says it.
"""

from collections.abc import Iterator

import numpy as np

from lowtide.advice import AdviceKind
from lowtide.forecast.series import slow_epochs
from lowtide.recommend.case import Case, Confidence, Proposal, scaled, unchanged
from lowtide.words import show_duration

IDLE_BELOW = 0.30
TARGET = 0.70
LONG_EPOCH_S = 300.0
_WORTH_SHARE = 0.02
_SLOW_START_TIMES = 1.5
_CYCLE_MIN = 3


def propose(case: Case) -> Iterator[Proposal]:
    """Yield what kept the run from training."""
    busy = _idle(case)
    yield from busy
    yield from _slow_start(case)
    yield from _stalls(case)
    if not busy:
        yield from _long_epochs(case)


def _idle(case: Case) -> list[Proposal]:
    """Return a finding if the GPU was below the threshold in every single epoch."""
    busy = case.every_epoch_busy
    if busy is None or max(busy) >= IDLE_BELOW:
        return []
    mean = float(np.mean(busy))
    return [
        _proposal(
            case,
            finding="idle-gpu",
            description=(
                f"The GPU was {100 * mean:.0f} % busy, below {100 * IDLE_BELOW:.0f} % in all of "
                f"{len(busy)} epochs: load data in parallel and ahead, or ask for a smaller GPU."
            ),
            spared_share=1 - mean / TARGET,
            confidence="medium",
            confidence_reason=f"what a GPU {100 * TARGET:.0f} % busy would take; half of it is likely",
            evidence={"gpu_utilization_mean": mean, "gpu_utilization_max": max(busy)},
        )
    ]


def _slow_start(case: Case) -> Iterator[Proposal]:
    progress, typical_s = case.record.progress, case.typical_epoch_s
    if typical_s is None or len(case.epoch_s) <= len(progress.warm_ups):
        return
    starts_s = [case.epoch_s[n] for n in progress.warm_ups]
    extra_s = sum(max(0.0, start_s - typical_s) for start_s in starts_s)
    share = _share(case, extra_s)
    if not starts_s or max(starts_s) < _SLOW_START_TIMES * typical_s or share < _WORTH_SHARE:
        return
    yield _proposal(
        case,
        finding="slow-first-epoch",
        description=(
            f"Starting took {show_duration(extra_s)} beyond the epochs themselves: keep the "
            "compiled program and the prepared data between runs."
        ),
        spared_share=share,
        confidence="medium",
        confidence_reason="measured; how much of it a cache saves is not, half of it is likely",
        evidence={"start_epochs_s": starts_s, "typical_epoch_s": typical_s, "extra_s": extra_s},
    )


def _stalls(case: Case) -> Iterator[Proposal]:
    warm_ups = case.record.progress.warm_ups
    steady = [n for n in range(len(case.epoch_s)) if n not in warm_ups]
    epoch_s = np.array([case.epoch_s[n] for n in steady])
    if epoch_s.size == 0 or not (slow := slow_epochs(epoch_s)).any():
        return
    extra_s = float(np.sum(epoch_s[slow] - np.median(epoch_s[~slow])))
    share = _share(case, extra_s)
    if share < _WORTH_SHARE:
        return
    at = np.flatnonzero(slow)
    gaps = np.unique(np.diff(at))
    regular = at.size >= _CYCLE_MIN and gaps.size == 1
    cause, advice = (
        (f"every {gaps[0]} epochs one is slow", "evaluate or save less often")
        if regular
        else (f"{at.size} epochs stalled", "look at the data source and its neighbours then")
    )
    yield _proposal(
        case,
        finding="slow-cycle" if regular else "data-stalls",
        description=f"{cause[0].upper()}{cause[1:]}, {show_duration(extra_s)} in all: {advice}.",
        spared_share=share,
        confidence="medium" if regular else "low",
        confidence_reason="measured against the epochs between them; half of it is likely",
        evidence={
            "epochs": [steady[n] + 1 for n in at],
            "extra_s": extra_s,
            "typical_epoch_s": float(np.median(epoch_s[~slow])),
        },
    )


def _long_epochs(case: Case) -> Iterator[Proposal]:
    typical_s, busy = case.typical_epoch_s, case.every_epoch_busy
    if typical_s is None or typical_s <= LONG_EPOCH_S:
        return
    mean = None if busy is None else float(np.mean(busy))
    spared = 0.0 if mean is None else max(0.0, 1 - mean / TARGET)
    known = (
        "its GPU use was not logged" if mean is None else f"the GPU was {100 * mean:.0f} % busy"
    )
    yield _proposal(
        case,
        finding="long-epochs",
        description=(
            f"An epoch takes {show_duration(typical_s)}: try mixed precision, lighter "
            "augmentation, a simpler model."
            + (" What that saves is unknown." if spared == 0 else "")
        ),
        spared_share=spared,
        confidence="low",
        confidence_reason=f"{known}; a profile of one epoch would tell more",
        evidence={"typical_epoch_s": typical_s, "gpu_utilization_mean": mean},
    )


def _share(case: Case, seconds: float) -> float:
    duration_s = case.shape.duration_s
    return min(1.0, seconds / duration_s) if duration_s > 0 else 0.0


def _proposal(
    case: Case,
    *,
    finding: str,
    description: str,
    spared_share: float,
    confidence: Confidence,
    confidence_reason: str,
    evidence: dict[str, object],
) -> Proposal:
    """Return a finding: between nothing and all of what it found is spared, half is likely."""
    return Proposal(
        kind=AdviceKind.TRAINING_EFFICIENCY,
        description=description,
        likely=scaled(1 - spared_share / 2),
        cautious=unchanged,
        hopeful=scaled(1 - spared_share),
        confidence=confidence,
        confidence_reason=confidence_reason,
        evidence={"finding": finding, "share": spared_share, **evidence},
        risk="a change of the program; compare the metric of the first epochs before a whole run",
        action=f"change the program of job {case.record.job.name!r}, then {case.command()}",
        saves_unknown=spared_share == 0,
    )
