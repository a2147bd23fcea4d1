"""The clock, as a block: a flow takes it like any other part of the outside world.

Nothing else in flows, tasks and the domain reads the time, so a test can pass a clock that moves
when it is told to, and no test waits.
"""

import time
from datetime import UTC, datetime
from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import HttpUrl


class Clock(Block):
    """Tells the time and waits.

    Examples:
        Load a saved clock:
        ```python
        from blocks.clock import Clock

        clock = Clock.load("BLOCK_NAME")
        ```
    """

    _block_type_slug: ClassVar[str | None] = "lowtide-clock"
    _block_type_name: ClassVar[str | None] = "Lowtide Clock"
    _description: ClassVar[str | None] = "Tells flows the time, and waits for them."
    _documentation_url: ClassVar[HttpUrl | None] = HttpUrl(
        "https://example.invalid/lowtide/blocks"
    )

    def now(self) -> datetime:
        """Return the time, aware, UTC."""
        return datetime.now(UTC)  # noqa: TID251 - this is the clock

    def pause(self, duration_s: float) -> None:
        """Wait for so many seconds."""
        time.sleep(duration_s)  # noqa: TID251 - this is the clock
