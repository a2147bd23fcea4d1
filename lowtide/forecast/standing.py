"""Where a run stands against its money: what it will have cost in all, and what there is for it.

What is still to come falls with every epoch, whether or not anything was learnt; what the run will
have cost in all moves only when the forecast does. So the whole is what a change is told by.
"""

from dataclasses import dataclass
from decimal import Decimal

from lowtide.forecast.cost import breach_probability, moved
from lowtide.money import UsdRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A run's whole cost beside what there is for it.

    Attributes:
        spent_usd: What it has cost so far, US dollars.
        to_come_usd: What it will still cost, US dollars.
        limit_usd: The most it can cost: its hold, and what the tightest budget above it still has,
            or its own limit; US dollars.
        limited_by: Whose limit that is.
    """

    spent_usd: Decimal
    to_come_usd: UsdRange
    limit_usd: Decimal
    limited_by: str

    @property
    def total_usd(self) -> UsdRange:
        """What it will have cost in all, US dollars."""
        ahead = self.to_come_usd
        return UsdRange(
            p10=self.spent_usd + ahead.p10,
            p50=self.spent_usd + ahead.p50,
            p90=self.spent_usd + ahead.p90,
        )

    @property
    def breach_probability(self) -> float:
        """How likely it costs more than there is."""
        return breach_probability(self.total_usd, budget_usd=self.limit_usd)

    @property
    def breaches(self) -> bool:
        """Whether its upper forecast is more than there is: the verdict that a gate would give."""
        return self.total_usd.p90 > self.limit_usd


def worth_telling(told: Standing | None, latest: Standing) -> bool:
    """Say whether a forecast changed enough to tell anybody.

    Args:
        told: What was told last; None: nothing yet.
        latest: What is known now.

    Returns:
        Whether the middle of the whole cost moved by more than 5 %, or the verdict changed.

    Examples:
        >>> def after(epochs: int, epoch_usd: str, limit_usd: str = "20") -> Standing:
        ...     left_usd = (10 - epochs) * Decimal(epoch_usd)
        ...     return Standing(
        ...         spent_usd=epochs * Decimal(1),
        ...         to_come_usd=UsdRange(p10=left_usd, p50=left_usd, p90=left_usd),
        ...         limit_usd=Decimal(limit_usd),
        ...         limited_by="research",
        ...     )
        >>> (
        ...     worth_telling(after(1, "1"), after(5, "1")),
        ...     worth_telling(after(1, "1"), after(5, "2")),
        ... )
        (False, True)
        >>> worth_telling(after(1, "1"), after(5, "1", limit_usd="9"))
        True
    """
    if told is None:
        return True
    return moved(told.total_usd, latest.total_usd) or told.breaches != latest.breaches
