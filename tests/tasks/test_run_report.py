"""The report of one run, written from real books while nobody answers at MLflow."""

import shutil
from decimal import Decimal
from pathlib import Path

from blocks.ledger import Books, Lease
from blocks.local.cluster import LocalCluster
from blocks.prices import Prices
from blocks.tracking import Tracking
from blocks.world import World
from lowtide.job import parse_job
from tasks.claim import Owned
from tasks.report import report
from tests.fakes import month

NOBODY = "http://127.0.0.1:9"


def test_a_runs_report_has_its_plan_prices_legs_decisions_and_every_line_of_money(
    tmp_path: Path, month_file: Path
) -> None:
    shutil.copy(month_file, tmp_path / "ledger.db")
    books = Books(f"sqlite:///{tmp_path / 'ledger.db'}")
    world = World(
        ledger=books,
        tracking=Tracking(uri=NOBODY),
        runner=LocalCluster(home=tmp_path / "legs"),
        prices=Prices(),
        checkpoints=tmp_path / "checkpoints",
        reports=tmp_path / "reports",
    )
    row = next(row for row in books.runs(limit=100) if len(books.legs(row.run)) > 1)
    lease = books.take_lease(row.run, owner="test", now=month.AFTER)
    assert isinstance(lease, Lease)
    job = parse_job(row.job, source="test")

    path = report.fn(world, Owned(run=row.run, job=job, lease=lease))

    page = path.read_text("utf-8")
    facts = books.report_run(row.run)
    lines = books.journal(run=row.run)
    world.close()
    assert facts is not None
    assert facts.total_usd == sum((leg.charged_usd for leg in books.legs(row.run)), Decimal(0))
    for words in (
        "as asked",
        "peak $0.25/h",
        "nothing cheaper is ahead",
        "as it moved",
        "preempted",
    ):
        assert words in page, words
    assert page.count("metered") == sum(line.reason == "metered" for line in lines)
    assert "http" not in page.replace("http://www.w3.org", "")
