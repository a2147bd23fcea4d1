"""A sweep: many configurations of one job under one budget, the hopeless ones not to their end.

The rule that ends a trial early is successive halving without waiting: at each rung, a number of
epochs, a trial goes on only if it is among the best `1 / keep_one_of` of those that have come so
far. Nobody waits for the others to reach the rung, so no capacity idles; the first few trials are
judged by few others and are let through too easily, which costs a little money and no quality.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

from pydantic import Field, StringConstraints

from lowtide.documents import Amount, Count, Part
from lowtide.job import Priority, TrainingJob
from lowtide.progress import Goal

SWEEP_TAG = "lowtide.sweep"
TRIALS_MAX = 1_000
_Param: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
_RANK = {Priority.URGENT: 0, Priority.NORMAL: 1, Priority.BACKGROUND: 2}


class Gate(StrEnum):
    """When the trials' money is held."""

    WHOLE = "whole"
    """Before the first one starts, for all of them: every trial can be run, or none is."""
    ONE_BY_ONE = "one-by-one"
    """As each starts: what one gives back, the next one uses."""


class Trial(Part):
    """One configuration; what it leaves out is the job's."""

    params: dict[_Param, bool | int | float | str] = Field(
        default_factory=dict, title="Parameters", description="The program's own parameters."
    )
    epochs: Annotated[Count, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, title="Epochs", description="Epochs to train; empty: the job's."
    )
    batch_size: Annotated[Count, Field(ge=1, le=10_000_000)] | None = Field(
        default=None, title="Batch size", description="Samples in one step; empty: the job's."
    )
    priority: Priority | None = Field(
        default=None, title="Priority", description="Which trials start first; empty: the job's."
    )
    value: float = Field(
        default=0.0,
        ge=-1e9,
        le=1e9,
        title="Expected value",
        description="What you expect of it, in any unit; of one priority, the most starts first.",
    )

    def of(self, job: TrainingJob, *, sweep: str) -> TrainingJob:
        """Return the job with this configuration, marked as one of a sweep."""
        changes: dict[str, Any] = {
            "params": {**job.params, **self.params},
            "tags": {**job.tags, SWEEP_TAG: sweep},
        }
        for name in ("epochs", "batch_size", "priority"):
            if getattr(self, name) is not None:
                changes[name] = getattr(self, name)
        return job.model_copy(update=changes)


class Halving(Part):
    """When a trial that does badly is ended before its last epoch."""

    first_epochs: Count = Field(
        default=1,
        ge=1,
        le=1_000_000,
        title="First rung, epochs",
        description="Epochs after which a trial is compared with the others for the first time.",
    )
    keep_one_of: Count = Field(
        default=3,
        ge=2,
        le=100,
        title="Keep one of",
        description="At each rung one of so many goes on, to so many times the epochs.",
    )


class SweepAsk(Part):
    """One request to try many configurations, as a person, a schedule or a program sends it."""

    job: TrainingJob = Field(title="Job", description="What is to be trained.")
    configs: tuple[Trial, ...] = Field(
        min_length=1,
        max_length=TRIALS_MAX,
        title="Configurations",
        description="What is to be tried; each one changes the job.",
    )
    max_usd: Amount = Field(
        gt=0,
        le=1_000_000,
        title="At most, USD",
        description="The most that all of them together may cost.",
    )
    max_parallel: Count = Field(
        default=2, ge=1, le=256, title="At once", description="Trials that run at the same time."
    )
    gate: Gate = Field(
        default=Gate.ONE_BY_ONE,
        title="Gate",
        description="Hold the money of all before the first starts, or of each as it starts.",
    )
    halving: Halving | None = Field(
        default=None,
        title="Successive halving",
        description="End the hopeless before their last epoch; empty: all run to their end.",
    )
    key: str | None = Field(
        default=None,
        max_length=400,
        title="Key",
        description="Your own name for this sweep; the same key twice is the same sweep.",
    )

    def order(self) -> tuple[int, ...]:
        """Return the places of the configurations in the order in which they start.

        By priority, then by the value that is expected. Those that are alike in both start in the
        order of the list; with halving from all over it, so that the first rung compares what lies
        far apart: a list mostly counts through its parameters, and its beginning is all of a kind.

        Examples:
            >>> job = TrainingJob(name="digits", command=["train"])
            >>> low, high = Trial(value=1), Trial(value=2)
            >>> last = Trial(value=9, priority="background")
            >>> SweepAsk(job=job, configs=[low, last, high], max_usd=1).order()
            (2, 0, 1)
            >>> five = [Trial() for _ in range(5)]
            >>> SweepAsk(job=job, configs=five, max_usd=1, halving=Halving()).order()
            (0, 4, 2, 1, 3)
        """
        bits = len(self.configs).bit_length()

        def place(index: int) -> int:
            # The place's bits, backwards: van der Corput's sequence.
            return index if self.halving is None else int(f"{index:0{bits}b}"[::-1], 2)

        def rank(index: int) -> tuple[int, float, int]:
            trial = self.configs[index]
            return _RANK[trial.priority or self.job.priority], -trial.value, place(index)

        return tuple(sorted(range(len(self.configs)), key=rank))


