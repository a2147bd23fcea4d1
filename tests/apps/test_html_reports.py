"""The HTML reports in a real browser: drawn, quiet, alone, and readable on a telephone."""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from apps.cli.main import run
from blocks.ledger import Books
from lowtide.job import parse_job
from lowtide.money import UsdRange
from lowtide.prices import Demand, segments
from lowtide.report.figures import figures
from lowtide.run_report import DecisionLine, EpochLine, PricedSpan, RunReport, WayLine, as_html
from tests.fakes import month

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
WAIT_MS = 90_000
USD = UsdRange(p10=Decimal(1), p50=Decimal(2), p90=Decimal(3))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),  # a browser draws on a processor that others want too
    pytest.mark.skipif(
        not CHROMIUM.exists(), reason="needs the Debian package chromium (make system-deps)"
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def costs_page(tmp_path_factory: pytest.TempPathFactory, month_file: Path) -> Path:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(month_file, home / "ledger.db")
    path = home / "costs.html"
    words = ["--from", month.FIRST, "--to", month.LAST, "--zone", month.ZONE]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOWTIDE_HOME", str(home))
        assert run(["report", *words, "--format", "html", "--output", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def run_page(tmp_path_factory: pytest.TempPathFactory, month_file: Path) -> Path:
    """The report of a run that was preempted once."""
    books = Books(f"sqlite:///{month_file}")
    row = next(row for row in books.runs(limit=100) if len(books.legs(row.run)) > 1)
    facts = books.report_run(row.run)
    assert facts is not None
    report = RunReport(
        run=row.run,
        job=parse_job(row.job, source="test"),
        state=row.state.value,
        message=row.message,
        legs=books.legs(row.run),
        epochs=[
            EpochLine(
                epoch=event.body["epochs_done"],
                at=event.at,
                metric=event.body["metric"],
                left_usd_p10=Decimal(event.body["cost_remaining_usd"]["p10"]),
                left_usd_p50=Decimal(event.body["cost_remaining_usd"]["p50"]),
                left_usd_p90=Decimal(event.body["cost_remaining_usd"]["p90"]),
            )
            for event in books.events(row.run, kind="epoch")
        ],
        lines=books.journal(run=row.run),
        recommendations=(),
        made_at=datetime(2026, 11, 2, tzinfo=UTC),
        ways=[WayLine(kind="as asked", cost_usd=USD, why="")],
        decisions=[
            DecisionLine(at=row.created_at, decision="run-spot", reason="spot is <cheap> today")
        ],
        spans=[
            PricedSpan(
                start=part.start, end=part.end, window=part.window, usd_per_h=Decimal("0.25")
            )
            for part in segments(
                month.PRICES, Demand(flavor="t4"), start=row.created_at, end=row.changed_at
            )
        ],
        figures=figures(facts, book=month.PRICES),
    )
    books.close()
    path = tmp_path_factory.mktemp("run") / "run.html"
    path.write_text(as_html(report), encoding="utf-8")
    return path


class Visit:
    """A page that is open, with all that it said and asked for."""

    def __init__(self, browser: Browser, path: Path, *, width: int, scheme: Any) -> None:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        self.page: Page = context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def too_wide(self) -> list[str]:
        """Return what sticks out of the page, tables that scroll by themselves aside."""
        found: list[str] = self.page.evaluate(
            "() => document.documentElement.scrollWidth <= window.innerWidth ? [] :"
            " [...document.querySelectorAll('body *')]"
            ".filter(e => e.getBoundingClientRect().right > window.innerWidth"
            " && !e.closest('.scroll')).map(e => e.tagName + '.' + e.className)"
        )
        return found


@pytest.mark.parametrize(("width", "scheme"), [(375, "light"), (1440, "dark")])
def test_the_cost_report_is_drawn_quiet_alone_and_fits_the_window(
    browser: Browser, costs_page: Path, width: int, scheme: str
) -> None:
    visit = Visit(browser, costs_page, width=width, scheme=scheme)

    for name in ("by-day", "by-group", "burn-down", "forecasts"):
        visit.page.wait_for_selector(f"#{name} .main-svg .trace, #{name} .main-svg .point")
    bars = visit.page.evaluate("document.querySelectorAll('#by-day .bars .point path').length")
    _keep(visit.page, f"costs-{scheme}-{width}")
    assert bars >= 31
    assert visit.said == []
    assert visit.asked == [costs_page.as_uri()]
    assert visit.too_wide() == []
    paper = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 24, 30)"}[scheme]


@pytest.mark.parametrize(("width", "scheme"), [(375, "dark"), (1440, "light")])
def test_a_runs_report_is_drawn_quiet_alone_and_fits_the_window(
    browser: Browser, run_page: Path, width: int, scheme: str
) -> None:
    visit = Visit(browser, run_page, width=width, scheme=scheme)

    _keep(visit.page, f"run-{scheme}-{width}")
    assert visit.page.locator("svg").count() >= 3
    assert visit.page.locator("rect.spot").count() == 1
    assert visit.page.get_by_text("spot is <cheap> today").count() == 1
    assert visit.said == []
    assert visit.asked == [run_page.as_uri()]
    assert visit.too_wide() == []


def test_the_cost_report_prints_on_white_paper_also_from_a_dark_screen(
    browser: Browser, costs_page: Path
) -> None:
    visit = Visit(browser, costs_page, width=1440, scheme="dark")

    visit.page.emulate_media(media="print")

    paper = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"


def _keep(page: Page, name: str) -> None:
    """Keep a screenshot where somebody asked for it: docs/images come from here."""
    folder = os.environ.get("LOWTIDE_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
