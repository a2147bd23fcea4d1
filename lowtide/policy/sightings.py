"""What a run has seen of its spot capacity: a summary that one more sighting updates.

A policy needs the age of the present stretch and how long the last ones were. Both can be kept up
to date without keeping the history, so an observation stays small and can be stored with every
decision.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from lowtide.policy.zone import rhythm


@dataclass(frozen=True, slots=True, kw_only=True)
class Sightings:
    """What was seen of one kind of spot capacity.

    Attributes:
        available: Whether it is there now; None: nobody has looked, or the answer is too old.
        since: When the present stretch began, as far as was seen; aware.
        absence_s: How long the last absence that ended had lasted; None: none was seen.
        presence_s: How long the last presence that ended had lasted; None: none was seen.
        usd_per_h: What it costs now for the whole demand; None: unknown.
        seen_at: When somebody last looked; aware.
    """

    available: bool | None = None
    since: datetime | None = None
    absence_s: float | None = None
    presence_s: float | None = None
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
            >>> first = Sightings().seen(noon, available=True, usd_per_h=1.0)
            >>> later = first.seen(one, available=False, usd_per_h=1.0)
            >>> later.since == one, later.presence_s, later.absence_s
            (True, 3600.0, None)
        """
        changed = available != self.available or self.since is None
        ended_s = self.age_s(now) if changed and self.since is not None else None
        was_there = self.available
        # Not by `replace`, which takes four times as long: a back-test has half a million of these.
        return Sightings(
            available=available,
            since=now if changed else self.since,
            absence_s=self.absence_s if ended_s is None or was_there else ended_s,
            presence_s=ended_s if ended_s is not None and was_there else self.presence_s,
            usd_per_h=usd_per_h,
            seen_at=now,
        )

    def unsure(self, now: datetime) -> "Sightings":
        """Return the summary when nobody can tell any more whether capacity is there."""
        return replace(self, available=None, since=None, seen_at=now)

    @property
    def rhythm(self) -> int:
        """The class of how long the last stretches were, as `lowtide.policy.zone` counts them."""
        return rhythm(absence_s=self.absence_s, presence_s=self.presence_s)

    def age_s(self, now: datetime) -> float:
        """Return for how long it has been as it is, seconds; 0 where nobody knows."""
        return 0.0 if self.since is None else (now - self.since).total_seconds()
