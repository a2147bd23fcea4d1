"""The report on many runs, read from real books: every sum is the journal's."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from blocks.costs import cost_report
from blocks.ledger import Books, JournalLine, LineKind
from lowtide.errors import BadInputError
from lowtide.money import ZERO_USD
from lowtide.report import By, CostReport, document, parse_ask
from tests.fakes import month


@pytest.fixture(scope="module")
def books(month_file: Path) -> Iterator[Books]:
    opened = Books(f"sqlite:///{month_file}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def lines(books: Books) -> list[JournalLine]:
    """The journal of the month, read line by line and not by any sum."""
    return [
        line
        for line in books.journal(limit=100_000)
        if line.used_from is not None and month.START <= line.used_from < month.END
    ]


def report(books: Books, by: str = "team", *, budget: str | None = None) -> CostReport:
    ask = parse_ask(
        month.FIRST, month.LAST, now=month.AFTER, zone=month.ZONE, by=by, budget=budget
    )
    return cost_report(books, ask, book=month.PRICES, now=month.AFTER, with_cells=True)


def total(lines: list[JournalLine]) -> Decimal:
    return sum((line.amount_usd for line in lines), ZERO_USD)


def test_the_month_has_everything_that_a_sum_could_stumble_over(
    books: Books, lines: list[JournalLine]
) -> None:
    kinds = {line.kind for line in lines}
    refunds = [line for line in lines if line.kind is LineKind.CORRECTION and line.amount_usd < 0]

    assert kinds == {LineKind.CHARGE, LineKind.CORRECTION, LineKind.OVERDRAFT}
    assert refunds
    assert total(lines) != total(list(books.journal(limit=100_000)))
    assert {line.window for line in lines} == {"peak", "off-peak", "spot"}
    assert books.check() == ()


@pytest.mark.parametrize("by", list(By))
def test_groups_add_up_to_the_journal_by_whatever_they_are_made(
    books: Books, lines: list[JournalLine], by: By
) -> None:
    made = report(books, by)

    charged = sum((group.charged_usd for group in made.groups), ZERO_USD)
    assert charged == made.totals.charged_usd == total(lines)
    assert sum((cell.charged_usd for cell in made.cells), ZERO_USD) == total(lines)
    assert sum((run.facts.charged_usd for run in made.runs), ZERO_USD) == total(lines)


def test_days_are_those_of_the_zone_also_where_its_clocks_go_back(
    books: Books, lines: list[JournalLine]
) -> None:
    berlin = ZoneInfo(month.ZONE)
    expected: dict[str, Decimal] = defaultdict(lambda: ZERO_USD)
    for line in lines:
        assert line.used_from is not None
        expected[line.used_from.astimezone(berlin).date().isoformat()] += line.amount_usd

    made = report(books, "day")

    found = {group.key["day"]: group.charged_usd for group in made.groups}
    assert len(found) == 31
    assert {day: usd for day, usd in found.items() if usd} == dict(expected)
    assert {cell.day.isoformat() for cell in made.cells} == set(expected)


def test_a_tag_says_whose_a_run_is_before_the_tree_of_budgets_does(
    books: Books, lines: list[JournalLine]
) -> None:
    expected: dict[str, Decimal] = defaultdict(lambda: ZERO_USD)
    teams = {"vision": "vision", "vision/digits": "vision", "speech/asr": "speech"}
    for line in lines:
        row = books.run(str(line.run))
        assert row is not None
        expected[row.tags.get("team", teams[line.budget])] += line.amount_usd

    made = report(books, "team")

    assert {group.key["team"]: group.charged_usd for group in made.groups} == dict(expected)
    assert "platform" in expected


def test_one_budget_is_reported_with_those_below_it(
    books: Books, lines: list[JournalLine]
) -> None:
    made = report(books, "budget", budget="vision")

    expected = total([line for line in lines if line.budget.startswith("vision")])
    assert made.totals.charged_usd == expected
    assert {group.key["budget"] for group in made.groups} == {"vision", "vision/digits"}


def test_a_budget_that_does_not_exist_is_bad_input(books: Books) -> None:
    with pytest.raises(BadInputError, match=r"expected one of org, speech, speech/asr, vision"):
        report(books, budget="nobody")


def test_two_reports_side_by_side_count_every_run_and_every_line_once(books: Books) -> None:
    halves = [
        cost_report(
            books,
            parse_ask(first, last, now=month.AFTER, zone=month.ZONE),
            book=month.PRICES,
            now=month.AFTER,
        )
        for first, last in (("2026-10-01", "2026-10-13"), ("2026-10-14", "2026-10-31"))
    ]
    whole = report(books)

    for figure in ("charged_usd", "forecast_usd", "saved_usd", "wasted_usd"):
        assert sum(getattr(half.totals, figure) for half in halves) == getattr(
            whole.totals, figure
        ), figure
    waits = [half.totals.waited_s or 0 for half in halves]
    assert sum(waits) == pytest.approx(whole.totals.waited_s)


def test_the_months_and_the_days_before_are_the_journals(books: Books) -> None:
    def charged(start: datetime, end: datetime) -> Decimal:
        return total(
            [
                line
                for line in books.journal(limit=100_000)
                if line.used_from is not None and start <= line.used_from < end
            ]
        )

    made = report(books)

    assert [figure.month for figure in made.months][-2:] == ["2026-09", "2026-10"]
    assert made.months[-1].charged_usd == charged(month.START, month.END)
    assert made.months[-1].complete
    before = month.START - timedelta(days=31)
    assert made.before_usd == charged(before, month.START)
    assert made.before_usd > 0


def test_what_is_held_is_what_the_open_holds_have_left(books: Books) -> None:
    held = sum(
        (state.held_usd for state in books.budgets(month.AFTER) if not state.parent), ZERO_USD
    )

    assert report(books).totals.held_usd == held
    assert held > 0


def test_days_without_a_run_make_a_report_that_says_so(books: Books) -> None:
    ask = parse_ask("2020-01-01", "2020-01-31", now=month.AFTER)

    made = document(cost_report(books, ask, book=month.PRICES, now=month.AFTER))

    assert made["reason"] == "no run used time in these days, and none was asked for"
    assert made["groups"] == made["runs"] == []
    assert made["averages"]["charged_usd"] is None


def test_without_prices_nothing_is_said_to_be_saved_and_the_money_is_all_there(
    books: Books, lines: list[JournalLine]
) -> None:
    ask = parse_ask(month.FIRST, month.LAST, now=month.AFTER, zone=month.ZONE)

    made = cost_report(books, ask, book=None, now=month.AFTER)

    assert made.totals.saved_usd is None
    assert made.totals.charged_usd == total(lines)
