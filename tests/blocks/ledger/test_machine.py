"""Any order of operations, any crash between two statements: the books are what the auditor says."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.blocks.ledger.machine import Machine


def _as_test(make_url: Callable[[], str], *, examples: int, steps: int) -> None:
    class OnAFreshDatabase(Machine):
        def __init__(self) -> None:
            super().__init__(make_url())

    run_state_machine_as_test(
        OnAFreshDatabase,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_books_are_what_the_auditor_says(make_url: Callable[[], str], dialect: str) -> None:
    _as_test(make_url, examples=30 if dialect == "sqlite" else 6, steps=25)
