"""The report flow in a real Prefect: what it shows where flows are watched."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.artifacts import Artifact

from blocks.settings import Settings
from blocks.world import World
from flows.report import CostsAsk, report
from lowtide.report import By
from tests.fakes import month
from tests.flows.conftest import world_in

pytestmark = pytest.mark.stack


@pytest.fixture
def month_world(tmp_path: Path, month_file: Path, stack: Settings) -> Iterator[World]:
    shutil.copy(month_file, tmp_path / "ledger.db")
    opened = world_in(tmp_path, stack)
    yield opened
    opened.close()


def test_the_report_is_a_text_and_a_table_in_the_ui_and_a_document_to_its_caller(
    month_world: World,
) -> None:
    ask = CostsAsk(start_date=month.FIRST, end_date=month.LAST, zone=month.ZONE, by=By.PROJECT)
    made = report(ask, month_world)

    text: Any = Artifact.get(key="costs-by-project-report")
    table: Any = Artifact.get(key="costs-by-project-table")
    assert text is not None
    assert table is not None
    assert "Costs from 2026-10-01 to 2026-10-31" in str(text.data)
    assert len(made["groups"]) == str(table.data).count('"project"')
