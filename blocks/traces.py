"""Reads recordings of spot capacity, and windows into them, from files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lowtide.backtest import Trace, Values, parse_trace, parse_windows
from lowtide.errors import BadInputError


def read_traces(folder: Path, *, values: Values | None, nodes: int = 1) -> tuple[Trace, ...]:
    """Read every recording of a folder and of the folders below it.

    Args:
        folder: Where the JSON files are; or one file.
        values: What their numbers mean, where they do not say so themselves.
        nodes: Nodes that must be available at once.

    Returns:
        The recordings, named by their path within the folder without its ending, in that order.

    Raises:
        BadInputError: there are none, or one cannot be used.
    """
    files = [folder] if folder.is_file() else sorted(folder.rglob("*.json"))
    if not files:
        msg = "there are no recordings"
        raise BadInputError(
            msg, where=str(folder), expected="files that end in .json", remedy="check the path"
        )
    root = folder.parent if folder.is_file() else folder
    return tuple(
        parse_trace(
            read_json(file),
            name=file.relative_to(root).with_suffix("").as_posix(),
            values=values,
            nodes=nodes,
        )
        for file in files
    )


def read_windows(
    file: Path, traces: Sequence[Trace], *, deadline_s: float
) -> dict[str, tuple[tuple[int, int], ...]]:
    """Read windows into recordings.

    Args:
        file: A JSON file.
        traces: The recordings.
        deadline_s: The deadline of the job that is replayed.

    Raises:
        BadInputError: the file or a window cannot be used.
    """
    return parse_windows(read_json(file), traces, deadline_s=deadline_s, source=str(file))


def read_json(file: Path) -> Any:  # noqa: ANN401 - whatever the file holds; its reader checks it
    """Read a JSON file, or say where it is not JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        msg = f"the file cannot be read: {error}"
        raise BadInputError(msg, where=str(file), remedy="check the path") from None
    except json.JSONDecodeError as error:
        msg = f"the file is not JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        raise BadInputError(msg, where=str(file), remedy="correct that line") from None
