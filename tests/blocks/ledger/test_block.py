"""The ledger as Prefect sees it."""

import subprocess
import sys
from pathlib import Path

import pytest
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite
from typing_extensions import override

import blocks.ledger
from blocks.ledger import Books, Ledger
from tests.blocks.ledger.acts import NOON, set_tree


@pytest.mark.parametrize("block", [Ledger], ids=lambda block: block.__name__)
class TestBlockStandards(BlockStandardTestSuite):
    @override
    @pytest.fixture
    def block(self, block: type[Block]) -> type[Block]:
        return block

    @override
    def test_has_a_valid_image(self, block: type[Block]) -> None:
        pytest.skip("opens the internet")


def test_the_block_is_the_same_ledger(tmp_path: Path) -> None:
    ledger = Ledger(url=f"sqlite:///{tmp_path}/ledger.db")

    ledger.migrate()
    set_tree(ledger, {"name": "team", "limit_usd": 10})

    assert [state.name for state in ledger.budgets(NOON)] == ["team"]
    assert ledger.model_dump(include={"url"}) == {"url": ledger.url}
    ledger.close()


def test_the_slug_never_changes() -> None:
    assert Ledger.get_block_type_slug() == "lowtide-ledger"


def test_the_books_are_read_without_importing_prefect() -> None:
    program = "import sys, blocks.ledger; print('prefect' in sys.modules)"

    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout

    assert said == "False\n"
    assert issubclass(Ledger, Block)
    assert not issubclass(Books, Block)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Legder"):
        getattr(blocks.ledger, "Legder")  # noqa: B009 - the checker knows that it is not there