def rungs(halving: Halving | None, *, epochs: int) -> tuple[int, ...]:
    """Return the epochs after which a trial is compared with the others.

    Examples:
        >>> rungs(Halving(first_epochs=1, keep_one_of=3), epochs=20)
        (1, 3, 9)
        >>> rungs(None, epochs=20)
        ()
    """
    if halving is None:
        return ()
    found: list[int] = []
    at = halving.first_epochs
    while at < epochs:
        found.append(at)
        at *= halving.keep_one_of
    return tuple(found)


def best_until(values: Sequence[float | None], epoch: int, *, goal: Goal) -> float | None:
    """Return the best value that was logged up to an epoch; None where there was none."""
    seen = [value for value in values[:epoch] if value is not None]
    if not seen:
        return None
    return max(seen) if goal == "maximize" else min(seen)


def is_hopeless(
    value: float | None, others: Iterable[float], *, goal: Goal, keep_one_of: int
) -> bool:
    """Say whether a trial at a rung is not among the best that have reached it so far.

    Args:
        value: Its best value up to the rung; None, where it logged none, is the worst.
        others: The values of the others that have reached the rung, the ended ones too.
        goal: Whether more or less is better.
        keep_one_of: One of so many goes on, at least one.

    Source:
        Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning" (ASHA), in the
        variant that ends a trial instead of pausing it.

    Examples:
        >>> is_hopeless(0.9, [], goal="maximize", keep_one_of=3)
        False
        >>> is_hopeless(0.9, [0.95, 0.8], goal="maximize", keep_one_of=3)
        True
        >>> is_hopeless(0.9, [0.95, 0.8, 0.7, 0.6, 0.5], goal="maximize", keep_one_of=3)
        False
    """
    seen = list(others)
    if value is None:
        return bool(seen)
    sign = 1.0 if goal == "maximize" else -1.0
    better = sum(sign * other > sign * value for other in seen)
    return better >= max(1, (len(seen) + 1) // keep_one_of)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """What became of one configuration.

    Attributes:
        index: Its place in the list that was given, from 0.
        run: Id of its run.
        config: What was tried, as it was given.
        state: How its run ended, or `waiting`, or `running`.
        epochs_done: Epochs that it finished.
        best: The best value of the metric; None: none was logged.
        charged_usd: What it cost, US dollars.
        message: Why it ended so, one sentence.
    """

    index: int
    run: str
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    state: str = "waiting"
    epochs_done: int = 0
    best: float | None = None
    charged_usd: Decimal = Decimal(0)
    message: str = ""

    def document(self) -> dict[str, Any]:
        """Return the result as a JSON document."""
        return {
            "index": self.index,
            "run": self.run,
            "config": dict(self.config),
            "state": self.state,
            "epochs_done": self.epochs_done,
            "best": self.best,
            "charged_usd": str(self.charged_usd),
            "message": self.message,
        }


def ranked(results: Iterable[TrialResult], *, goal: Goal) -> tuple[TrialResult, ...]:
    """Return results from the best to the worst; those without a value come last."""
    sign = -1.0 if goal == "maximize" else 1.0

    def rank(result: TrialResult) -> tuple[bool, float, Decimal, int]:
        value = 0.0 if result.best is None else sign * result.best
        return result.best is None, value, result.charged_usd, result.index

    return tuple(sorted(results, key=rank))
