"""Asks for a run's end: whoever owns it, or finds it next, ends it at a checkpoint."""

from datetime import datetime
from typing import TYPE_CHECKING

from blocks.ledger.book import Operations
from lowtide.events import EventKind

if TYPE_CHECKING:
    from blocks.runner import Runner  # imports Prefect, which a command line need not


def ask_stop(ledger: Operations, run: str, *, reason: str, now: datetime) -> None:
    """Write down that a run is to end; repeating it changes nothing.

    Args:
        ledger: The books.
        run: Id of the run.
        reason: Why, for whoever reads the run's log.
        now: The time.
    """
    ledger.log(
        run, kind=EventKind.STOP_ASKED, key=EventKind.STOP_ASKED, body={"reason": reason}, now=now
    )


def stop_now(
    ledger: Operations, runner: "Runner", run: str, *, reason: str, now: datetime
) -> None:
    """Ask for a run's end, and tell its runner at once, in case nobody watches it.

    Args:
        ledger: The books.
        runner: What runs its legs.
        run: Id of the run.
        reason: Why.
        now: The time.
    """
    ask_stop(ledger, run, reason=reason, now=now)
    for leg in ledger.legs(run):
        if leg.end is None:
            runner.stop(run, leg.leg)
