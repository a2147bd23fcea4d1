import pytest
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite
from typing_extensions import override

from blocks.cluster.runner import KubernetesCluster


@pytest.mark.parametrize("block", [KubernetesCluster], ids=["KubernetesCluster"])
class TestBlockStandards(BlockStandardTestSuite):
    @override
    @pytest.fixture
    def block(self, block: type[Block]) -> type[Block]:
        return block

    @override
    def test_has_a_valid_image(self, block: type[Block]) -> None:
        pytest.skip("opens the internet")


def test_the_slug_is_the_server_s_key_and_never_changes() -> None:
    assert KubernetesCluster.get_block_type_slug() == "lowtide-kubernetes-cluster"
