"""How every task behaves: one effect, safe to repeat, repeated only where that can mend it."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from lowtide.errors import UnavailableError

P = ParamSpec("P")
R = TypeVar("R")

_RETRY_DELAYS_S = (1.0, 4.0, 16.0)


def is_unavailable(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry no answer, never a wrong answer."""
    return isinstance(state.result(raise_on_failure=False), UnavailableError)


def effect(*, name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a task of a function with one effect.

    Its result is never taken from a cache: an effect's inputs do not stand for its having
    happened. That the effect happens once is the ledger's business, by the caller's key.

    Args:
        name: What a person reads in the UI; may name parameters in braces.

    Returns:
        The decorator.
    """
    return task(
        task_run_name=name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(_RETRY_DELAYS_S),
        retry_delay_seconds=list(_RETRY_DELAYS_S),
        retry_jitter_factor=0.5,
        retry_condition_fn=is_unavailable,
    )
