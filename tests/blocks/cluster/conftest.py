from collections.abc import Iterator

import pytest

from tests.blocks.cluster.server import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    """An API server of pods that misbehaves on demand."""
    with serving() as running:
        yield running
