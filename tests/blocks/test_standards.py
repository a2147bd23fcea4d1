"""Every block passes Prefect's own standard."""

import pytest
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite
from typing_extensions import override

from blocks.clock import Clock
from blocks.tracking import Tracking


@pytest.mark.parametrize("block", [Clock, Tracking], ids=lambda block: block.__name__)
class TestBlockStandards(BlockStandardTestSuite):
    @override
    @pytest.fixture
    def block(self, block: type[Block]) -> type[Block]:
        return block

    @override
    def test_has_a_valid_image(self, block: type[Block]) -> None:
        pytest.skip("opens the internet")
