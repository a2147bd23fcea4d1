"""Early stopping: the epoch at which the metric was as good as at its end, and the money after it.

What is proposed is a rule, because nobody knows the epoch beforehand; what it saves is what it would
have saved on this run, found by running the rule over its curve. So whoever applies it to the same
training gets just that.
"""

import math
from collections.abc import Iterator, Sequence

from lowtide.advice import AdviceKind
from lowtide.early_stopping import stop_epoch
from lowtide.job import EarlyStopping
from lowtide.progress import Goal
from lowtide.recommend.case import Case, Change, Proposal
from lowtide.recommend.shape import Shape

_DELTA_SHARE = 0.01
_PATIENCES = (3, 5, 8, 12, 20, 30, 50)
_CAUTION = 1.5
_TAIL_SHARE_MIN = 0.05
_SEED_SPREAD = 0.15
"""Share by which the epoch of a plateau differs between seeds, in one case of ten."""


def plateau_epoch(values: Sequence[float | None], *, goal: Goal, min_delta: float) -> int | None:
    """Return the first epoch whose best value so far is within `min_delta` of the best of all.

    Args:
        values: The metric after each epoch; None where none was logged.
        goal: Whether more or less of it is better.
        min_delta: A smaller difference is none.

    Examples:
        >>> plateau_epoch([0.5, 0.8, 0.9, 0.895, 0.901], goal="maximize", min_delta=0.01)
        3
    """
    sign = 1.0 if goal == "maximize" else -1.0
    known = [sign * value for value in values if value is not None]
    if not known:
        return None
    enough = max(known) - min_delta
    return next(
        epoch
        for epoch, value in enumerate(values, 1)
        if value is not None and sign * value >= enough
    )


def rule_for(
    values: Sequence[float | None], *, goal: Goal, min_delta: float | None = None
) -> EarlyStopping | None:
    """Return the least patience that would not have given up too early on this curve, and half more.

    Args:
        values: The metric after each epoch; None where none was logged.
        goal: Whether more or less of it is better.
        min_delta: A smaller gain is none; None: 1 % of what the metric moved in all.

    Returns:
        The rule; None where no patience would have stopped in time at a value as good.
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    delta = _DELTA_SHARE * _moved(known) if min_delta is None else min_delta
    delta = float(f"{delta:.1g}")
    plateau = plateau_epoch(values, goal=goal, min_delta=delta)
    for patience in _PATIENCES:
        rule = EarlyStopping(patience=patience, min_delta=delta)
        stopped = stop_epoch(values, goal=goal, early_stopping=rule)
        if stopped is None or plateau is None:
            return None
        if stopped >= plateau:
            return EarlyStopping(patience=math.ceil(_CAUTION * patience), min_delta=delta)
    return None


def propose(case: Case) -> Iterator[Proposal]:
    """Yield a rule where the run went on after its metric had stopped moving."""
    job, progress = case.record.job, case.record.progress
    if "metric" in case.record.assumed:
        return
    given = None if job.early_stopping is None else job.early_stopping.min_delta
    rule = rule_for(case.values, goal=job.metric.goal, min_delta=given)
    if rule is None:
        return
    stopped = stop_epoch(case.values, goal=job.metric.goal, early_stopping=rule)
    plateau = plateau_epoch(case.values, goal=job.metric.goal, min_delta=rule.min_delta)
    if stopped is None or plateau is None:
        return
    tail_s = _tail_s(case, stopped)
    if tail_s < _TAIL_SHARE_MIN * case.shape.duration_s:
        return
    later, earlier = stopped * (1 + _SEED_SPREAD), stopped * (1 - _SEED_SPREAD)
    best = progress.best
    best_then = _best_of(case.values[:stopped], job.metric.goal)
    yield Proposal(
        kind=AdviceKind.EARLY_STOPPING,
        description=(
            f"Stop when the metric stops moving: {job.metric.name} was within {rule.min_delta:g} of "
            f"its end at epoch {plateau} of {progress.epochs_done}; with a patience of "
            f"{rule.patience} it would have stopped at epoch {stopped}, "
            + ("just as good." if best_then == best else f"at {best_then:g} instead of {best:g}.")
        ),
        likely=_cut(tail_s, case),
        cautious=_cut(_tail_s(case, later), case),
        hopeful=_cut(_tail_s(case, earlier), case),
        confidence="medium",
        confidence_reason="the rule was run over this curve; another seed may need longer",
        evidence={
            "plateau_epoch": plateau,
            "stopped_epoch": stopped,
            "epochs": progress.epochs_done,
            "min_delta": rule.min_delta,
            "patience": rule.patience,
            "best": best,
            "best_at_stop": best_then,
            "seconds_after": tail_s,
        },
        risk="a metric that would have risen again late is missed; the last checkpoint is kept",
        action=case.command(
            early_stopping__patience=rule.patience, early_stopping__min_delta=f"{rule.min_delta:g}"
        ),
    )


def _moved(known: Sequence[float]) -> float:
    return max(known) - min(known)


def _best_of(values: Sequence[float | None], goal: Goal) -> float:
    known = [value for value in values if value is not None]
    return max(known) if goal == "maximize" else min(known)


def _tail_s(case: Case, epoch: float) -> float:
    """Return the seconds of training after an epoch, which may lie between two."""
    progress = case.record.progress
    if len(progress.epoch_s) != progress.epochs_done:
        return case.shape.duration_s * max(0.0, 1 - epoch / progress.epochs_done)
    whole = min(progress.epochs_done, max(0, int(epoch)))
    part = epoch - whole
    after_s = progress.epoch_s[whole:]
    return max(0.0, sum(after_s) - part * after_s[0]) if after_s else 0.0


def _cut(tail_s: float, case: Case) -> Change:
    # A share and not seconds, so that the rest of the run may have been changed before.
    share = tail_s / case.shape.duration_s if case.shape.duration_s > 0 else 0.0

    def change(shape: Shape) -> Shape:
        return shape.cut(share * shape.duration_s)

    return change
