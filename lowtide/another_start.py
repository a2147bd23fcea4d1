"""When a run that money is short for is tried again: with a limit's next period, or when it costs less.

Waiting helps in these two ways only. Which start would do is worked out from what is known now;
nothing is promised by it, and the gate looks again when the run starts. So what others hold counts as
given back once a period is over, and a run that finds too little money after all waits once more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from lowtide.money import show_usd
from lowtide.verdict import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What one limit leaves a run.

    Attributes:
        name: Whose limit it is, as "budget 'research'".
        left_usd: What it leaves now, US dollars; negative after an overrun.
        whole_usd: What it leaves in a period in which nobody has spent anything.
        renewed_at: When its next period begins, aware; None: it never begins anew.
    """

    name: str
    left_usd: Decimal
    whole_usd: Decimal
    renewed_at: datetime | None = None

    def left_at(self, at: datetime) -> Decimal:
        """Return what it leaves at a later time."""
        is_new = self.renewed_at is not None and at >= self.renewed_at
        return self.whole_usd if is_new else self.left_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A later start, and what has to be held for it.

    Attributes:
        at: When, aware.
        needed_usd: What would have to be held, US dollars.
    """

    at: datetime
    needed_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """When the run is tried again.

    Attributes:
        at: When, aware.
        reason: What is short now and what changes by then, one sentence.
    """

    at: datetime
    reason: str


def next_chance(
    refused: Refused,
    *,
    limits: Sequence[Limit],
    starts: Sequence[Start],
    last_start: datetime,
    last_why: str,
) -> Chance | Refused:
    """Find the first later start that the money is there for, or say why there is none.

    Args:
        refused: What the gate said.
        limits: All limits on what the run may hold, from the outermost in.
        starts: Later starts whose price is known.
        last_start: No later one will do; aware.
        last_why: Why not, as "its deadline of 2026-12-01 needs a start".

    Returns:
        The start, or the refusal with the reason that waiting would not help.

    Examples:
        >>> from lowtide.verdict import RefusalReason
        >>> noon, midnight = (
        ...     datetime.fromisoformat("2026-11-23T12:00:00Z"),
        ...     datetime.fromisoformat("2026-11-24T00:00:00Z"),
        ... )
        >>> short = Refused(reason=RefusalReason.BUDGET, message="$1 is left, not $2", remedy="")
        >>> day = Limit(
        ...     name="budget 'lab'", left_usd=Decimal(1), whole_usd=Decimal(5), renewed_at=midnight
        ... )
        >>> next_chance(
        ...     short,
        ...     limits=[day],
        ...     starts=[Start(at=midnight, needed_usd=Decimal(2))],
        ...     last_start=midnight,
        ...     last_why="it is in no hurry",
        ... ).reason
        "$1 is left, not $2; the next period of budget 'lab' begins then"
    """
    in_order = sorted(starts, key=lambda start: start.at)
    fitting = [start for start in in_order if _short_of(limits, start) is None]
    if not fitting:
        return _in_vain(refused, _why_never(limits, in_order))
    first = fitting[0]
    if first.at > last_start:
        return _in_vain(
            refused,
            f"the money would be there at {first.at:%Y-%m-%d %H:%M} UTC, and {last_why} by "
            f"{last_start:%Y-%m-%d %H:%M} UTC",
        )
    return Chance(at=first.at, reason=f"{refused.message}; {_what_changes(limits, first)}")


def _short_of(limits: Sequence[Limit], start: Start) -> Limit | None:
    """Return the innermost limit that leaves too little for a start; None where it fits."""
    short = [limit for limit in limits if start.needed_usd > limit.left_at(start.at)]
    return short[-1] if short else None


def _what_changes(limits: Sequence[Limit], start: Start) -> str:
    renewed = [limit for limit in limits if start.needed_usd > limit.left_usd]
    if renewed:
        names = " and ".join(limit.name for limit in renewed)
        return f"the next period of {names} begins then"
    return f"it costs less then: {show_usd(start.needed_usd)}"


def _why_never(limits: Sequence[Limit], starts: Sequence[Start]) -> str:
    if not starts:
        return "no later start has a known price"
    least = min(starts, key=lambda start: start.needed_usd)
    limit = _short_of(limits, least)
    assert limit is not None  # noqa: S101 - no start fits, so this one does not
    if limit.renewed_at is None:
        leaves = f"{limit.name} leaves {show_usd(max(limit.left_usd, Decimal(0)))} for good"
    else:
        leaves = f"{limit.name} is {show_usd(limit.whole_usd)} in a whole period"
    return f"it takes {show_usd(least.needed_usd)} at the least, and {leaves}"


def _in_vain(refused: Refused, why: str) -> Refused:
    return replace(refused, message=f"{refused.message}; waiting would not help: {why}")
