"""A "no" is a value: what is short, why, and what to do about it."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class RefusalReason(StrEnum):
    """Why a run may not start. The values are a contract: they are stored and sent to programs."""

    BUDGET = "budget"
    """A budget on the way to the root has too little left."""
    JOB_LIMIT = "job-limit"
    """The job's own `budget.max_usd` is less than its upper forecast."""
    PRICE_UNKNOWN = "price-unknown"
    """The price book has no price for a part of the time; unknown never counts as 0."""
    FORECAST_UNKNOWN = "forecast-unknown"
    """No epoch was measured, no history exists, and the job gives no `expected_epoch_s`."""
    DEADLINE = "deadline"
    """No option finishes in time."""
    QUOTA = "quota"
    """The cluster's quota can never fit the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Something may not happen, and nothing was changed.

    Attributes:
        reason: Which rule said no.
        gap_usd: What is lacking, US dollars, > 0; None where the gap is not money.
        budget: Name of the budget that said no; None where it was not a budget.
        message: One sentence for a person: who, asked, left.
        remedy: What can be done about it, one sentence.
    """

    reason: RefusalReason
    message: str
    remedy: str
    gap_usd: Decimal | None = None
    budget: str | None = None
