"""Deployments, started as programs start them."""

from contextlib import suppress
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectHTTPStatusError


def start(path: str, ask: dict[str, Any], *, key: str) -> FlowRun:
    """Start a deployment as a program does, which asks again while the server is too busy."""
    for _ in range(10):
        with suppress(PrefectHTTPStatusError):
            made: Any = run_deployment(
                path, parameters={"ask": ask}, timeout=0, as_subflow=False, idempotency_key=key
            )
            return made
    pytest.fail(f"Prefect's server stays too busy to start {path}")
