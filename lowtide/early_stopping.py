"""Stopping before the last epoch: a rule that a job may ask for, and when it would have applied.

The rule looks at the best value so far, which noise cannot lower, and waits a number of epochs for
a gain that counts. Gains too small to count add up until they do, so a slow climb is not mistaken
for a plateau.
"""

from collections.abc import Iterable, Sequence

from lowtide.job import EarlyStopping
from lowtide.progress import Goal


def should_stop(
    values: Sequence[float | None],
    *,
    goal: Goal,
    early_stopping: EarlyStopping | None,
    target: float | None = None,
) -> bool:
    """Say whether a run may stop now, as its job asked.

    Args:
        values: The metric after each epoch; None where none was logged, which decides nothing.
        goal: Whether more or less of it is better.
        early_stopping: The job's rule; None: it has none.
        target: A value that is good enough; None: there is none.

    Examples:
        >>> rule = EarlyStopping(patience=2, min_delta=0.01)
        >>> should_stop([0.5, 0.8, 0.805], goal="maximize", early_stopping=rule)
        False
        >>> should_stop([0.5, 0.8, 0.805, 0.807], goal="maximize", early_stopping=rule)
        True
        >>> should_stop([0.5, 0.8], goal="maximize", early_stopping=None, target=0.8)
        True
    """
    stopped_at = stop_epoch(values, goal=goal, early_stopping=early_stopping, target=target)
    return stopped_at is not None


def stop_epoch(
    values: Iterable[float | None],
    *,
    goal: Goal,
    early_stopping: EarlyStopping | None,
    target: float | None = None,
) -> int | None:
    """Return the epoch after which a run would have stopped, from 1; None: it would not have.

    Args:
        values: The metric after each epoch; None where none was logged.
        goal: Whether more or less of it is better.
        early_stopping: The rule; None: none.
        target: A value that is good enough; None: there is none.
    """
    sign = 1.0 if goal == "maximize" else -1.0
    best: float | None = None
    waited = 0
    for epoch, value in enumerate(values, 1):
        if value is None:
            continue
        if target is not None and sign * (value - target) >= 0:
            return epoch
        if early_stopping is None:
            continue
        if best is None or sign * (value - best) > early_stopping.min_delta:
            best, waited = value, 0
        else:
            waited += 1
        if waited >= early_stopping.patience:
            return epoch
    return None
