"""Public price data for tests; none of it is part of the project. Absent: the tests are skipped."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("LOWTIDE_DATA", ROOT.parent / "shared" / "data"))


def data_file(folder: str, name: str) -> Path:
    """A file of the public data, its folder by name or pattern; without it the test is skipped."""
    found = next(DATA.glob(f"{folder}/{name}"), None)
    if found is None:
        pytest.skip(f"no {folder}/{name} in {DATA}: set LOWTIDE_DATA to a folder that has it")
    return found
