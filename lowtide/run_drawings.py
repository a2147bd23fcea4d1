"""The drawings of one run's report: points and boxes of SVG, worked out here, drawn by its page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from lowtide.ledger.records import LegRow

WIDTH = 640.0
HEIGHT = 160.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A series as a line.

    Attributes:
        points: Points of an SVG polyline.
        low: Smallest value.
        high: Largest value.
    """

    points: str
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A forecast with its doubt, and what it came to.

    Attributes:
        area: Points of a polygon from P10 to P90.
        middle: Points of a line, P50.
        came_to_y: Height at which the real value lies.
        top_usd: The value at the upper edge.
    """

    area: str
    middle: str
    came_to_y: float
    top_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A stretch of time: where it begins, how wide it is, what it is called."""

    x: float
    width: float
    label: str
    kind: str
    strength: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Legs over priced windows.

    Attributes:
        windows: The stretches of one price; `strength` is the price against the dearest.
        legs: The legs that ran.
        start: Where it begins.
        end: Where it ends.
    """

    windows: tuple[Box, ...]
    legs: tuple[Box, ...]
    start: datetime
    end: datetime


def metric_line(values: Sequence[float | None]) -> Line | None:
    """Return a series as a line over the epochs; a missing value is skipped.

    Examples:
        >>> line = metric_line([0.0, None, 1.0])
        >>> line.points if line else None
        '0.0,160.0 640.0,0.0'
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, spread = min(known), (max(known) - min(known)) or 1.0
    points = " ".join(
        f"{_x(at, len(values)):.1f},{HEIGHT * (1 - (value - low) / spread):.1f}"
        for at, value in enumerate(values)
        if value is not None
    )
    return Line(points=points, low=low, high=max(known))


def band(ranges: Sequence[tuple[float, float, float]], *, came_to: float) -> Band | None:
    """Return forecasts of the whole cost, one after each epoch, with what it came to.

    Args:
        ranges: P10, P50 and P90, US dollars, oldest first.
        came_to: What it cost, US dollars.
    """
    if not ranges:
        return None
    top = max(*(high for _, _, high in ranges), came_to) or 1.0

    def points(values: Sequence[float]) -> list[str]:
        return [
            f"{_x(at, len(values)):.1f},{HEIGHT * (1 - value / top):.1f}"
            for at, value in enumerate(values)
        ]

    upper = points([high for _, _, high in ranges])
    lower = points([low for low, _, _ in ranges])
    return Band(
        area=" ".join([*upper, *reversed(lower)]),
        middle=" ".join(points([middle for _, middle, _ in ranges])),
        came_to_y=HEIGHT * (1 - came_to / top),
        top_usd=top,
    )


def timeline(
    legs: Sequence[LegRow], spans: Sequence[tuple[datetime, datetime, str, Decimal]]
) -> Timeline | None:
    """Lay legs out over the prices of their time.

    Args:
        legs: The run's legs.
        spans: Stretches of one price: start, end, window, US dollars an hour.

    Returns:
        The boxes; None where no leg ran.
    """
    ran = [
        (leg, leg.started_at, leg.ended_at)
        for leg in legs
        if leg.started_at is not None and leg.ended_at is not None
    ]
    if not ran:
        return None
    start = min([begin for _, begin, _ in ran] + [begin for begin, *_ in spans])
    end = max([until for _, _, until in ran] + [until for _, until, *_ in spans])
    whole = max(end - start, timedelta(microseconds=1))
    dearest = max([usd for *_, usd in spans], default=Decimal(1)) or Decimal(1)

    def box(begin: datetime, until: datetime, label: str, kind: str, strength: float) -> Box:
        return Box(
            x=WIDTH * ((begin - start) / whole),
            width=max(WIDTH * ((until - begin) / whole), 1.0),
            label=label,
            kind=kind,
            strength=strength,
        )

    return Timeline(
        windows=tuple(
            box(begin, until, f"{window} ${usd:f}/h", "window", float(usd / dearest))
            for begin, until, window, usd in spans
        ),
        legs=tuple(
            box(begin, until, f"leg {leg.leg}", leg.capacity.value, 1.0)
            for leg, begin, until in ran
        ),
        start=start,
        end=end,
    )


def _x(at: int, count: int) -> float:
    return at * WIDTH / max(count - 1, 1)
