"""Answers `lowtide plan`: what the job and the books say, as ranked ways to run."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from apps.books import check_job, open_ledger, price_book
from apps.files import read_job
from blocks.history import past_runs
from blocks.ledger import Books
from blocks.settings import Settings
from lowtide.job import TrainingJob
from lowtide.ledger.states import path_to
from lowtide.money import UsdRange, show_usd
from lowtide.plan import Plan, make_plan, plan_ask
from lowtide.verdict import Refused
from lowtide.words import show_duration

_WIDTH_MIN = 120


def plan_of(named: str | None, *, changes: Sequence[str]) -> Plan | Refused:
    """Return the ranked ways to run a job, judged by its deadline and what its budgets have left.

    Args:
        named: A job file, or a job's name; None: the default job.
        changes: `key.path=value` pairs that win over the file.

    Raises:
        BadInputError: the job, its flavor or its budget is not usable.
    """
    settings = Settings()
    job = read_job(named, changes=changes, settings=settings)
    ledger = open_ledger(settings)
    check_job(job, settings=settings, ledger=ledger)
    now = datetime.now(UTC)
    ask = plan_ask(
        job,
        book=price_book(settings),
        now=now,
        budget_usd=_left_usd(ledger, job, now=now),
        history=past_runs(ledger, job),
    )
    return ask if isinstance(ask, Refused) else make_plan(ask)


def _left_usd(ledger: Books, job: TrainingJob, *, now: datetime) -> Decimal:
    """Return what the tightest of the budgets above the job has left, or the job's own limit."""
    own_usd = [] if job.budget.max_usd is None else [job.budget.max_usd]
    path = path_to(ledger.budgets(now), job.budget.name)
    return min(own_usd + [state.available_usd for state in path])


def print_plan(plan: Plan) -> None:
    """Print a plan for a person."""
    ask = plan.ask
    table = Table("", "option", "cost", "saves", "starts", "done by", "in time", "fits")
    for rank, option in enumerate(plan.options, 1):
        table.add_row(
            str(rank),
            option.kind.value,
            _cost(option.cost_usd),
            show_usd(option.saves_usd),
            f"{option.start:%d %b %H:%M}",
            f"{option.finish.p50:%d %b %H:%M} (latest {option.finish.p90:%d %b %H:%M})",
            _word(option.meets_deadline),
            _word(option.fits_budget),
        )
    # Where no terminal sets the width, the table takes what it needs.
    Console(width=None if sys.stdout.isatty() else _WIDTH_MIN).print(table)
    for rank, option in enumerate(plan.options, 1):
        print(f"{rank}. {option.why}. Risk: {option.risk}.")
    due = "no deadline" if ask.deadline is None else f"deadline {ask.deadline:%d %b %H:%M %Z}"
    left = "no limit" if ask.budget_usd is None else f"{show_usd(ask.budget_usd)} left"
    print(f"work {show_duration(ask.time.p50)}, {due}, budget {left}; times are UTC")


def _cost(cost: UsdRange) -> str:
    return f"{show_usd(cost.p50)} ({show_usd(cost.p10)} to {show_usd(cost.p90)})"


def _word(fact: bool | None) -> str:  # noqa: FBT001 - a fact, not a switch
    return {True: "yes", False: "no", None: "-"}[fact]
