"""Recommendations: what to change next time, with the evidence it rests on."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from lowtide.money import UsdRange


class AdviceKind(StrEnum):
    """What a recommendation is about. The values are a contract."""

    BATCH_SIZE = "batch-size"
    TRAINING_EFFICIENCY = "training-efficiency"
    OFF_PEAK = "off-peak"
    SPOT = "spot"
    EARLY_STOPPING = "early-stopping"
    CHECKPOINTING = "checkpointing"
    RIGHT_SIZING = "right-sizing"
    PRIORITY = "priority"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """One change for the next run.

    Attributes:
        kind: What it is about.
        description: One sentence for a person.
        saving_usd: What it would have saved on this run; an estimate.
        saving_pct: The same as a share of the run's cost, per cent.
        confidence: How far to trust it.
        confidence_reason: Why no more and no less.
        evidence: The figures that it rests on.
        risk: What may go wrong.
        action: An exact command or changed key of the job file.
    """

    kind: AdviceKind
    description: str
    saving_usd: UsdRange
    saving_pct: float
    confidence: Literal["high", "medium", "low"]
    confidence_reason: str
    evidence: Mapping[str, Any]
    risk: str
    action: str
