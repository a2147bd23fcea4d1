"""What the MCP server has beside its tools: resources to read, prompts for the workflows."""

import json
from datetime import UTC, datetime

from pydantic import TypeAdapter

from apps import output
from apps.answers import run_document
from apps.books import budget_states, open_ledger, price_book
from blocks.settings import Settings
from lowtide.errors import BadInputError
from lowtide.ledger.records import RunState
from lowtide.prices.records import Sheet

_REPORTS_MAX = 20


def budgets() -> str:
    """Return what each budget has, holds and has charged in its period."""
    states = [state.document() for state in budget_states(None)]
    return json.dumps(output.document("budget-show", {"budgets": states}))


def prices() -> str:
    """Return the price sheet that is in force now: flavors, tariff windows, multipliers."""
    now = datetime.now(UTC)
    sheet = price_book(Settings()).sheet_at(now)
    plain = TypeAdapter(Sheet).dump_python(sheet, mode="json")
    return json.dumps(output.document("prices", {"at": now, "sheet": plain}))


def reports() -> str:
    """Return the newest ended runs, each with the address of its report here."""
    rows = open_ledger(Settings()).runs(state=RunState.COMPLETED, limit=_REPORTS_MAX)
    listed = [
        {
            "run": row.run,
            "job": row.name,
            "state": row.state.value,
            "message": row.message,
            "ended_at": row.changed_at,
            "uri": f"lowtide://reports/{row.run}",
        }
        for row in rows
    ]
    return json.dumps(output.document("reports", {"reports": listed}))


def report(run: str) -> str:
    """Return one run: its legs, its money, its recommendations, where its page is."""
    settings = Settings()
    ledger = open_ledger(settings)
    row = ledger.run(run)
    if row is None:
        msg = "there is no such run"
        raise BadInputError(msg, where="run", got=repr(run[:80]))
    return json.dumps(output.document("train", run_document(ledger, row, settings=settings)))


def train_within_a_budget(job: str, epochs: int, budget_usd: float) -> str:
    """Check a budget, offer the ways that fit, start the one the user picks."""
    return (
        f"Train {job} for {epochs} epochs with a budget of {budget_usd} US dollars. First call "
        f"check_training_budget with these figures and job {job!r}. If it does not fit, say by "
        "how much it is over and offer the options that fit, each with its price and what it "
        "changes. Wait for my choice; then call trigger_training_job with exactly that choice "
        "and max_usd set to the budget. Quote figures only from tool answers."
    )


def make_the_next_run_cheaper(run: str) -> str:
    """Explain what would have made a finished run cheaper, and what to do next."""
    return (
        f"Training {run} has finished. How can I reduce costs next time? Call "
        "recommend_cost_optimization, then explain each recommendation with its saving, "
        "confidence and risk. When I pick one, give its action word for word. Quote figures only "
        "from tool answers."
    )


def run_many_at_once(job: str, count: int) -> str:
    """Say how many trainings of a job can run at once, what they cost, and what else to do."""
    return (
        f"Can I train {count} of {job} simultaneously? Call get_training_quota with job {job!r} "
        f"and jobs {count}; say how many start now and for how much, how many wait, what all of "
        "them cost, and the ways out. Quote figures only from tool answers."
    )
