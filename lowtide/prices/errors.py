"""The one thing that pricing can't say: a price that nobody knows."""

from datetime import datetime

from lowtide.errors import LowtideError


class PriceUnknownError(LowtideError):
    """The price book has no price for a part of the time; unknown refuses, it never counts as 0.

    Callers at the gate turn it into a refusal (`RefusalReason.PRICE_UNKNOWN`).

    Args:
        message: What has no price, when and why.
        at: The first moment that has none.
        where: Which book.
        remedy: What the reader can do next.
    """

    kind = "price-unknown"

    def __init__(
        self, message: str, *, at: datetime, where: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message, where=where, remedy=remedy)
        self.at = at
