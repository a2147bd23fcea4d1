"""The ledger: who may spend what, and who did.

`Ledger` is the Prefect block. `Books` is the same without Prefect, which takes two seconds to
import: the name `Ledger` is looked up only when it is used.
"""

from typing import TYPE_CHECKING

from blocks.ledger.book import Books
from lowtide.ledger.records import (
    Charge,
    Event,
    Hold,
    JournalLine,
    Lease,
    LeaseHeld,
    LegRow,
    LineKind,
    RunRow,
    RunState,
    Stretch,
)
from lowtide.ledger.states import BudgetState, Crossing, Discrepancy, Override, ThresholdOf

if TYPE_CHECKING:
    from blocks.ledger.block import Ledger

__all__ = [
    "Books",
    "BudgetState",
    "Charge",
    "Crossing",
    "Discrepancy",
    "Event",
    "Hold",
    "JournalLine",
    "Lease",
    "LeaseHeld",
    "Ledger",
    "LegRow",
    "LineKind",
    "Override",
    "RunRow",
    "RunState",
    "Stretch",
    "ThresholdOf",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name == "Ledger":
            from blocks.ledger.block import Ledger  # noqa: PLC0415 - imports Prefect

            return Ledger
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
