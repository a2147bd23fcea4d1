"""What one conversation may set aside, whoever talks: a model cannot talk it out of its limit."""

from dataclasses import dataclass, field
from decimal import Decimal
from threading import Lock

from apps.trainings import Spending
from lowtide.money import ZERO_USD, show_usd


@dataclass(slots=True, kw_only=True)
class Purse:
    """A limit on the sum of the holds of all runs that a conversation starts.

    Attributes:
        limit_usd: The limit, US dollars.
    """

    limit_usd: Decimal
    _taken: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    _lock: Lock = field(default_factory=Lock)

    @property
    def taken_usd(self) -> Decimal:
        """What the conversation has set aside so far, US dollars."""
        return sum(self._taken.values(), ZERO_USD)

    def take(self, spending: Spending) -> str | None:
        """Count a training in, before it is started; the same run counts once.

        Returns:
            Why it may not be started; None: it may.
        """
        with self._lock:
            run = spending.training.run
            left_usd = self.limit_usd - self.taken_usd + self._taken.get(run, ZERO_USD)
            if spending.hold_usd > left_usd:
                return (
                    f"this conversation may set aside {show_usd(self.limit_usd)}, "
                    f"{show_usd(left_usd)} of it is left, and up to "
                    f"{show_usd(spending.hold_usd)} would be held"
                )
            self._taken[run] = spending.hold_usd
            return None

    def give_back(self, spending: Spending) -> None:
        """Count a training out that was not started after all."""
        with self._lock:
            self._taken.pop(spending.training.run, None)
