"""One sum of money that several runs share, as the trials of a sweep do.

What a run gives back is free for the others, so what it may take again is not what it once had. Whoever
takes of the sum reads what is left and takes it while all others wait.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from threading import Lock


@dataclass(slots=True, kw_only=True)
class SharedSum:
    """What several runs of one process may hold and spend, all together.

    Attributes:
        whose: Whose money it is, in words.
        left_usd: Returns what no run has used and none holds; US dollars.
    """

    whose: str
    left_usd: Callable[[], Decimal]
    _lock: Lock = field(default_factory=Lock, repr=False)

    @contextmanager
    def left(self) -> Generator[Decimal]:
        """Tell what is left, and keep the others from it as long as the block runs.

        Example:
            >>> purse = SharedSum(whose="the sweep's", left_usd=lambda: Decimal(3))
            >>> with purse.left() as left_usd:
            ...     left_usd
            Decimal('3')
        """
        with self._lock:
            yield self.left_usd()
