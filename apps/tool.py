"""What a tool is, and what it answers: the same for every door that speaks for somebody else."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import Any, Literal, TypeAlias, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from apps import output
from apps.crashes import explained
from apps.shapes import schema_of_shape
from apps.trainings import Spending
from lowtide.verdict import Refused

Outcome: TypeAlias = Literal["done", "refused", "failed"]

_CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a tool says.

    Attributes:
        document: Plain JSON, whole: what the command prints with `--json`. Money is exact.
        text: The same in a few lines; money is rounded for people.
        outcome: done; refused, a "no" with what would help; failed, with what to correct.
    """

    document: Mapping[str, Any]
    text: str
    outcome: Outcome = "done"


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One tool, as a door offers it.

    Attributes:
        call: The function; it checks nothing that its parameters' types say.
        output: Shape of the document.
        spends: Whether it can cost money.
        words: The parameter that takes all words of a typed line; None: one word each.
    """

    call: FunctionType
    output: type
    spends: bool = False
    words: str | None = None

    @property
    def name(self) -> str:
        """Name of the tool."""
        return self.call.__name__

    @property
    def description(self) -> str:
        """What it is for, when to use it, its units and errors."""
        return inspect.getdoc(self.call) or ""

    @cached_property
    def arguments(self) -> type[BaseModel]:
        """The model that checks its parameters."""
        hints = get_type_hints(self.call, include_extras=True)
        fields: dict[str, Any] = {
            name: (hints[name], ... if each.default is each.empty else each.default)
            for name, each in inspect.signature(self.call).parameters.items()
        }
        return create_model(self.name, __config__=_CLOSED, **fields)

    def input_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of its parameters."""
        return self.arguments.model_json_schema()

    def output_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of its document; a refusal and an error have their own."""
        return schema_of_shape(self.output)


def start(spending: Spending) -> Answer:
    """Start a training that was asked for; what goes wrong is an answer."""
    try:
        document = output.document("train", spending.submit())
    except Exception as error:  # noqa: BLE001 - a door shows no traceback
        return failed(error)
    run = document["run"]
    text = (
        f"run {run} submitted: {spending.question}\n"
        f"the gate holds the money first, or refuses; follow it: lowtide jobs show {run}"
    )
    return Answer(document=document, text=text)


def not_confirmed(spending: Spending, *, why: str) -> Answer:
    """Return that a training was not started, for want of a person's yes.

    Args:
        spending: What was asked for.
        why: Why there is none.
    """
    error = {
        "kind": "not-confirmed",
        "message": f"not started, nothing was held: {why}",
        "where": spending.training.ask.job.name,
        "expected": f"a person's yes to: {spending.question}",
        "got": None,
        "remedy": "ask the user; `lowtide train` starts it without asking",
    }
    body: dict[str, Any] = {"error": error, "gap_usd": None, "options": []}
    return Answer(
        document=output.document("error", body),
        text=f"{error['message']} ({spending.question})",
        outcome="refused",
    )


def failed(error: Exception) -> Answer:
    """Return what went wrong as an answer."""
    told = explained(error)
    return Answer(document=output.failure(told), text=str(told), outcome="failed")


def refused(refusal: Refused) -> Answer:
    """Return a "no" as an answer."""
    return Answer(
        document=output.refusal(refusal), text=output.refusal_text(refusal), outcome="refused"
    )
