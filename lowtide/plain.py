"""Figures as the JSON documents of design §8 carry them: money as text, times with their zone."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol

from lowtide.money import UsdRange, quantize_usd


class Spread(Protocol):
    """A number with its doubt."""

    @property
    def p10(self) -> float:
        """It is less in one case of ten."""
        ...

    @property
    def p50(self) -> float:
        """The middle."""
        ...

    @property
    def p90(self) -> float:
        """It is more in one case of ten."""
        ...


def plain_usd(amount_usd: Decimal | Fraction) -> str:
    """Return dollars as text with six places.

    Examples:
        >>> plain_usd(Fraction(13, 2))
        '6.500000'
    """
    return f"{quantize_usd(amount_usd):f}"


def plain_usd_range(cost: UsdRange) -> dict[str, str]:
    """Return a range of dollars as text.

    Examples:
        >>> plain_usd_range(UsdRange(p10=Decimal(1), p50=Decimal(2), p90=Decimal(3)))
        {'p10': '1.000000', 'p50': '2.000000', 'p90': '3.000000'}
    """
    return {"p10": plain_usd(cost.p10), "p50": plain_usd(cost.p50), "p90": plain_usd(cost.p90)}


def plain_range(value: Spread, *, places: int = 3) -> dict[str, float]:
    """Return a range of numbers, rounded to what anybody could mean."""
    return {
        "p10": round(value.p10, places),
        "p50": round(value.p50, places),
        "p90": round(value.p90, places),
    }


def plain_moment(moment: datetime) -> str:
    """Return a moment as RFC 3339 in UTC.

    Examples:
        >>> plain_moment(datetime.fromisoformat("2026-11-23T23:00:00+01:00"))
        '2026-11-23T22:00:00+00:00'
    """
    return moment.astimezone(UTC).isoformat()


def plain(value: Any) -> Any:  # noqa: ANN401 - evidence may hold anything that has a figure in it
    """Return evidence with its money and times as text, all else as it is."""
    match value:
        case Decimal() | Fraction():
            return plain_usd(value)
        case datetime():
            return plain_moment(value)
        case float():
            return round(value, 6)
        case _:
            return value
