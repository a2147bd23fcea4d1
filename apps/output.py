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
    """Return a body as a document of design §8, with its schema and the time it was made.

    Args:
        schema: Name of the document, as in check.
        body: Its keys; money may be `Decimal`, times `datetime`.

    Returns:
        Plain JSON values only: every door sends this very document.
    """
    made_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    whole = {"schema": f"lowtide.{schema}/1", "generated_at": made_at, **body}
    ready: dict[str, Any] = json.loads(json.dumps(whole, default=_plain, allow_nan=False))
    return ready


def failure(error: LowtideError) -> dict[str, Any]:
    """Return what went wrong as a document."""
    return document("error", {"error": error.document()})


def refusal(refused: Refused) -> dict[str, Any]:
    """Return a "no" as a document: why, how much is lacking, what can be done."""
    error = {
        "kind": f"refused-{refused.reason.value}",
        "message": refused.message,
        "where": refused.budget,
        "expected": None,
        "got": None,
        "remedy": refused.remedy,
    }
    return document("error", {"error": error, "gap_usd": refused.gap_usd, "options": []})


def refusal_text(refused: Refused) -> str:
    """Return a "no" as a sentence."""
    return f"refused: {refused.message}; {refused.remedy}"


def emit(schema: str, body: Mapping[str, Any]) -> None:
    """Print one JSON document on standard output."""
    emit_document(document(schema, body))


def emit_document(ready: Mapping[str, Any]) -> None:
    """Print a document that is whole already on standard output."""
    print(json.dumps(ready, allow_nan=False))


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
        emit_document(failure(error))
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
        emit_document(refusal(refused))
    else:
        notice(f"lowtide: {refusal_text(refused)}")
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
