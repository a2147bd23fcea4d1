"""Configurations of one job side by side: time, cost, metric, and which nothing beats.

No configuration has a start yet, so each is priced at the dearest rate of the week, like a check.
A configuration is on the Pareto front if no feasible other is at least as fast, as cheap and as
good, and better in one of them. How good is the expected metric; where that is not known of all,
the number of epochs stands for it, so that training less is not simply better.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lowtide.configs import Config
from lowtide.errors import BadInputError
from lowtide.forecast import PastRun, Range, Unstarted, unstarted
from lowtide.job import TrainingJob
from lowtide.legs import Capacity
from lowtide.money import UsdRange, show_usd
from lowtide.plain import plain_range, plain_usd_range
from lowtide.prices import PriceBook, PriceUnknownError
from lowtide.verdict import Refused
from lowtide.ways import Question, Quote, Way

GoodnessBy: TypeAlias = Literal["metric", "epochs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRange:
    """A metric with its doubt, in its own unit."""

    p10: float
    p50: float
    p90: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One configuration.

    Attributes:
        index: Its place in the list, from 0.
        config: What was given.
        epochs: Epochs that it trains.
        time_s: How long it takes, seconds; None: not known.
        cost_usd: What it costs whenever it runs, US dollars; None: not known.
        metric: The best metric to expect; None: no past run tells.
        reason: Why it is not feasible, or what its figures assume; None: nothing to say.
        feasible: Whether it can be run within the budget and the deadline.
        pareto: Whether no feasible other beats it.
    """

    index: int
    config: Config
    epochs: int
    time_s: Range | None = None
    cost_usd: UsdRange | None = None
    metric: MetricRange | None = None
    reason: str | None = None
    feasible: bool = False
    pareto: bool = False

    def document(self) -> dict[str, Any]:
        """Return the row as an entry of design §8's `compare`."""
        return {
            "index": self.index,
            "config": self.config.document(),
            "time_s": None if self.time_s is None else plain_range(self.time_s),
            "cost_usd": None if self.cost_usd is None else plain_usd_range(self.cost_usd),
            "metric": None if self.metric is None else plain_range(self.metric, places=6),
            "pareto": self.pareto,
            "feasible": self.feasible,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All configurations.

    Attributes:
        rows: In the order of the list.
        goodness_by: What the front takes as good.
    """

    rows: tuple[Row, ...]
    goodness_by: GoodnessBy

    def document(self) -> dict[str, Any]:
        """Return the comparison as the body of design §8's `compare`."""
        return {
            "configs": [row.document() for row in self.rows],
            "goodness_by": self.goodness_by,
        }


def compare_configs(
    job: TrainingJob,
    configs: Sequence[Config],
    *,
    book: PriceBook,
    now: datetime,
    history: Sequence[PastRun] = (),
    budget_usd: Decimal | None = None,
) -> Comparison | Refused:
    """Compare configurations of one job.

    Args:
        job: What the configurations have in common.
        configs: What each changes.
        book: The prices.
        now: Aware.
        history: Past runs, newest first.
        budget_usd: What there is for one of them, US dollars; None: what the job may cost.

    Returns:
        The comparison, or `Refused` when no time of the job is known at all.
    """
    known = unstarted(job, history=history)
    if isinstance(known, Refused):
        return known
    limit_usd = job.budget.max_usd if budget_usd is None else budget_usd
    desk = _Desk(
        job=job, book=book, now=now, known=known, curves=_Curves(job, history), limit_usd=limit_usd
    )
    rows = [desk.row(index, config) for index, config in enumerate(configs)]
    feasible = [row for row in rows if row.feasible]
    goodness_by: GoodnessBy = (
        "metric" if feasible and all(row.metric for row in feasible) else "epochs"
    )
    front = _front(feasible, goodness_by, maximize=job.metric.goal == "maximize")
    return Comparison(
        rows=tuple(replace(row, pareto=row.index in front) for row in rows),
        goodness_by=goodness_by,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """All that a row is made from."""

    job: TrainingJob
    book: PriceBook
    now: datetime
    known: Unstarted
    curves: "_Curves"
    limit_usd: Decimal | None

    def row(self, index: int, config: Config) -> Row:
        job = config.of(self.job)
        row = Row(index=index, config=config, epochs=job.epochs)
        if job.resources.flavor != self.job.resources.flavor:
            reason = (
                f"how long an epoch takes on {job.resources.flavor!r} is not known, "
                f"only on {self.job.resources.flavor!r}"
            )
            return replace(row, reason=reason)
        way = Way(
            epochs=job.epochs,
            batch_size=job.batch_size,
            capacity=Capacity(config.capacity or Capacity.ON_DEMAND),
        )
        question = Question(job=job, book=self.book, now=self.now, known=self.known)
        try:
            quote = question.quote_any_time(way)
        except (PriceUnknownError, BadInputError) as error:
            return replace(row, reason=error.message)
        obstacle = self._obstacle(quote)
        return replace(
            row,
            time_s=quote.time.time_remaining_s,
            cost_usd=quote.cost_usd,
            metric=self.curves.metric(batch_size=way.batch_size, epochs=way.epochs),
            feasible=obstacle is None,
            reason=obstacle or self.known.model.stated(way.batch_size),
        )

    def _obstacle(self, quote: Quote) -> str | None:
        deadline = self.job.deadline
        if self.limit_usd is not None and quote.hold_usd > self.limit_usd:
            return (
                f"its hold of {show_usd(quote.hold_usd)} is more than {show_usd(self.limit_usd)}"
            )
        if deadline is not None and quote.finish.p90 > deadline:
            late = timedelta(seconds=round((quote.finish.p90 - deadline).total_seconds()))
            return f"it may end {late} after the deadline"
        return None


class _Curves:
    """The best metric that past runs of the job had, by batch size and number of epochs."""

    def __init__(self, job: TrainingJob, history: Sequence[PastRun]) -> None:
        self._by_batch: dict[int, NDArray[np.float64]] = {}
        runs_of: dict[int, list[PastRun]] = {}
        for run in history:
            if run.same_job and run.values:
                runs_of.setdefault(run.batch_size or job.batch_size, []).append(run)
        best = np.fmax if job.metric.goal == "maximize" else np.fmin
        for batch_size, runs in runs_of.items():
            curves = np.full((len(runs), max(len(run.values) for run in runs)), np.nan)
            for curve, run in zip(curves, runs, strict=True):
                values = [np.nan if value is None else value for value in run.values]
                curve[: len(values)] = best.accumulate(np.array(values))
            self._by_batch[batch_size] = curves

    def metric(self, *, batch_size: int, epochs: int) -> MetricRange | None:
        """Return what past runs of this batch size had reached after as many epochs."""
        curves = self._by_batch.get(batch_size)
        if curves is None or epochs > curves.shape[1]:
            return None
        reached = curves[:, epochs - 1]
        reached = reached[np.isfinite(reached)]
        if reached.size == 0:
            return None
        p10, p50, p90 = (float(value) for value in np.quantile(reached, (0.1, 0.5, 0.9)))
        return MetricRange(p10=p10, p50=p50, p90=p90)


def _front(rows: Sequence[Row], goodness_by: GoodnessBy, *, maximize: bool) -> set[int]:
    """Return the indices of the rows that no other beats."""
    if not rows:
        return set()
    losses = np.array([_losses(row, goodness_by, maximize=maximize) for row in rows])
    # beats[i, j]: i is nowhere worse than j and somewhere better.
    nowhere_worse: NDArray[np.bool_] = np.all(losses[:, None, :] <= losses[None, :, :], axis=2)
    somewhere_better: NDArray[np.bool_] = np.any(losses[:, None, :] < losses[None, :, :], axis=2)
    beaten = np.any(nowhere_worse & somewhere_better, axis=0)
    return {row.index for row, lost in zip(rows, beaten, strict=True) if not lost}


def _losses(row: Row, goodness_by: GoodnessBy, *, maximize: bool) -> tuple[float, float, float]:
    assert row.time_s is not None  # noqa: S101 - a feasible row is priced
    assert row.cost_usd is not None  # noqa: S101
    goodness = float(row.epochs)
    if goodness_by == "metric" and row.metric is not None:
        goodness = row.metric.p50 if maximize else -row.metric.p50
    return row.time_s.p50, float(row.cost_usd.p50), -goodness
