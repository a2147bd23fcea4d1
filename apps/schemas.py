"""The JSON Schemas that lowtide publishes, each made from the model that checks the document."""

from collections.abc import Callable, Mapping
from typing import Any

from lowtide.errors import BadInputError
from lowtide.job import TrainingJob


def _job() -> dict[str, Any]:
    return TrainingJob.model_json_schema()


SCHEMAS: Mapping[str, Callable[[], dict[str, Any]]] = {"job": _job}


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
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SCHEMAS[name]()}
