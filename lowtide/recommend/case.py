"""A run under advice: the facts that several kinds of advice share, and what a proposal is."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np

from lowtide.advice import AdviceKind
from lowtide.early_stopping import UNTRUSTED
from lowtide.forecast import PastRun
from lowtide.identity import RUN_ID_PATTERN
from lowtide.prices import PriceBook
from lowtide.progress import Fault
from lowtide.recommend.record import RunRecord
from lowtide.recommend.shape import Shape

Change: TypeAlias = Callable[[Shape], Shape]
Confidence: TypeAlias = Literal["high", "medium", "low"]

LEAST_SHARE = 0.01
"""Advice that is likely to save less than this share of the run's cost is not worth reading."""

_UNTIMED = frozenset({Fault.OUT_OF_ORDER, Fault.OUT_OF_RANGE})
_NO_CURVE = UNTRUSTED | {Fault.NOT_A_NUMBER}


def unchanged(shape: Shape) -> Shape:
    """Return the run as it was: the change that saves nothing."""
    return shape


def scaled(factor: float) -> Change:
    """Return the change that makes a run so many times as long."""

    def change(shape: Shape) -> Shape:
        return shape.scaled(factor)

    return change


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A change for the next run, not priced yet.

    Attributes:
        kind: What it is about.
        description: One sentence for a person.
        likely: What it probably would have made of the run.
        cautious: What it would have made of it in the worse case of ten.
        hopeful: What it would have made of it in the better case of ten.
        confidence: How far to trust it.
        confidence_reason: Why no more and no less.
        evidence: The figures that it rests on.
        risk: What may go wrong.
        action: An exact command or changed key of the job file.
        saves_unknown: Whether it is worth telling although nobody knows what it saves.
    """

    kind: AdviceKind
    description: str
    likely: Change
    cautious: Change
    hopeful: Change
    confidence: Confidence
    confidence_reason: str
    evidence: Mapping[str, Any]
    risk: str
    action: str
    saves_unknown: bool = False


@dataclass(frozen=True, kw_only=True)
class Case:
    """A run and what its advice is priced with.

    Attributes:
        record: The run.
        book: The prices.
        history: Past runs, newest first.
    """

    record: RunRecord
    book: PriceBook
    history: tuple[PastRun, ...] = ()

    @cached_property
    def shape(self) -> Shape:
        """The run as it was."""
        return Shape.of(self.record)

    @cached_property
    def cost_usd(self) -> Fraction:
        """What the run cost by the book, US dollars, exact."""
        return self.shape.cost_usd(self.book)

    @property
    def epoch_s(self) -> tuple[float, ...]:
        """Seconds of the epochs; empty where the series cannot be trusted to tell."""
        progress = self.record.progress
        return () if _UNTIMED.intersection(progress.faults) else progress.epoch_s

    @property
    def values(self) -> tuple[float | None, ...]:
        """The metric after each epoch; empty where the series cannot be trusted to tell."""
        progress = self.record.progress
        return () if _NO_CURVE.intersection(progress.faults) else progress.values

    @cached_property
    def typical_epoch_s(self) -> float | None:
        """Median epoch, seconds, those that a leg began with left out where there are others."""
        progress = self.record.progress
        if not self.epoch_s:
            return None
        others_s = [
            epoch_s for n, epoch_s in enumerate(self.epoch_s) if n not in progress.warm_ups
        ]
        return float(np.median(others_s or self.epoch_s))

    @cached_property
    def restart_s(self) -> float | None:
        """Seconds that a start takes beyond its epoch: what the legs' first epochs took more."""
        progress = self.record.progress
        if self.typical_epoch_s is None or not progress.warm_ups:
            return None
        extra_s = [self.epoch_s[n] - self.typical_epoch_s for n in progress.warm_ups]
        return max(0.0, float(np.mean(extra_s)))

    @property
    def every_epoch_busy(self) -> tuple[float, ...] | None:
        """GPU utilisation of all epochs, or None if that of any is unknown."""
        values = self.record.signals.gpu_utilization
        whole = bool(values) and len(values) >= self.record.progress.epochs_done
        return values if whole else None

    def command(self, **changes: object) -> str:
        """Return the command that trains the very job of the run again, with other keys.

        A run whose program nobody told needs a job file first.
        """
        pairs = [f"{key.replace('__', '.')}={value}" for key, value in changes.items()]
        if "command" in self.record.assumed:
            wanted = f" with {', '.join(pairs)}" if pairs else ""
            return f"write a job file for it{wanted}, then lowtide train FILE"
        sets = "".join(f" --set {pair}" for pair in pairs)
        return f"lowtide train {self.named}{sets}"

    @property
    def named(self) -> str:
        """What to call the job: by the run, whose job may differ from any file; else by name."""
        run = self.record.run
        return run if re.match(RUN_ID_PATTERN, run) else self.record.job.name
