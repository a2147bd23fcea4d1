"""Recordings of spot capacity, read from the public formats without guessing.

The same recordings are published with opposite meanings of 1: available in one place, preempted in
another. A reader that takes the wrong one still produces plausible figures, so what the numbers mean
must be said, by the file itself (`metadata.values`) or by the caller, and both must agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from lowtide.errors import BadInputError
from lowtide.policy import Recording


class Values(StrEnum):
    """What a recording's numbers mean."""

    AVAILABLE = "available"
    """How many nodes could be had: 1 = there."""
    PREEMPTED = "preempted"
    """Whether it could not be had: 1 = gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A recording of spot capacity.

    Attributes:
        name: Its file's name, without the ending.
        gap_s: Seconds between two ticks, > 0.
        available: Whether enough nodes could be had; shape (ticks,).
        spot_usd_per_h: Spot price at each tick, US dollars per hour; None where none was recorded.
    """

    name: str
    gap_s: float
    available: NDArray[np.bool_]
    spot_usd_per_h: NDArray[np.float64] | None = None

    @property
    def recording(self) -> Recording:
        """What `lowtide.policy.fit_zone` learns from."""
        return Recording(available=self.available, gap_s=self.gap_s)


def parse_trace(
    document: object, *, name: str, values: Values | None = None, nodes: int = 1
) -> Trace:
    """Read a recording: `{"metadata": {"gap_seconds": ...}, "data": [...], "prices": [...]}`.

    Args:
        document: What the JSON file held.
        name: Name of the file, for messages.
        values: What the numbers mean, where the file does not say so in `metadata.values`.
        nodes: Nodes that must be available at once for a gang to run, >= 1.

    Raises:
        BadInputError: it is no recording, or nobody said what its numbers mean.

    Examples:
        >>> document = {"metadata": {"gap_seconds": 600}, "data": [0, 2, 4]}
        >>> parse_trace(document, name="z", values=Values.AVAILABLE, nodes=4).available.tolist()
        [False, False, True]
        >>> parse_trace(document, name="z")
        Traceback (most recent call last):
        lowtide.errors.BadInputError: z: nobody said what the numbers mean (expected --values
        available or --values preempted, or metadata.values in the file); ...
    """
    if not isinstance(document, Mapping):
        _refuse(name, "a recording is an object", "metadata and data", type(document).__name__)
    body = cast("Mapping[str, Any]", document)
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping):
        _refuse(f"{name}: metadata", "the key is missing or no object", '{"gap_seconds": 600}')
    facts = cast("Mapping[str, Any]", metadata)
    counts = _counts(body.get("data"), where=f"{name}: data")
    meaning = _meaning(facts.get("values"), values, name=name)
    if meaning is Values.PREEMPTED:
        if counts.max() > 1 or nodes > 1:
            _refuse(
                f"{name}: data",
                "what is preempted can only be told for one node",
                "0 or 1, and --nodes 1",
                f"numbers up to {counts.max()}, and {nodes} nodes",
            )
        counts = 1 - counts
    return Trace(
        name=name,
        gap_s=_gap_s(facts.get("gap_seconds"), where=f"{name}: metadata.gap_seconds"),
        available=counts >= nodes,
        spot_usd_per_h=_prices(body.get("prices"), ticks=len(counts), where=f"{name}: prices"),
    )


def _meaning(said: object, asked: Values | None, *, name: str) -> Values:
    if said is None:
        if asked is None:
            _refuse(
                name,
                "nobody said what the numbers mean",
                "--values available or --values preempted, or metadata.values in the file",
            )
        return asked
    if said not in set(Values):
        expected = " or ".join(Values)
        _refuse(f"{name}: metadata.values", "unknown meaning", expected, str(said))
    stated = Values(str(said))
    if asked is not None and asked is not stated:
        _refuse(
            f"{name}: metadata.values",
            "the file and the caller contradict each other about what the numbers mean",
            asked.value,
            stated.value,
        )
    return stated


def _gap_s(gap: object, *, where: str) -> float:
    if isinstance(gap, bool) or not isinstance(gap, int | float) or not 0 < gap < float("inf"):
        _refuse(where, "the seconds between two ticks are not usable", "a number > 0", repr(gap))
    return float(gap)


def _counts(data: object, *, where: str) -> NDArray[np.int64]:
    if not isinstance(data, list) or not data:
        _refuse(where, "the numbers are missing", "a list with a number for each tick")
    numbers = cast("Sequence[object]", data)
    for tick, number in enumerate(numbers):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            _refuse(f"{where}[{tick}]", "not a number of nodes", "an integer >= 0", repr(number))
    return np.array(numbers, np.int64)


def _prices(prices: object, *, ticks: int, where: str) -> NDArray[np.float64] | None:
    if prices is None:
        return None
    if not isinstance(prices, list) or len(cast("Sequence[object]", prices)) != ticks:
        length = len(cast("Sequence[object]", prices)) if isinstance(prices, list) else "no list"
        _refuse(where, "a price is needed for each tick", f"{ticks} prices", str(length))
    numbers = cast("Sequence[object]", prices)
    for tick, number in enumerate(numbers):
        usable = isinstance(number, int | float) and not isinstance(number, bool)
        if not (usable and 0 < cast("float", number) < float("inf")):
            _refuse(f"{where}[{tick}]", "not a price", "US dollars per hour, > 0", repr(number))
    return np.array(numbers, np.float64)


def _refuse(where: str, message: str, expected: str, got: str | None = None) -> NoReturn:
    raise BadInputError(
        message, where=where, expected=expected, got=got, remedy="correct the file or the option"
    )
