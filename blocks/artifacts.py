"""Prefect's artifacts: what a person sees beside a run in the UI.

The server's errors become ours here: a picture that cannot be drawn is `UnavailableError`, and the
caller decides what that is worth.
"""

from collections.abc import Callable
from typing import TypeVar

import httpx
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
