"""Kubernetes' own words about amounts: quantities, and its refusals for want of quota."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from typing_extensions import override

from lowtide.errors import BadInputError

_SUFFIXES: Mapping[str, Decimal] = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    "k": Decimal(1000),
    "M": Decimal(1000) ** 2,
    "G": Decimal(1000) ** 3,
    "T": Decimal(1000) ** 4,
    "Ki": Decimal(1024),
    "Mi": Decimal(1024) ** 2,
    "Gi": Decimal(1024) ** 3,
    "Ti": Decimal(1024) ** 4,
}
_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([a-zA-Z]*)")
_EXCEEDED = re.compile(
    r"exceeded quota: (?P<quota>\S+?), requested: (?P<asked>\S+), used: (?P<used>\S+), "
    r"limited: (?P<limit>[^\s;]+)"
)


def quantity(text: str | int) -> Decimal:
    """Return a Kubernetes quantity as a number: cores, bytes, pieces.

    Raises:
        BadInputError: it is none.

    Examples:
        >>> quantity("500m"), quantity("4Gi"), quantity(2)
        (Decimal('0.500'), Decimal('4294967296'), Decimal('2'))
    """
    found = _QUANTITY.fullmatch(str(text))
    factor = None if found is None else _SUFFIXES.get(found[2])
    try:
        if found is not None and factor is not None:
            return Decimal(found[1]) * factor
    except InvalidOperation:
        pass
    msg = "not a quantity"
    raise BadInputError(msg, where="quantity", expected="as 500m, 2, 4Gi", got=repr(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """One resource of which a quota has too little left, in the quota's own words.

    Attributes:
        quota: Name of the quota.
        resource: Name of the resource, as requests.nvidia.com/gpu.
        asked: What was asked for.
        used: What is in use.
        limit: What the quota allows.
    """

    quota: str
    resource: str
    asked: str
    used: str
    limit: str

    @override
    def __str__(self) -> str:
        return (
            f"quota {self.quota!r} has too little {self.resource}: asked for {self.asked}, "
            f"{self.used} of {self.limit} in use"
        )


def parse_exceeded(message: str) -> tuple[Shortage, ...]:
    """Return what a refusal of Kubernetes' quota admission says; empty when it is another refusal.

    Examples:
        >>> text = (
        ...     'pods "p" is forbidden: exceeded quota: q, requested: requests.nvidia.com/gpu=3, '
        ...     "used: requests.nvidia.com/gpu=0, limited: requests.nvidia.com/gpu=2"
        ... )
        >>> print(parse_exceeded(text)[0])
        quota 'q' has too little requests.nvidia.com/gpu: asked for 3, 0 of 2 in use
    """
    found = _EXCEEDED.search(message)
    if found is None:
        return ()
    asked, used, limit = (_amounts(found[name]) for name in ("asked", "used", "limit"))
    return tuple(
        Shortage(
            quota=found["quota"],
            resource=resource,
            asked=amount,
            used=used.get(resource, "?"),
            limit=limit.get(resource, "?"),
        )
        for resource, amount in asked.items()
    )


def _amounts(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)
