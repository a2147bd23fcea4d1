"""Opens the books for a command: the ledger at its newest schema, with budgets to start from."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from blocks.ledger import Books
from blocks.settings import Settings
from lowtide.errors import BadInputError
from lowtide.ledger.states import BudgetState

if TYPE_CHECKING:
    from lowtide.job import TrainingJob
    from lowtide.prices import PriceBook


def prepare_ledger(settings: Settings, *, say: Callable[[str], None]) -> Books:
    """Bring the ledger to its newest schema; set the first budgets where there are none.

    Args:
        settings: Where ledger and budgets file are.
        say: Told what was done.

    Returns:
        The ledger.
    """
    ledger = Books(url=settings.ledger_address)
    ledger.migrate()
    now = datetime.now(UTC)
    if not ledger.budgets(now):
        from apps.files import read_yaml  # only the first time
        from lowtide.ledger.budgets import parse_budgets

        tree = parse_budgets(read_yaml(settings.budgets), source=str(settings.budgets))
        ledger.set_budgets(tree, actor="up", reason="first budgets", now=now)
        say(f"budgets set from {settings.budgets}")
    return ledger


def open_ledger(settings: Settings) -> Books:
    """Return the ledger, made on first use.

    A process that answers many questions, as the MCP server, gets the same one each time: bringing
    the tables up to date takes longer than most answers.
    """
    ledger = _opened.get(settings.ledger_address)
    if ledger is None:
        settings.home.mkdir(parents=True, exist_ok=True)
        ledger = prepare_ledger(settings, say=lambda _: None)
        _opened[settings.ledger_address] = ledger
    return ledger


_opened: dict[str, Books] = {}


def price_book(settings: Settings) -> "PriceBook":
    """Return the price book that the settings name, read without Prefect where it is a file."""
    if settings.prices.startswith("configmap:"):
        from blocks.world import open_prices  # imports Prefect

        return open_prices(settings).book()
    from blocks.price_books import book_at  # not every command has prices

    return book_at(settings.prices)


def budget_states(name: str | None) -> tuple[BudgetState, ...]:
    """Return how the budgets stand, or one of them.

    Raises:
        BadInputError: there is none of that name.
    """
    states = open_ledger(Settings()).budgets(datetime.now(UTC))
    if name is None:
        return states
    found = tuple(state for state in states if state.name == name)
    if not found:
        known = ", ".join(state.name for state in states)
        msg = "there is no such budget"
        raise BadInputError(
            msg,
            where=name,
            expected=f"one of {known or '(none)'}",
            remedy="`lowtide budget show` lists them",
        )
    return found


def check_job(job: "TrainingJob", *, settings: Settings, ledger: Books) -> None:
    """Refuse a job that names a flavor or a budget that does not exist.

    Raises:
        BadInputError: with the ones that do.
    """
    price_book(settings).flavor(job.resources.flavor)
    known = [budget.name for budget in ledger.budgets(datetime.now(UTC))]
    if job.budget.name not in known:
        msg = "there is no such budget"
        raise BadInputError(
            msg,
            where=f"job {job.name!r}: budget.name",
            expected=f"one of {', '.join(known) or '(none)'}",
            got=job.budget.name,
            remedy="`lowtide budget set --file F` makes budgets",
        )
