"""Answers in a few lines of text, for a person and for a model; money is rounded here alone."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from lowtide.check import Check
from lowtide.compare import Comparison, Row
from lowtide.money import show_usd
from lowtide.recommend import Advice
from lowtide.report import CostReport
from lowtide.report.document import averages
from lowtide.report.markdown import headline, title
from lowtide.words import show_duration

_ROWS_MAX = 30


def check_text(found: Check) -> str:
    """Return the answer to "does it fit?", without the options."""
    forecast = found.forecast_usd
    over = f", over by {show_usd(found.over_usd)}" if found.over_usd else ""
    span = f"{show_usd(forecast.p10)} to {show_usd(forecast.p90)}"
    hold = show_usd(found.quote.hold_usd)
    return "\n".join(
        (
            f"budget         {show_usd(found.budget_usd)}",
            f"forecast cost  {show_usd(forecast.p50)}  ({span}; hold {hold})",
            f"utilisation    {found.utilisation_pct} %",
            f"status         {'feasible' if found.feasible else 'not feasible' + over}",
            f"rests on       {found.quote.time.explanation}",
        )
    )


def options_text(found: Check) -> str:
    """Return the other ways to run a job, one a line; empty where there are none."""
    return "\n".join(
        f"option {rank}: {option.kind} {show_usd(option.cost_usd.p50)}, saves "
        f"{show_usd(option.saves_usd)}, {'fits' if option.fits_budget else 'does not fit'}: "
        f"{option.why}"
        for rank, option in enumerate(found.options, 1)
    )


def forecast_text(document: Mapping[str, Any], *, named: str) -> str:
    """Return a `forecast` document as text.

    Args:
        document: The document.
        named: What the caller asked about.
    """
    time = document["time_remaining_s"]
    cost = {name: Decimal(usd) for name, usd in document["cost_usd"].items()}
    span = f"{show_duration(time['p10'])} to {show_duration(time['p90'])}"
    return "\n".join(
        (
            f"{document['run'] or named}: {document['epochs_remaining']} epochs remaining",
            f"time  {show_duration(time['p50'])}  ({span})",
            f"cost  {show_usd(cost['p50'])}  ({show_usd(cost['p10'])} to {show_usd(cost['p90'])})",
            str(document["explanation"]),
            *_best_to_expect(document["metric"]),
        )
    )


def _best_to_expect(metric: Mapping[str, Any] | None) -> tuple[str, ...]:
    if metric is None:
        return ()
    basis = "a curve through its values" if metric["based_on"] == "curve" else "the best so far"
    span = f"{metric['p10']:.4f} to {metric['p90']:.4f}"
    return (f"best {metric['name']} to expect {metric['p50']:.4f}  ({span}), from {basis}",)


def advice_text(advice: Advice) -> str:
    """Return recommendations as a numbered list, with what was left out and why."""
    lines = [f"{advice.run} cost {show_usd(advice.cost_usd)}"]
    for number, item in enumerate(advice.recommendations, 1):
        saving = item.saving_usd
        span = f"{show_usd(saving.p10)} to {show_usd(saving.p90)}, {item.saving_pct:.0f} %"
        trust = f"confidence {item.confidence}: {item.confidence_reason}"
        lines += (
            f"{number}. {item.description}",
            f"   saves {show_usd(saving.p50)} ({span}), {trust}",
            f"   risk: {item.risk}",
            f"   {item.action}",
        )
    combined = show_usd(advice.combined_saving_usd.p50)
    lines.append(f"all together: {combined}" if advice.recommendations else "nothing to recommend")
    lines += (f"note: {note}" for note in advice.notes)
    return "\n".join(lines)


def report_text(report: CostReport) -> str:
    """Return a report in a few lines: the runs, the totals, the averages, the months."""
    lines = [title(report), headline(report)]
    for run in report.runs[:_ROWS_MAX]:
        facts = run.facts
        metric = "no metric" if run.metric is None else f"metric {run.metric:.4f}"
        used = show_duration(facts.used_s) if facts.legs else "never ran"
        lines.append(f"{facts.run} {facts.job}: {used}, {show_usd(facts.charged_usd)}, {metric}")
    more = report.runs_left_out + max(len(report.runs) - _ROWS_MAX, 0)
    if more:
        lines.append(f"and {more} more runs")
    if not report.is_empty:
        average = averages(report.totals)
        lines.append(
            f"on average {show_usd(Decimal(average['charged_usd'] or 0))} a run"
            if average["runs"]
            else str(average["reason"])
        )
        lines += (
            f"{month.month}: {month.runs} runs, {show_usd(month.charged_usd)}"
            for month in report.months
            if month.runs
        )
    return "\n".join(lines)


def comparison_text(found: Comparison) -> str:
    """Return configurations one a line; those that nothing beats are marked with a star."""
    lines = [_row_text(row) for row in found.rows[:_ROWS_MAX]]
    if len(found.rows) > _ROWS_MAX:
        lines.append(f"and {len(found.rows) - _ROWS_MAX} more in the structured answer")
    lines.append(f"* nothing else is better in cost, time and {found.goodness_by} at once")
    return "\n".join(lines)


def _row_text(row: Row) -> str:
    parts = [", ".join(f"{key} {value}" for key, value in row.config.document().items())]
    if row.time_s is not None:
        parts.append(show_duration(row.time_s.p50))
    if row.cost_usd is not None:
        parts.append(show_usd(row.cost_usd.p50))
    if row.metric is not None:
        parts.append(f"metric {row.metric.p50:.4f}")
    parts.append("feasible" if row.feasible else "not feasible")
    if row.reason:
        parts.append(row.reason)
    return f"{'*' if row.pareto else ' '} {row.index}: {'; '.join(part for part in parts if part)}"
