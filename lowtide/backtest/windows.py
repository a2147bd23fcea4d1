"""Windows: the stretches of a recording on which a job is replayed, listed in a file or drawn."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, cast

import numpy as np

from lowtide.backtest.market import Window
from lowtide.backtest.traces import Trace
from lowtide.errors import BadInputError


def parse_windows(
    document: object, traces: Sequence[Trace], *, deadline_s: float, source: str
) -> dict[str, tuple[Window, ...]]:
    """Read windows: `{"gap_seconds": 600, "windows": {"TRACE": [[first, end], ...]}}`.

    Args:
        document: What the JSON file held.
        traces: The recordings that they are of.
        deadline_s: The deadline of the job; a window must be at least as long.
        source: Name of the file, for messages.

    Returns:
        Windows by the name of the trace, in the order of the traces; traces without windows are
        left out.

    Raises:
        BadInputError: a window is of no known trace, lies outside it, or ends before the deadline.
    """
    body = _object(document)
    listed = _object(body.get("windows"))
    if not listed:
        _refuse(source, "no windows are listed", '{"windows": {"TRACE": [[0, 554]]}}')
    by_name = {trace.name: trace for trace in traces}
    for name in listed:
        if name not in by_name:
            known = ", ".join(by_name)
            _refuse(f"{source}: windows", "there is no such trace", f"one of {known}", name)
    windows: dict[str, tuple[Window, ...]] = {}
    for name, trace in by_name.items():
        if name not in listed:
            continue
        gap_s = body.get("gap_seconds", trace.gap_s)
        if gap_s != trace.gap_s:
            _refuse(f"{source}: gap_seconds", "other ticks", f"{trace.gap_s:g}", repr(gap_s))
        where = f"{source}: windows.{name}"
        pairs = _list(listed[name])
        if not pairs:
            _refuse(where, "no windows are listed", "[[first, end], ...]", repr(listed[name]))
        windows[name] = tuple(
            _window(pair, trace, deadline_s=deadline_s, where=f"{where}[{number}]")
            for number, pair in enumerate(pairs)
        )
    return windows


def draw_windows(
    traces: Sequence[Trace], *, deadline_s: float, starts: int, seed: int
) -> dict[str, tuple[Window, ...]]:
    """Draw windows that begin at random ticks, each as long as the deadline.

    Args:
        traces: The recordings.
        deadline_s: The deadline of the job.
        starts: Windows for each trace, >= 1.
        seed: The same seed draws the same windows.

    Raises:
        BadInputError: a trace is shorter than the deadline.
    """
    generator = np.random.default_rng(seed)
    windows: dict[str, tuple[Window, ...]] = {}
    for trace in traces:
        ticks = int(np.ceil(deadline_s / trace.gap_s))
        last = len(trace.available) - ticks
        if last < 0:
            _refuse(
                trace.name,
                "the recording is shorter than the deadline",
                f"at least {ticks} ticks of {trace.gap_s:g} s",
                f"{len(trace.available)} ticks",
            )
        first = generator.integers(0, last + 1, size=starts).tolist()
        windows[trace.name] = tuple((tick, tick + ticks) for tick in first)
    return windows


def _window(pair: object, trace: Trace, *, deadline_s: float, where: str) -> Window:
    ticks = len(trace.available)
    match _list(pair):
        case [int(first), int(end)] if 0 <= first < end <= ticks:
            pass
        case _:
            _refuse(where, "not a window", f"[first, end] within 0 and {ticks}", str(pair))
    if (end - first) * trace.gap_s < deadline_s:
        expected = f"{deadline_s / trace.gap_s:g} ticks"
        _refuse(where, "the window ends before the deadline", expected, f"{end - first} ticks")
    return first, end


def _object(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value) if isinstance(value, list) else ()


def _refuse(where: str, message: str, expected: str, got: str | None = None) -> NoReturn:
    raise BadInputError(
        message, where=where, expected=expected, got=got, remedy="correct the file or the option"
    )
