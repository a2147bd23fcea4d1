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
from lowtide.money import show_usd

_PLOT_WIDTH = 640.0
_PLOT_HEIGHT = 160.0


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
    """

    epoch: int
    at: datetime
    metric: float | None
    left_usd_p10: Decimal
    left_usd_p50: Decimal
    left_usd_p90: Decimal


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

    @property
    def charged_usd(self) -> Decimal:
        """What its legs were charged, corrections included."""
        return sum((leg.charged_usd for leg in self.legs), Decimal(0))

    @property
    def epochs_done(self) -> int:
        """The last epoch that was seen."""
        return self.epochs[-1].epoch if self.epochs else 0


def as_html(report: RunReport) -> str:
    """Return the report as one HTML file without outside references.

    Args:
        report: What to show.

    Returns:
        The file's text.
    """
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["usd"] = show_usd
    metric = [line.metric for line in report.epochs]
    return environment.from_string(_PAGE).render(
        report=report,
        metric_points=polyline(metric),
        metric_range=_ends([value for value in metric if value is not None]),
        left_band=_band(report.epochs),
        width=_PLOT_WIDTH,
        height=_PLOT_HEIGHT,
    )


def polyline(values: Sequence[float | None]) -> str:
    """Return the points of an SVG line through a series; a missing value is skipped.

    Examples:
        >>> polyline([0.0, None, 1.0])
        '0.0,160.0 640.0,0.0'
    """
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, spread = min(known), (max(known) - min(known)) or 1.0
    step = _PLOT_WIDTH / max(len(values) - 1, 1)
    return " ".join(
        f"{position * step:.1f},{_PLOT_HEIGHT * (1 - (value - low) / spread):.1f}"
        for position, value in enumerate(values)
        if value is not None
    )


def _band(epochs: Sequence[EpochLine]) -> str:
    if not epochs:
        return ""
    top = max(float(line.left_usd_p90) for line in epochs) or 1.0
    step = _PLOT_WIDTH / max(len(epochs) - 1, 1)

    def points(values: Sequence[Decimal]) -> list[str]:
        return [
            f"{position * step:.1f},{_PLOT_HEIGHT * (1 - float(value) / top):.1f}"
            for position, value in enumerate(values)
        ]

    upper = points([line.left_usd_p90 for line in epochs])
    lower = points([line.left_usd_p10 for line in epochs])
    return " ".join([*upper, *reversed(lower)])


def _ends(values: Sequence[float]) -> tuple[float, float] | None:
    return (min(values), max(values)) if values else None


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ report.job.name }} · {{ report.run }}</title>
<style>
:root { color-scheme: light dark; --ink: #1b2733; --dim: #5c6b7a; --line: #d5dde5;
        --band: #bcd7ee; --mark: #0b6bb5; --paper: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --dim: #9aa8b5; --line: #34414d; --band: #23445f; --mark: #6cb6ef;
          --paper: #12181e; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p.dim, td.dim { color: var(--dim); } .scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; } svg { width: 100%; height: auto; overflow: visible; }
</style>
</head>
<body>
<h1>{{ report.job.name }}: {{ report.state }}</h1>
<p class="dim">run {{ report.run }} · {{ report.message }} · made
{{ report.made_at.strftime("%Y-%m-%d %H:%M:%S UTC") }}</p>
<p><strong>{{ report.charged_usd | usd }}</strong> charged to budget
{{ report.job.budget.name }}, {{ report.epochs_done }} of {{ report.job.epochs }} epochs in
{{ report.legs | length }} leg{{ "" if report.legs | length == 1 else "s" }}.</p>

<h2>Metric by epoch: {{ report.job.metric.name }}</h2>
{% if metric_points %}
<p class="dim">from {{ "%.4f" | format(metric_range[0]) }} to
{{ "%.4f" | format(metric_range[1]) }}</p>
<svg viewBox="0 -4 {{ width }} {{ height + 8 }}" role="img" aria-label="metric by epoch">
<polyline points="{{ metric_points }}" fill="none" stroke="var(--mark)" stroke-width="2"/>
</svg>
{% else %}
<p>No value of it was logged.</p>
{% endif %}

{% if left_band %}
<h2>Forecast of the cost still to come, P10 to P90, as it moved</h2>
<svg viewBox="0 -4 {{ width }} {{ height + 8 }}" role="img" aria-label="forecast by epoch">
<polygon points="{{ left_band }}" fill="var(--band)" stroke="none"/>
</svg>
{% endif %}

<h2>Legs</h2>
<div class="scroll"><table>
<tr><th>leg</th><th>flavor</th><th>capacity</th><th>started</th><th>ended</th><th>end</th>
<th class="n">charged</th></tr>
{% for leg in report.legs %}
<tr><td>{{ leg.leg }}</td><td>{{ leg.flavor }}</td><td>{{ leg.capacity.value }}</td>
<td>{{ leg.started_at.strftime("%H:%M:%S") if leg.started_at else "never" }}</td>
<td>{{ leg.ended_at.strftime("%H:%M:%S") if leg.ended_at else "" }}
{{ "" if leg.measured else "(a bound)" }}</td>
<td>{{ leg.end.value if leg.end else "" }}</td><td class="n">{{ leg.charged_usd }}</td></tr>
{% endfor %}
</table></div>

<h2>Money, line by line (USD)</h2>
<div class="scroll"><table>
<tr><th>time</th><th>kind</th><th>budget</th><th>leg</th><th>window</th><th>reason</th>
<th class="n">amount</th></tr>
{% for line in report.lines %}
<tr><td>{{ line.at.strftime("%H:%M:%S") }}</td><td>{{ line.kind.value }}</td>
<td>{{ line.budget }}</td><td>{{ line.leg or "" }}</td><td>{{ line.window or "" }}</td>
<td class="dim">{{ line.reason }}</td><td class="n">{{ line.amount_usd }}</td></tr>
{% endfor %}
</table></div>

<h2>Next time</h2>
{% for item in report.recommendations %}
<p><strong>{{ item.description }}</strong><br>
saves {{ item.saving_usd.p50 | usd }} ({{ item.saving_usd.p10 | usd }} to
{{ item.saving_usd.p90 | usd }}), an estimate; confidence {{ item.confidence }}:
{{ item.confidence_reason }}<br><code>{{ item.action }}</code></p>
{% else %}
<p>Nothing to recommend.</p>
{% endfor %}
</body>
</html>
"""
