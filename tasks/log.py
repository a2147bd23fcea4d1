"""Writes into the flow's log, in the words of the domain; outside a flow, into the program's."""

import logging

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging import get_run_logger


def say(message: str) -> None:
    """Write a line."""
    _logger().info(message)


def warn(message: str) -> None:
    """Write a warning."""
    _logger().warning(message)


def _logger() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    in_a_run = TaskRunContext.get() is not None or FlowRunContext.get() is not None
    return get_run_logger() if in_a_run else logging.getLogger("lowtide")
