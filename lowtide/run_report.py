"""The report of one run: what was asked, what happened, what it cost, line by line.

A single HTML file with its drawings inside, so that it can be mailed, printed and kept: it asks
nothing of any network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from jinja2 import Environment

from lowtide.advice import Recommendation
from lowtide.job import TrainingJob
from lowtide.ledger.records import JournalLine, LegRow
from lowtide.money import ZERO_USD, UsdRange, show_usd
from lowtide.report.page import STYLE
from lowtide.report.records import RunFigures
from lowtide.run_drawings import band, metric_line, timeline
from lowtide.run_page import PAGE
from lowtide.words import show_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochLine:
    """One epoch, as the report shows it.

    Attributes:
        epoch: Its number.
        at: When it ended.
        metric: The metric after it; None where no finite value was logged.
        left_usd_p10: Forecast of the cost still to come, lower end.
        left_usd_p50: Its middle.
        left_usd_p90: Its upper end.
        charged_usd: What had been charged by then.
    """

    epoch: int
    at: datetime
    metric: float | None
    left_usd_p10: Decimal
    left_usd_p50: Decimal
    left_usd_p90: Decimal
    charged_usd: Decimal = ZERO_USD


@dataclass(frozen=True, slots=True, kw_only=True)
class WayLine:
    """A way to run that was weighed before it started.

    Attributes:
        kind: What it would have changed; "as asked" for none.
        cost_usd: What it was forecast to cost, P10 to P90.
        why: What it does and assumes.
    """

    kind: str
    cost_usd: UsdRange
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionLine:
    """A decision, with its reason."""

    at: datetime
    decision: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedSpan:
    """A stretch of the run's time at one rate on demand."""

    start: datetime
    end: datetime
    window: str
    usd_per_h: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """All that the report of a run is drawn from.

    Attributes:
        run: Its id.
        job: What was trained.
        state: How it ended.
        message: Why, one sentence.
        legs: Its legs.
        epochs: Its epochs, in the order in which they were seen.
        lines: Its journal lines.
        recommendations: What to change next time.
        made_at: When the report was made.
        ways: The ways that were weighed, as asked first.
        decisions: What was decided, and why.
        spans: The prices while it existed, in order.
        figures: The counterfactual, the waste, the wait; None: nothing is known.
    """

    run: str
    job: TrainingJob
    state: str
    message: str
    legs: Sequence[LegRow]
    epochs: Sequence[EpochLine]
    lines: Sequence[JournalLine]
    recommendations: Sequence[Recommendation]
    made_at: datetime
    ways: Sequence[WayLine] = ()
    decisions: Sequence[DecisionLine] = ()
    spans: Sequence[PricedSpan] = ()
    figures: RunFigures | None = None

    @property
    def charged_usd(self) -> Decimal:
        """What its legs were charged, corrections included."""
        return sum((leg.charged_usd for leg in self.legs), Decimal(0))

    @property
    def epochs_done(self) -> int:
        """The last epoch that was seen."""
        return self.epochs[-1].epoch if self.epochs else 0


def as_html(report: RunReport) -> str:
    """Return the report as one HTML file without outside references, its drawings inside.

    Args:
        report: What to show.

    Returns:
        The file's text.
    """
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["usd"] = show_usd
    environment.filters["duration"] = show_duration
    lines = report.epochs
    return environment.from_string(PAGE).render(
        report=report,
        style=STYLE,
        metric=metric_line([line.metric for line in lines]),
        forecast=band(
            [
                (
                    float(line.charged_usd + line.left_usd_p10),
                    float(line.charged_usd + line.left_usd_p50),
                    float(line.charged_usd + line.left_usd_p90),
                )
                for line in lines
            ],
            came_to=float(report.charged_usd),
        ),
        timeline=timeline(
            report.legs, [(s.start, s.end, s.window, s.usd_per_h) for s in report.spans]
        ),
    )
