"""Which recommendations were taken: seen in the next run of the same job, never asked for."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from lowtide.advice import AdviceKind
from lowtide.money import ZERO_USD

_KEYS: Mapping[AdviceKind, str] = {
    AdviceKind.BATCH_SIZE: "batch_size",
    AdviceKind.OFF_PEAK: "policy",
    AdviceKind.SPOT: "capacity",
    AdviceKind.EARLY_STOPPING: "early_stopping",
    AdviceKind.CHECKPOINTING: "checkpoint",
    AdviceKind.RIGHT_SIZING: "resources",
    AdviceKind.PRIORITY: "priority",
}
"""Where in a job file a recommendation shows when it is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advised:
    """A run with what was recommended after it.

    Attributes:
        job: The job's name.
        document: The job as a document.
        kinds: What was recommended, with its saving (P50), US dollars.
    """

    job: str
    document: Mapping[str, Any]
    kinds: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of one kind of recommendation.

    Attributes:
        kind: What was recommended.
        times: How often.
        taken: In how many of the next runs of the same job its key was changed.
        undecided: After how many runs the job has not run again, or nothing shows it.
        saving_usd: Savings of those that were not taken, estimates, US dollars.
    """

    kind: str
    times: int
    taken: int
    undecided: int
    saving_usd: Decimal


def taken(runs: Sequence[Advised]) -> tuple[Taken, ...]:
    """Say what became of recommendations.

    Args:
        runs: Runs with what was recommended after them, oldest first.

    Returns:
        One entry for each kind, the one with most left to save first.

    Examples:
        >>> before = Advised(
        ...     job="a", document={"batch_size": 64}, kinds={"batch-size": Decimal(2)}
        ... )
        >>> after = Advised(job="a", document={"batch_size": 128}, kinds={})
        >>> taken([before, after])[0].taken
        1
    """
    found: dict[str, list[tuple[bool | None, Decimal]]] = defaultdict(list)
    for at, run in enumerate(runs):
        following = next((later for later in runs[at + 1 :] if later.job == run.job), None)
        for kind, saving_usd in run.kinds.items():
            found[kind].append((_was_taken(kind, run, following), saving_usd))
    all_ = (_sum_up(kind, each) for kind, each in found.items())
    return tuple(sorted(all_, key=lambda entry: (-entry.saving_usd, entry.kind)))


def _was_taken(kind: str, run: Advised, following: Advised | None) -> bool | None:
    key = _KEYS.get(AdviceKind(kind)) if kind in set(AdviceKind) else None
    if following is None or key is None:
        return None
    return run.document.get(key) != following.document.get(key)


def _sum_up(kind: str, each: Sequence[tuple[bool | None, Decimal]]) -> Taken:
    return Taken(
        kind=kind,
        times=len(each),
        taken=sum(was is True for was, _ in each),
        undecided=sum(was is None for was, _ in each),
        saving_usd=sum((usd for was, usd in each if was is not True), ZERO_USD),
    )
