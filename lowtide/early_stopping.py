"""Stopping before the last epoch: a rule that a job may ask for, and when it would have applied.

The rule looks at the best value so far, which noise cannot lower, and waits a number of epochs for
a gain that counts. Gains too small to count add up until they do, so a slow climb is not mistaken
for a plateau.
"""

from collections.abc import Iterable, Sequence

from lowtide.job import EarlyStopping, TrainingJob
from lowtide.progress import Fault, Goal, Progress

UNTRUSTED = frozenset({Fault.OUT_OF_ORDER, Fault.OUT_OF_RANGE, Fault.REPEATED})
"""With these faults nobody knows which value belongs to which epoch."""


def enough(progress: Progress, *, job: TrainingJob) -> bool:
    """Say whether a run that goes on may stop now.

    Args:
        progress: Its epochs. A series that cannot be trusted stops nothing.
        job: What it trains; without `early_stopping` it runs to its end.
    """
    if progress.epochs_done >= job.epochs or UNTRUSTED.intersection(progress.faults):
        return False
    return should_stop(progress.values, goal=job.metric.goal, early_stopping=job.early_stopping)


def should_stop(
    values: Sequence[float | None],
    *,
    goal: Goal,
    early_stopping: EarlyStopping | None,
) -> bool:
    """Say whether a run may stop now, as its job asked.

    Args:
        values: The metric after each epoch; None where none was logged, which decides nothing.
        goal: Whether more or less of it is better.
        early_stopping: The job's rule; None: it has none, and runs to its end.

    Examples:
        >>> rule = EarlyStopping(patience=2, min_delta=0.01)
        >>> should_stop([0.5, 0.8, 0.805], goal="maximize", early_stopping=rule)
        False
        >>> should_stop([0.5, 0.8, 0.805, 0.807], goal="maximize", early_stopping=rule)
        True
        >>> should_stop([0.5, 0.8], goal="maximize", early_stopping=EarlyStopping(target=0.8))
        True
    """
    return stop_epoch(values, goal=goal, early_stopping=early_stopping) is not None


def stop_epoch(
    values: Iterable[float | None],
    *,
    goal: Goal,
    early_stopping: EarlyStopping | None,
) -> int | None:
    """Return the epoch after which a run would have stopped, from 1; None: it would not have.

    Args:
        values: The metric after each epoch; None where none was logged.
        goal: Whether more or less of it is better.
        early_stopping: The rule; None: none.
    """
    if early_stopping is None:
        return None
    sign = 1.0 if goal == "maximize" else -1.0
    patience, target = early_stopping.patience, early_stopping.target
    best: float | None = None
    waited = 0
    for epoch, value in enumerate(values, 1):
        if value is None:
            continue
        if best is None or sign * (value - best) > early_stopping.min_delta:
            best, waited = value, 0
        else:
            waited += 1
        is_good = target is not None and sign * (value - target) >= 0
        if is_good or (patience is not None and waited >= patience):
            return epoch
    return None
