"""What tests of the doors share: one run that was really trained."""

import time

import pytest

from apps.cli.main import run
from blocks.settings import Settings
from lowtide.identity import run_id

SMALL = ["--set", "epochs=3", "--set", "params.copies=1", "--set", "expected_epoch_s=3"]


@pytest.fixture(scope="session")
def trained(stack: Settings) -> str:
    """The id of a run that was trained by `lowtide train --wait`."""
    assert stack.tracking_address is not None
    key = f"trained-{time.time_ns()}"
    assert run(["train", "--wait", "--key", key, *SMALL]) == 0
    return run_id(key)
