from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest

from lowtide.forecast import Range
from lowtide.plain import plain, plain_range


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("1.5"), "1.500000"),
        (Fraction(1, 3), "0.333333"),
        (datetime(2026, 11, 23, tzinfo=UTC), "2026-11-23T00:00:00+00:00"),
        (0.1234567, 0.123457),
        ("text", "text"),
        (None, None),
    ],
)
def test_figures_are_written_as_documents_carry_them(value: object, expected: object) -> None:
    assert plain(value) == expected


def test_a_range_keeps_the_places_that_mean_something() -> None:
    assert plain_range(Range(p10=1.23456, p50=2, p90=3)) == {"p10": 1.235, "p50": 2, "p90": 3}
