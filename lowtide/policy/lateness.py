"""How late a run may be, and what would still save its deadline.

A deadline that was accepted is kept as long as the work stays within the forecast that it was
accepted with. When it does not, the run says so at once, while something can still be done about it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from lowtide.plain import plain_moment
from lowtide.policy.observation import EPSILON_S, Observation
from lowtide.words import show_duration

_NEWS_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """A run whose upper forecast ends after its deadline.

    Attributes:
        late_s: By how much, seconds.
        done_by: When it would be done, had it to run from now on without a break; aware.
        ways: What would still save it, each a part of a sentence; not empty.
    """

    late_s: float
    done_by: datetime
    ways: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """All of it, for a person."""
        return (
            f"by its upper forecast it is {show_duration(self.late_s)} late; "
            f"what would still save it: {', or '.join(self.ways)}"
        )

    def is_news(self, told_s: float) -> bool:
        """Say whether to tell it: at first, and again when it has doubled.

        Args:
            told_s: What was told last; 0: nothing yet.
        """
        return told_s <= 0 or self.late_s > max(2 * told_s, told_s + _NEWS_S)


def lateness(seen: Observation) -> Lateness | None:
    """Return how late a run may be; None where it is in time, or has no deadline.

    Examples:
        >>> from dataclasses import replace
        >>> from lowtide.job import PolicyName
        >>> from lowtide.policy.observation import Tariff
        >>> noon = datetime.fromisoformat("2026-11-23T12:00:00Z")
        >>> three = noon + timedelta(hours=3)
        >>> seen = Observation(
        ...     policy=PolicyName.RUN_NOW,
        ...     now=noon,
        ...     ready_at=noon,
        ...     deadline=three,
        ...     work_s=4 * 3600,
        ...     work_left_s=2.5 * 3600,
        ...     work_left_s_p90=3 * 3600,
        ...     epochs_left=6,
        ...     held=None,
        ...     changeover_s=60,
        ...     changeover_s_max=60,
        ...     poll_s=5,
        ...     on_demand=(Tariff(start=noon, end=three, usd_per_h=1.0),),
        ... )
        >>> lateness(seen) is None
        True
        >>> late = lateness(replace(seen, work_left_s_p90=4 * 3600))
        >>> late.late_s
        3600.0
        >>> for way in late.ways:
        ...     print(way)
        a deadline of 2026-11-23T16:01:00+00:00 or later
        4 instead of the 6 epochs left
        capacity 1.35 times as fast
        no change of capacity any more, with which the middle forecast is in time
    """
    if seen.deadline is None or seen.slack_s >= -EPSILON_S:
        return None
    return Lateness(
        late_s=-seen.slack_s,
        done_by=seen.now + timedelta(seconds=seen.work_left_s_p90),
        ways=tuple(_ways(seen, left_s=(seen.deadline - seen.now).total_seconds())),
    )


def _ways(seen: Observation, *, left_s: float) -> Iterator[str]:
    soonest = seen.now + timedelta(seconds=seen.work_left_s_p90)
    whole = soonest.replace(second=0, microsecond=0) + timedelta(minutes=1)
    yield f"a deadline of {plain_moment(whole)} or later"
    if seen.epochs_left > 0 and left_s > 0:
        epochs = math.floor(left_s / (seen.work_left_s_p90 / seen.epochs_left) + EPSILON_S)
        if epochs > 0:
            yield f"{epochs} instead of the {seen.epochs_left} epochs left"
    spare_s = left_s - seen.changeover_s
    if spare_s > 0:
        # To move there takes a changeover too. Rounded up: a little too fast is in time.
        yield f"capacity {math.ceil(100 * seen.work_left_s_p90 / spare_s) / 100:g} times as fast"
    if 0 < seen.work_left_s <= left_s:
        yield "no change of capacity any more, with which the middle forecast is in time"
