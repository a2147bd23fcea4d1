"""Prefect's artifacts: what a person sees beside a run in the UI.

The server's errors become ours here: a picture that cannot be drawn is `UnavailableError`, and the
caller decides what that is worth.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.exceptions import PrefectException

from lowtide.errors import UnavailableError

R = TypeVar("R")


def written(write: Callable[[], R]) -> R:
    """Write an artifact by one of `prefect.artifacts`' functions, and return its answer.

    Args:
        write: Calls the function.

    Raises:
        UnavailableError: the server did not take it.
    """
    try:
        return write()
    except (httpx.HTTPError, PrefectException) as error:
        msg = f"Prefect did not take an artifact: {error}"
        raise UnavailableError(msg, where="Prefect", remedy="see `lowtide status`") from error


def update_table_artifact(
    artifact_id: UUID, *, table: Sequence[Mapping[str, Any]], description: str
) -> None:
    """Replace the rows of a table artifact, which `prefect.artifacts` cannot.

    Args:
        artifact_id: The artifact.
        table: Its rows.
        description: Its new description.
    """
    changed = ArtifactUpdate(data=json.dumps(table), description=description)
    with get_client(sync_client=True) as client:
        client.update_artifact(artifact_id, changed)
