"""A training that a program asks for on somebody's behalf: checked and priced, then started.

Between the two a door can ask a person, or count what a conversation has spent. Nothing here holds
money: that is the flow's gate, which every training passes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from apps.books import open_ledger, price_book
from apps.files import job_path
from blocks.history import past_runs
from blocks.settings import Settings
from lowtide.check import check_training_budget
from lowtide.errors import BadInputError
from lowtide.money import show_usd
from lowtide.verdict import Refused

if TYPE_CHECKING:
    from apps.training import Training

_SENTENCE = re.compile(
    r"(?P<name>[a-z0-9][-a-z0-9_/]*)"
    r"(?:\s+(?:with|for)\s+(?P<epochs>\d+)\s+epochs?)?"
    r"(?:,?\s+(?:and\s+)?(?:with\s+)?batch[ _-]size\s+(?P<batch_size>\d+))?",
    re.IGNORECASE,
)
_ANY_BUDGET_USD = Decimal(1_000_000_000)
_SHOWN_MAX = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """A training that was asked for and not started.

    Attributes:
        training: What would be started.
        forecast_usd: Its likely cost, US dollars.
        hold_usd: The most that the gate would hold for it, whenever it starts, US dollars.
    """

    training: "Training"
    forecast_usd: Decimal
    hold_usd: Decimal

    @property
    def question(self) -> str:
        """What a person is asked to agree to."""
        job = self.training.ask.job
        return (
            f"train {job.name}: {job.epochs} epochs, batch size {job.batch_size}, "
            f"{job.capacity.value} capacity, policy {job.policy.value}; forecast "
            f"{show_usd(self.forecast_usd)}, up to {show_usd(self.hold_usd)} held on budget "
            f"{job.budget.name}"
        )

    def submit(self) -> dict[str, Any]:
        """Hand the training to the worker, whose first step is the gate.

        Returns:
            The body of the `train` document.

        Raises:
            UnavailableError: Prefect or MLflow is not running.
        """
        return self.training.hand_over()


def prepare_training(sentence: str, **changes: object) -> Spending | Refused:
    """Check and price a training; nothing is started, nothing is held.

    Args:
        sentence: A job's name, or "NAME with N epochs".
        changes: Keys of the job file, as in `epochs` or `budget.max_usd`, and `key`; None: not
            asked for.

    Returns:
        What would be started, or why its cost is not known.

    Raises:
        BadInputError: there is no such job, or a change does not fit it.
    """
    from apps.training import Training  # imports Prefect's parts

    name, said = _read(sentence)
    for key, value in said.items():
        if changes.get(key) not in {None, value}:
            msg = f"the job's sentence says {value} and the parameter {changes[key]}"
            raise BadInputError(msg, where=key, remedy="give it once")
        changes[key] = value
    key = changes.pop("key", None)
    settings = Settings()
    training = Training.asked(
        str(job_path(name, settings=settings)),
        changes=list(_pairs(changes)),
        key=None if key is None else str(key),
        new=False,
    )
    job = training.ask.job
    found = check_training_budget(
        job,
        budget_usd=_ANY_BUDGET_USD,
        book=price_book(settings),
        now=datetime.now(UTC),
        history=past_runs(open_ledger(settings), job),
    )
    if isinstance(found, Refused):
        return found
    return Spending(
        training=training, forecast_usd=found.forecast_usd.p50, hold_usd=found.quote.hold_usd
    )


def _pairs(changes: dict[str, object]) -> Iterator[str]:
    for path, value in changes.items():
        if value is not None:
            yield f"{path}={value}"


def _read(sentence: str) -> tuple[str, dict[str, int]]:
    match = _SENTENCE.fullmatch(sentence.strip())
    if match is None:
        msg = "the training that is meant is not clear"
        raise BadInputError(
            msg,
            where="job",
            expected='a job\'s name, or "NAME with N epochs"',
            got=repr(sentence[:_SHOWN_MAX]),
            remedy="say it so, as in digits with 2 epochs",
        )
    numbers = {
        key: int(value) for key, value in match.groupdict().items() if key != "name" and value
    }
    return match["name"].lower(), numbers
