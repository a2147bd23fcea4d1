"""The whole ledger in one class, without Prefect."""

from blocks.ledger.aggregates import Aggregates
from blocks.ledger.audit import Audit
from blocks.ledger.charges import Charges
from blocks.ledger.fleets import Fleets
from blocks.ledger.holds import Holds
from blocks.ledger.legs import Legs
from blocks.ledger.lessons import Lessons
from blocks.ledger.limits import Limits
from blocks.ledger.migrate import Migrations
from blocks.ledger.runs import Runs
from blocks.ledger.sweep import Sweep
from blocks.ledger.tree import Trees


class Operations(
    Runs,
    Legs,
    Holds,
    Charges,
    Sweep,
    Trees,
    Limits,
    Audit,
    Aggregates,
    Fleets,
    Lessons,
    Migrations,
):
    """Everything that can be done with the books."""


class Books(Operations):
    """The ledger for callers that need no Prefect block: importing it takes half a second.

    Args:
        url: `sqlite:////absolute/path` or `postgresql+psycopg://host/database`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
