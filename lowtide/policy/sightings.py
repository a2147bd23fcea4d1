"""What a run has seen of its spot capacity: a summary that one more sighting updates.

A policy needs the age of the present stretch and how much of recent time capacity was there. Both
can be kept up to date without keeping the history, so an observation stays small and can be stored
with every decision.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime

from lowtide.policy.zone import MEMORY_S, PRIOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Sightings:
    """What was seen of one kind of spot capacity.

    Attributes:
        available: Whether it is there now; None: nobody has looked, or the answer is too old.
        since: When the present stretch began, as far as was seen; aware.
        share: Recent share of time in which it was there, 0 to 1.
        usd_per_h: What it costs now for the whole demand; None: unknown.
        seen_at: When somebody last looked; aware.
    """

    available: bool | None = None
    since: datetime | None = None
    share: float = PRIOR.share
    usd_per_h: float | None = None
    seen_at: datetime | None = None

    def seen(self, now: datetime, *, available: bool, usd_per_h: float | None) -> "Sightings":
        """Return the summary with one more sighting.

        Between two sightings capacity counts as what the earlier one found.

        Args:
            now: Aware, not before the last sighting.
            available: Whether it is there.
            usd_per_h: What it costs; None where the price cannot be seen.

        Examples:
            >>> noon = datetime.fromisoformat("2026-11-23T12:00:00Z")
            >>> one = datetime.fromisoformat("2026-11-23T13:00:00Z")
            >>> first = Sightings(share=0.5).seen(noon, available=True, usd_per_h=1.0)
            >>> later = first.seen(one, available=True, usd_per_h=1.0)
            >>> later.since == noon, round(later.share, 2)
            (True, 0.54)
        """
        # Not by `replace`, which takes four times as long: a back-test has half a million of these.
        return Sightings(
            available=available,
            since=self.since if available == self.available and self.since else now,
            share=self.share_at(now),
            usd_per_h=usd_per_h,
            seen_at=now,
        )

    def unsure(self, now: datetime) -> "Sightings":
        """Return the summary when nobody can tell any more whether capacity is there."""
        return replace(self, available=None, since=None, share=self.share_at(now), seen_at=now)

    def share_at(self, now: datetime) -> float:
        """Return the recent share as it is by now."""
        if self.available is None or self.seen_at is None or now == self.seen_at:
            return self.share
        kept = math.exp(-(now - self.seen_at).total_seconds() / MEMORY_S)
        return self.share * kept + (1 - kept) * self.available

    def age_s(self, now: datetime) -> float:
        """Return for how long it has been as it is, seconds; 0 where nobody knows."""
        return 0.0 if self.since is None else (now - self.since).total_seconds()
