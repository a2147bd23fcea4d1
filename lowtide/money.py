"""Money: whole micro-dollars where it is stored, `Decimal` dollars where it is read.

The one rounding rule of lowtide lives in `to_micro`: half to even, at the journal line. Prices are
exact fractions until they reach it, so no sum depends on the order of its parts.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from fractions import Fraction

from lowtide.errors import BadInputError

MICRO_PER_USD = 1_000_000
ZERO_USD = Decimal("0.000000")
_MICRO_USD = Decimal("0.000001")
_SHOWN_DIGITS_MAX = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class UsdRange:
    """An amount with its doubt, US dollars.

    Attributes:
        p10: It is less in one case of ten.
        p50: The middle.
        p90: It is more in one case of ten.
    """

    p10: Decimal
    p50: Decimal
    p90: Decimal


def to_micro(amount_usd: Decimal | Fraction | int) -> int:
    """Round an amount of US dollars to whole micro-dollars, half to even.

    Args:
        amount_usd: Dollars, finite, either sign.

    Returns:
        Micro-dollars.

    Raises:
        BadInputError: the amount is infinite or not a number.

    Examples:
        >>> to_micro(Decimal("1.25"))
        1250000
        >>> to_micro(Fraction(1, 3))
        333333
        >>> to_micro(Decimal("0.0000005")), to_micro(Decimal("0.0000015"))
        (0, 2)
    """
    if isinstance(amount_usd, Decimal):
        if not amount_usd.is_finite():
            msg = "an amount of money must be finite"
            raise BadInputError(msg, expected="a finite number", got=str(amount_usd))
        amount_usd = Fraction(amount_usd)
    # `round` on a Fraction is exact and rounds half to even.
    return round(amount_usd * MICRO_PER_USD)


def micro_of(units: int, unit_per_usd: int) -> int:
    """Round an amount in any unit to whole micro-dollars, half to even; quicker than a fraction.

    Args:
        units: The amount, either sign.
        unit_per_usd: Units that make one US dollar, > 0.

    Returns:
        The same as `to_micro(Fraction(units, unit_per_usd))`.

    Examples:
        >>> micro_of(1, 3), micro_of(5, 10_000_000), micro_of(15, 10_000_000)
        (333333, 0, 2)
    """
    whole, rest = divmod(units * MICRO_PER_USD, unit_per_usd)
    above = 2 * rest - unit_per_usd
    return whole + (above > 0 or (above == 0 and whole % 2))


def read_usd(text: str, *, where: str) -> Decimal:
    """Read an amount of US dollars that somebody wrote.

    Args:
        text: As in 5, 0.05 or -2.50.
        where: Whose amount it is, for the message.

    Returns:
        Dollars, finite.

    Raises:
        BadInputError: it is no amount.

    Examples:
        >>> read_usd("0.05", where="budget")
        Decimal('0.05')
    """
    try:
        amount_usd = Decimal(text.strip())
    except InvalidOperation:
        amount_usd = Decimal("NaN")
    if not amount_usd.is_finite():
        msg = "not an amount of US dollars"
        raise BadInputError(
            msg, where=where, expected="a number, as in 0.05", got=repr(text), remedy="correct it"
        )
    return amount_usd


def from_micro(amount_micro_usd: int) -> Decimal:
    """Return micro-dollars as dollars with six places.

    Examples:
        >>> from_micro(1_250_000)
        Decimal('1.250000')
    """
    return Decimal(amount_micro_usd).scaleb(-6).quantize(_MICRO_USD)


def quantize_usd(amount_usd: Decimal | Fraction | int) -> Decimal:
    """Round dollars to six places by the one rule.

    Examples:
        >>> quantize_usd(Fraction(2, 3))
        Decimal('0.666667')
    """
    return from_micro(to_micro(amount_usd))


def show_usd(amount_usd: Decimal | Fraction) -> str:
    """Write dollars for a person: cents, and more digits only where cents would hide the amount.

    Examples:
        >>> show_usd(Decimal("6.5")), show_usd(Decimal("0.0031")), show_usd(Decimal("-2"))
        ('$6.50', '$0.0031', '-$2.00')
    """
    exact_usd = quantize_usd(amount_usd)
    sign, size_usd = ("-" if exact_usd < 0 else ""), abs(exact_usd)
    places = 2
    while (
        places < _SHOWN_DIGITS_MAX and size_usd and _lost_share(size_usd, places) > Decimal("0.01")
    ):
        places += 1
    shown_usd = size_usd.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)
    return f"{sign}${shown_usd:,}"


def _lost_share(size_usd: Decimal, places: int) -> Decimal:
    shown_usd = size_usd.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)
    return abs(shown_usd - size_usd) / size_usd
