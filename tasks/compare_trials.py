"""The end of a sweep: its configurations side by side, and what the best of them cost."""

from collections.abc import Sequence
from decimal import Decimal

from lowtide.money import ZERO_USD, show_usd
from lowtide.sweep import SweepAsk, TrialResult, ranked
from tasks import show
from tasks.effect import effect


@effect(name="compare_trials")
def compare_trials(ask: SweepAsk, results: Sequence[TrialResult], *, sweep: str) -> str:
    """Show the configurations from the best to the worst, and return the sentence that sums up.

    Args:
        ask: What was asked for.
        results: What became of each.
        sweep: Id of the sweep.
    """
    order = ranked(results, goal=ask.job.metric.goal)
    sentence = _sentence(ask, order)
    lines = [f"# {ask.job.name}: sweep `{sweep}`", "", sentence, ""]
    lines += [f"| | configuration | {ask.job.metric.name} | epochs | charged | ended |"]
    lines += ["|---|---|---|---|---|---|"]
    lines += [
        f"| {place} | {show.configuration(result)} | {_value(result.best)} | {result.epochs_done} "
        f"| {show_usd(result.charged_usd)} | {result.state}: {result.message} |"
        for place, result in enumerate(order, start=1)
    ]
    show.markdown(f"{sweep}-comparison", title="Comparison", text="\n".join(lines))
    return sentence


def _sentence(ask: SweepAsk, order: Sequence[TrialResult]) -> str:
    charged_usd: Decimal = sum((result.charged_usd for result in order), ZERO_USD)
    tried = sum(result.epochs_done > 0 for result in order)
    money = f"{show_usd(charged_usd)} of {show_usd(ask.max_usd)} charged"
    if not order or order[0].best is None:
        return f"{tried} of {len(order)} configurations trained; none logged a value; {money}"
    best = order[0]
    return (
        f"{tried} of {len(order)} configurations trained; best {ask.job.metric.name} "
        f"{_value(best.best)} with {show.configuration(best)} (run {best.run}); {money}"
    )


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
