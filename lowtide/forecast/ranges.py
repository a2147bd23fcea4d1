"""A quantity with its doubt."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A duration with its doubt, seconds.

    Attributes:
        p10: It is less in one case of ten.
        p50: The middle.
        p90: It is more in one case of ten.
    """

    p10: float
    p50: float
    p90: float

    def times(self, factor: float) -> "Range":
        """Return the range of `factor` times the quantity.

        Args:
            factor: A number >= 0.

        Examples:
            >>> Range(p10=1, p50=2, p90=4).times(2)
            Range(p10=2, p50=4, p90=8)
        """
        return Range(p10=self.p10 * factor, p50=self.p50 * factor, p90=self.p90 * factor)
