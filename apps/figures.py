"""Whether a text quotes only sums of money that somebody gave: a tool, or the user.

A model may round what a tool said, never make a sum up: a figure counts as quoted if an exact
amount rounds to it at the places that were written.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_FIGURE = re.compile(
    rf"(?:\$|USD)\s?(?P<before>{_NUMBER})|(?P<after>{_NUMBER})\s?(?:USD|(?:US )?dollars?)\b",
    re.IGNORECASE,
)
_EXACT = re.compile(r"-?\d+\.\d{6}")


@dataclass(slots=True)
class Figures:
    """The sums of money that were given so far in one conversation."""

    given_usd: set[Decimal] = field(default_factory=set[Decimal])

    def hear(self, text: str) -> None:
        """Take in the sums that a text names."""
        self.given_usd.update(_named(text))

    def read(self, document: Mapping[str, Any]) -> None:
        """Take in the exact sums of a tool's document."""
        self.given_usd.update(_exact(document))

    def invented(self, text: str) -> tuple[str, ...]:
        """Return the sums in a text that nobody gave.

        Examples:
            >>> figures = Figures()
            >>> figures.read({"cost_usd": "6.504000"})
            >>> figures.invented("It costs $6.50, that is $1.50 too much.")
            ('$1.50',)
        """
        return tuple(f"${usd}" for usd in _named(text) if not self._is_given(usd))

    def _is_given(self, usd: Decimal) -> bool:
        place = Decimal(1).scaleb(min(0, int(usd.as_tuple().exponent)))
        return any(abs(given).quantize(place) == usd for given in self.given_usd)


def _named(text: str) -> Iterator[Decimal]:
    for match in _FIGURE.finditer(text):
        yield Decimal((match["before"] or match["after"]).replace(",", ""))


def _exact(value: object) -> Iterator[Decimal]:
    match value:
        case str() if _EXACT.fullmatch(value):
            yield Decimal(value)
        case Mapping():
            yield from _all_exact(cast("Mapping[str, object]", value).values())
        case list():
            yield from _all_exact(cast("list[object]", value))
        case _:
            return


def _all_exact(values: Iterable[object]) -> Iterator[Decimal]:
    for value in values:
        yield from _exact(value)
