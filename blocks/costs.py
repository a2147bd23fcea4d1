"""The report on many runs, read from the ledger and the price book alone: every door calls this."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from blocks.ledger.aggregates import Days
from blocks.ledger.book import Operations
from lowtide.money import from_micro
from lowtide.prices import PriceBook
from lowtide.report import (
    CostReport,
    MonthFigure,
    ReportAsk,
    RunFigures,
    figures,
    focus_row,
    midnight,
    shape,
)
from lowtide.report.advice_taken import Advised, Taken, taken

_A_MONTH = timedelta(days=31)
_TICK = timedelta(microseconds=1)


def cost_report(
    ledger: Operations,
    ask: ReportAsk,
    *,
    book: PriceBook | None,
    now: datetime,
    with_cells: bool = False,
) -> CostReport:
    """Return the report on some days.

    Args:
        ledger: The books.
        ask: Which days, by what.
        book: The prices, for what the same work would have cost; None: they are not to be had.
        now: The time.
        with_cells: Whether used time by day, window and budget is wanted too, as drawings need it.

    Returns:
        The report; one of days in which nothing happened says so.

    Raises:
        BadInputError: there is no such budget.
        UnavailableError: the ledger does not answer.
    """
    days = Days(start=ask.start, end=ask.end, budget=ask.budget)
    runs = [figures(facts, book=book) for facts in ledger.report_runs(days)]
    cells = ledger.report_cells(days, zone=ask.zone) if with_cells or ask.by.of_time else ()
    charged_usd = from_micro(sum(run.facts.charged_micro_usd for run in runs))
    before = Days(start=ask.before[0], end=ask.before[1], budget=ask.budget)
    report = shape(
        ask,
        runs,
        made_at=now,
        months=_months(ledger, ask, charged_usd=charged_usd, now=now),
        before_usd=ledger.charged_in([before])[0],
        cells=cells,
        budgets=ledger.budgets(min(now, ask.end - _TICK)) if with_cells else (),
    )
    return replace(report, runs=_with_metrics(ledger, report.runs))


def run_figures(
    ledger: Operations, run: str, *, book: PriceBook | None, gpu_utilization: float | None
) -> RunFigures | None:
    """Return what can be said about one run; None where there is none of that id.

    Args:
        ledger: The books.
        run: The run.
        book: The prices; None: they are not to be had.
        gpu_utilization: Mean share of the time in which its GPUs worked, 0 to 1; None: unknown.
    """
    facts = ledger.report_run(run)
    if facts is None:
        return None
    return figures(facts._replace(gpu_utilization=gpu_utilization), book=book)


def advice_taken(ledger: Operations, report: CostReport) -> tuple[Taken, ...]:
    """Say what became of the recommendations of the runs that a report shows one by one."""
    runs = sorted((run.facts for run in report.runs), key=lambda facts: facts.created_at)
    advised = ledger.recommended([facts.run for facts in runs])
    return taken(
        [
            Advised(job=facts.job, document=facts.document, kinds=advised.get(facts.run, {}))
            for facts in runs
        ]
    )


def focus_rows(ledger: Operations, ask: ReportAsk) -> Iterator[dict[str, str]]:
    """Yield the journal lines of some days as FOCUS rows, page by page.

    Args:
        ledger: The books.
        ask: Which days; billing months begin in its zone.

    Yields:
        One row for each line, in the order of the journal.

    Raises:
        BadInputError: there is no such budget.
    """
    days = Days(start=ask.start, end=ask.end, budget=ask.budget)
    after = 0
    while page := ledger.use_lines(days, after=after):
        yield from (focus_row(use, zone=ask.zone) for use in page)
        after = page[-1].line.id


def _months(
    ledger: Operations, ask: ReportAsk, *, charged_usd: Decimal, now: datetime
) -> tuple[MonthFigure, ...]:
    """Add up the last months; what the report has added up already is not read again."""
    stretches = [
        Days(
            start=midnight(first, ask.zone),
            end=midnight((first + _A_MONTH).replace(day=1), ask.zone),
            budget=ask.budget,
        )
        for first in ask.months
    ]
    reported = Days(start=ask.start, end=ask.end, budget=ask.budget)
    unread = [stretch for stretch in stretches if stretch != reported]
    charged = dict(zip(unread, ledger.charged_in(unread), strict=True))
    charged[reported] = charged_usd
    return tuple(
        MonthFigure(
            month=f"{first:%Y-%m}",
            runs=runs,
            charged_usd=charged[stretch],
            complete=stretch.end <= now,
        )
        for first, stretch, runs in zip(
            ask.months, stretches, ledger.made_in(stretches), strict=True
        )
    )


def _with_metrics(ledger: Operations, runs: Sequence[RunFigures]) -> tuple[RunFigures, ...]:
    best = ledger.best_metrics([run.facts.run for run in runs])
    return tuple(run._replace(metric=best.get(run.facts.run)) for run in runs)
