"""What a new leg loses before it makes progress: its launch, its restore, and work done again.

The deadline is kept for the most that it can be and money is planned with what it usually is, so
both are needed. Before a leg was seen, the prior is said aloud: a launch, and by the training
contract at most the epoch under way. Afterwards the run's own legs say it: how long each queued, how
much longer its first epoch took than the others, and what was logged twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from lowtide.job import Where
from lowtide.progress import Progress

LAUNCH_S: Mapping[Where, float] = {Where.LOCAL: 5.0, Where.KUBERNETES: 120.0}
"""Seconds from the order to the first step of training, before any was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changeover:
    """What a new leg loses.

    Attributes:
        usual_s: In the middle, seconds.
        most_s: As much as a plan must be ready for, seconds; >= `usual_s`.
    """

    usual_s: float
    most_s: float


def changeover_of(
    where: Where,
    *,
    epoch_s: float,
    progress: Progress | None = None,
    queued_s: Sequence[float] = (),
) -> Changeover:
    """Say what the next leg will lose.

    Args:
        where: What runs the legs; it decides the prior.
        epoch_s: Seconds of an epoch, by the forecast.
        progress: The run's epochs so far; None before there are any.
        queued_s: Seconds that each leg waited between its order and its program's start.

    Examples:
        >>> changeover_of(Where.KUBERNETES, epoch_s=60)
        Changeover(usual_s=150.0, most_s=300.0)
    """
    launches_s = _launches_s(progress, queued_s)
    usual_s = median(launches_s) if launches_s else LAUNCH_S[where]
    redone_s = 0.0 if progress is None else progress.redone_s / max(1, len(queued_s) - 1)
    return Changeover(
        usual_s=usual_s + max(epoch_s / 2, redone_s),
        most_s=max(2 * usual_s, *launches_s, 0.0) + max(epoch_s, 2 * redone_s),
    )


def _launches_s(progress: Progress | None, queued_s: Sequence[float]) -> list[float]:
    """Return what each leg lost before its first step, as far as its first epoch tells."""
    if progress is None:
        return []
    warm_ups = set(progress.warm_ups)
    plain_s = [each for n, each in enumerate(progress.epoch_s) if n not in warm_ups]
    if not plain_s:
        return []
    usual_s = median(plain_s)
    queued = median(queued_s) if queued_s else 0.0
    return [queued + max(0.0, progress.epoch_s[n] - usual_s) for n in sorted(warm_ups)]
