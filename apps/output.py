"""What every command shares: one JSON document on standard output, all else on standard error."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from lowtide.errors import BadInputError, ConflictError, LowtideError
from lowtide.verdict import Refused

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_REFUSED = 3


def document(schema: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body as a document of design §8, with its schema and the time it was made."""
    return {
        "schema": f"lowtide.{schema}/1",
        "generated_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        **body,
    }


def emit(schema: str, body: Mapping[str, Any]) -> None:
    """Print one JSON document on standard output."""
    print(json.dumps(document(schema, body), default=_plain, allow_nan=False))


def notice(text: str) -> None:
    """Tell a person something on standard error, where no program reads."""
    print(text, file=sys.stderr, flush=True)


def fail(error: LowtideError, *, as_json: bool) -> int:
    """Say what went wrong in the reader's form, and return the exit code.

    Args:
        error: What went wrong.
        as_json: Whether a program reads the answer.

    Returns:
        2 for input that the caller can mend, else 1.
    """
    if as_json:
        emit("error", {"error": error.document()})
    else:
        notice(f"lowtide: {error}")
    return EXIT_BAD_INPUT if isinstance(error, BadInputError | ConflictError) else EXIT_FAILED


def refuse(refused: Refused, *, as_json: bool) -> int:
    """Say a "no" in the reader's form, and return its exit code, 3.

    Args:
        refused: Why, how much is lacking, what can be done.
        as_json: Whether a program reads the answer.
    """
    if as_json:
        error = {
            "kind": f"refused-{refused.reason.value}",
            "message": refused.message,
            "where": refused.budget,
            "expected": None,
            "got": None,
            "remedy": refused.remedy,
        }
        emit("error", {"error": error, "gap_usd": refused.gap_usd, "options": []})
    else:
        notice(f"lowtide: refused: {refused.message}; {refused.remedy}")
    return EXIT_REFUSED


def _plain(value: object) -> object:
    match value:
        case Decimal():
            return f"{value:.6f}"
        case datetime():
            return value.isoformat()
        case _:
            msg = f"cannot write {value!r} as JSON"
            raise TypeError(msg)
