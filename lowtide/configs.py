"""A list of configurations to compare, checked before anything is computed from it."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import Field, ValidationError

from lowtide.documents import Count, Part, explain
from lowtide.errors import BadInputError
from lowtide.job import Priority, TrainingJob

CONFIGS_MAX = 1_000
_EXAMPLE = '[{"epochs": 2, "batch_size": 64}]'


class Config(Part):
    """One configuration; what it leaves out is the job's."""

    epochs: Annotated[Count, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, title="Epochs", description="Epochs to train."
    )
    batch_size: Annotated[Count, Field(ge=1, le=10_000_000)] | None = Field(
        default=None, title="Batch size", description="Samples in one step."
    )
    flavor: str | None = Field(
        default=None, min_length=1, title="Flavor", description="Kind of capacity."
    )
    capacity: Literal["on-demand", "spot"] | None = Field(
        default=None, title="Capacity", description="On demand or spot."
    )
    priority: Priority | None = Field(
        default=None, title="Priority", description="Order in the queue, and its price."
    )

    def document(self) -> dict[str, Any]:
        """Return what was given, without what was left out."""
        return self.model_dump(mode="json", exclude_none=True)

    def of(self, job: TrainingJob) -> TrainingJob:
        """Return the job with this configuration."""
        flavor = job.resources.flavor if self.flavor is None else self.flavor
        changes = {
            "epochs": job.epochs if self.epochs is None else self.epochs,
            "batch_size": job.batch_size if self.batch_size is None else self.batch_size,
            "priority": job.priority if self.priority is None else self.priority,
            "resources": job.resources.model_copy(update={"flavor": flavor}),
        }
        return job.model_copy(update=changes)


def parse_configs(document: object, *, source: str = "configs") -> tuple[Config, ...]:
    """Read configurations from JSON text or from a parsed document.

    Args:
        document: A list of mappings, or JSON text that holds one.
        source: Name of the file or caller, for messages.

    Returns:
        At least one, at most `CONFIGS_MAX`.

    Raises:
        BadInputError: no JSON, no list, an empty or too long one, an unknown key, a bad value.

    Examples:
        >>> [config.document() for config in parse_configs('[{"epochs": 2, "batch_size": 64}]')]
        [{'epochs': 2, 'batch_size': 64}]
        >>> parse_configs([{"epochs": 2, "batch_size": 0}])
        Traceback (most recent call last):
        lowtide.errors.BadInputError: configs: 0: batch_size: Input should be greater than or equal
        to 1 (expected >= 1, got 0); change the key; `lowtide schema compare` prints every key
    """
    if isinstance(document, str):
        document = _from_json(document, source=source)
    if not isinstance(document, Sequence) or isinstance(document, str | bytes):
        raise _not_a_list(source, got=f"a {type(document).__name__}")
    items = cast("Sequence[object]", document)
    if not 1 <= len(items) <= CONFIGS_MAX:
        raise _not_a_list(source, got=f"{len(items)} configurations")
    return tuple(_config(item, where=f"{source}: {n}") for n, item in enumerate(items))


def configs_schema() -> dict[str, Any]:
    """Return the JSON Schema of a list of configurations."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configurations to compare",
        "type": "array",
        "minItems": 1,
        "maxItems": CONFIGS_MAX,
        "items": Config.model_json_schema(),
    }


def _from_json(text: str, *, source: str) -> object:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        msg = "the configurations are not JSON"
        raise BadInputError(
            msg,
            where=source,
            expected=_EXAMPLE,
            got=str(error),
            remedy="correct the text",
        ) from None


def _not_a_list(source: str, *, got: str) -> BadInputError:
    return BadInputError(
        "the configurations cannot be compared",
        where=source,
        expected=f"a list of 1 to {CONFIGS_MAX} configurations",
        got=got,
        remedy=f"give a list, as in {_EXAMPLE}",
    )


def _config(item: object, *, where: str) -> Config:
    if not isinstance(item, Mapping):
        msg = "a configuration is a mapping of keys"
        raise BadInputError(
            msg, where=where, expected=_EXAMPLE, got=repr(item)[:80], remedy="correct the list"
        )
    try:
        return Config.model_validate(item)
    except ValidationError as error:
        raise explain(error, source=where, schema="compare") from None
