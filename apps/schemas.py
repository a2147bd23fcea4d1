"""The JSON Schemas that lowtide publishes, each made from the model that checks the document."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter

from lowtide.configs import configs_schema
from lowtide.errors import BadInputError
from lowtide.job import TrainingJob
from lowtide.ledger.budgets import BudgetEntry
from lowtide.prices.parse import book_schema

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _budgets() -> dict[str, Any]:
    return {"title": "Budgets", **TypeAdapter(list[BudgetEntry]).json_schema()}


def _tools() -> dict[str, Any]:
    from apps.tools import TOOLS  # imports all that tools call

    return {
        "title": "Tools",
        "tools": {
            name: {
                "description": tool.description,
                "spends": tool.spends,
                "parameters": tool.input_schema(),
                "answer": tool.output_schema(),
            }
            for name, tool in TOOLS.items()
        },
    }


SCHEMAS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "job": TrainingJob.model_json_schema,
    "budgets": _budgets,
    "prices": book_schema,
    "compare": configs_schema,
    "tools": _tools,
}


def schema_of(name: str) -> dict[str, Any]:
    """Return the JSON Schema of one kind of document.

    Args:
        name: Which one.

    Raises:
        BadInputError: there is none of that name.
    """
    if name not in SCHEMAS:
        msg = f"there is no schema {name!r}"
        raise BadInputError(msg, expected=f"one of {', '.join(SCHEMAS)}", got=name)
    return {"$schema": _DIALECT, **SCHEMAS[name]()}
