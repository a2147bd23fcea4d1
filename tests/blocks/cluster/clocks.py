"""A clock that nobody waits for: pauses are written down, and are over at once."""

from datetime import datetime, timedelta
from typing import ClassVar

from pydantic import PrivateAttr
from typing_extensions import override

from blocks.clock import Clock


class NotedClock(Clock):
    """Tells the real time, moved on by every pause that was asked for."""

    _block_type_slug: ClassVar[str | None] = "lowtide-noted-clock"

    _pauses_s: list[float] = PrivateAttr(default_factory=list[float])

    @property
    def pauses_s(self) -> list[float]:
        """Every pause so far."""
        return self._pauses_s

    @override
    def now(self) -> datetime:
        return super().now() + timedelta(seconds=sum(self._pauses_s))

    @override
    def pause(self, duration_s: float) -> None:
        self._pauses_s.append(duration_s)
