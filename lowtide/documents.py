"""Documents from outside: what every model of one shares, and how its faults are told.

Job files, price books and budget files are read by pydantic models that are closed and frozen.
`explain` turns pydantic's findings into one sentence that a person can act on. A validator that
knows better than pydantic what was expected or what to do says so with `refuse`.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, LiteralString, NoReturn, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from lowtide.errors import BadInputError


def number_from_yaml(value: object) -> object:
    """Refuse `true` where a number is asked: YAML's booleans are integers in Python."""
    if isinstance(value, bool):
        msg = "a number is expected, not true or false"
        raise ValueError(msg)  # noqa: TRY004 - pydantic reports ValueError with its path
    return value


Count: TypeAlias = Annotated[int, BeforeValidator(number_from_yaml)]
Amount: TypeAlias = Annotated[Decimal, BeforeValidator(number_from_yaml)]
Seconds: TypeAlias = Annotated[float, BeforeValidator(number_from_yaml)]


class Part(BaseModel):
    """A part of a document: frozen, and closed, so that a misspelt limit never means no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def refuse(
    message: str, *, expected: str | None = None, got: str | None = None, remedy: str | None = None
) -> NoReturn:
    """End a validator that can say more than a message; `explain` passes its facts on.

    Args:
        message: What is wrong, one sentence without a full stop at its end.
        expected: What would have been right.
        got: What came instead; None: the value itself.
        remedy: What the reader can do next; None: the general one.

    Raises:
        PydanticCustomError: always.
    """
    facts = {"message": message, "expected": expected, "got": got, "remedy": remedy}
    raise PydanticCustomError(_REFUSED, _ITS_MESSAGE, facts)


_REFUSED: LiteralString = "refused"
_ITS_MESSAGE: LiteralString = "{message}"


def explain(error: ValidationError, *, source: str, schema: str | None) -> BadInputError:
    """Turn pydantic's findings into one sentence about the first of them.

    Args:
        error: What pydantic found.
        source: Name of the file or caller.
        schema: Which `lowtide schema` describes the document; None: none does.

    Returns:
        The error to raise.
    """
    findings = error.errors(include_url=False)
    first = findings[0]
    path = ".".join(str(part) for part in first["loc"] if part not in _UNION_BRANCHES)
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    kind, context = first["type"], first.get("ctx", {})
    if kind == "extra_forbidden":
        message, remedy = "unknown key", "remove or correct it"
    elif kind == "missing":
        message, remedy = "the key is missing", "add it"
    else:
        message = first["msg"].removeprefix("Value error, ")
        remedy = context.get("remedy") or "change the key"
    return BadInputError(
        message + more,
        where=f"{source}: {path}" if path else source,
        expected=_expected(kind, context),
        got=None if kind == "missing" else context.get("got") or _shown(first.get("input")),
        remedy=f"{remedy}; `lowtide schema {schema}` prints every key" if schema else remedy,
    )


_UNION_BRANCHES = frozenset(
    {"literal['auto']", "constrained-float", "function-before[number_from_yaml(), float]"}
)
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
_EXPECTED = {
    "timezone_aware": "a time with its zone, as 2026-12-01T08:00:00+01:00",
    "extra_forbidden": "one of the known keys",
    "missing": "a value",
    "finite_number": "a finite number",
    "int_parsing": "an integer",
    "int_type": "an integer",
    "float_parsing": "a number",
    "decimal_parsing": "a number",
}


def _expected(kind: str, context: Mapping[str, Any]) -> str | None:
    for bound, sign in _BOUNDS.items():
        if bound in context:
            return f"{sign} {context[bound]}"
    if context.get("expected") is not None:
        return str(context["expected"])
    if "pattern" in context:
        return f"text matching {context['pattern']}"
    return _EXPECTED.get(kind)


def _shown(value: object, length_max: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= length_max else text[: length_max - 1] + "…"
