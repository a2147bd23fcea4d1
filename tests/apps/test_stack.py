"""Two stacks that start at the same instant do not take each other's servers for their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from apps import stack
from blocks.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.stack, pytest.mark.timeout(600)]


def test_two_homes_brought_up_at_once_each_have_servers_of_their_own(tmp_path: Path) -> None:
    homes = [Settings(home=tmp_path / name) for name in ("one", "two")]
    # No address in the environment: each is to find its own.
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PREFECT_API_URL", "MLFLOW_TRACKING_URI"}
    }
    starting = [
        subprocess.Popen(
            [sys.executable, "-m", "apps.cli.main", "up"],
            env={**clean, "LOWTIDE_HOME": str(settings.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for settings in homes
    ]
    try:
        told = [process.communicate(timeout=500)[0] for process in starting]
        parts = [stack.running(settings) for settings in homes]
    finally:
        for settings in homes:
            stack.down(settings, say=print)

    assert [process.returncode for process in starting] == [0, 0], told
    assert [sorted(found) for found in parts] == [["mlflow", "prefect", "worker"]] * 2
    urls = {part.url for found in parts for part in found.values() if part.url is not None}
    assert len(urls) == 4
