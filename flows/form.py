"""What Prefect's run form shows of a flow: what is asked for, not the world that it runs in."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def asked_in_a_form(flow: F) -> F:
    """Leave the parameter `world` out of a flow's form and of its deployments' schema.

    A test passes another world to a flow; a person, a schedule or a program never can, so the
    schema that Prefect checks their parameters against must not offer it.

    Args:
        flow: The flow, whose other parameters make up the form.

    Returns:
        The flow.
    """
    signature = inspect.signature(flow, eval_str=True)
    shown = [each for each in signature.parameters.values() if each.name != "world"]
    # Prefect reads the schema from the flow's signature, and binds a call by the function's own.
    setattr(flow, "__signature__", signature.replace(parameters=shown))  # noqa: B010 - a type checker knows no such attribute
    return flow
