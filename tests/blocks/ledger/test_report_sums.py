"""What reports and monitoring add up in SQL, against the same rows added up one by one."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal

from blocks.costs import cost_report
from blocks.ledger import Books, JournalLine
from lowtide.ledger.records import LegRow, RunRow
from lowtide.money import ZERO_USD
from lowtide.report import By, parse_ask
from tests.blocks.ledger import acts
from tests.fakes import month

ALL = 100_000


def rows_of(books: Books) -> tuple[list[RunRow], list[LegRow], list[JournalLine]]:
    """The month's runs, legs and lines of used time, row by row."""
    runs = list(books.runs(limit=ALL))
    legs = [leg for run in runs for leg in books.legs(run.run)]
    used = [
        line
        for line in books.journal(limit=ALL)
        if line.used_from is not None and month.START <= line.used_from < month.END
    ]
    return runs, legs, used


def test_a_report_is_the_sum_of_its_rows(books: Books) -> None:
    month.fill(books)
    _, _, used = rows_of(books)
    expected = sum((line.amount_usd for line in used), ZERO_USD)
    by_run: Counter[str] = Counter()
    for line in used:
        by_run[str(line.run)] += int(line.amount_usd.scaleb(6))

    for by in By:
        ask = parse_ask(month.FIRST, month.LAST, now=month.AFTER, zone=month.ZONE, by=by)
        made = cost_report(books, ask, book=month.PRICES, now=month.AFTER)

        assert sum((group.charged_usd for group in made.groups), ZERO_USD) == expected, by
        assert made.totals.charged_usd == made.months[-1].charged_usd == expected
        shown = {run.facts.run: run.facts.charged_micro_usd for run in made.runs}
        assert {run: usd for run, usd in shown.items() if usd} == dict(by_run)


def test_the_groups_figures_add_up_to_those_of_all_runs_and_those_to_each_runs(
    books: Books,
) -> None:
    month.fill(books)
    ask = parse_ask(month.FIRST, month.LAST, now=month.AFTER, zone=month.ZONE)

    made = cost_report(books, ask, book=month.PRICES, now=month.AFTER)

    assert not made.runs_left_out
    own = [run for run in made.runs if run.facts.in_days]
    assert made.totals.runs == len(made.runs)
    saved = [run.saved_usd for run in own if run.saved_usd is not None]
    expected: dict[str, Decimal] = {
        "saved_usd": sum(saved, ZERO_USD),
        "wasted_usd": sum((run.wasted.total_usd for run in own), ZERO_USD),
        "held_usd": sum((run.facts.held_usd for run in made.runs), ZERO_USD),
        "total_usd": sum((run.facts.total_usd for run in own), ZERO_USD),
    }
    for figure, usd in expected.items():
        assert getattr(made.totals, figure) == usd, figure
        assert sum(getattr(group, figure) or 0 for group in made.groups) == usd, figure
    assert made.totals.wasted_usd == made.wasted.total_usd
    assert expected["saved_usd"]
    assert expected["wasted_usd"]


def test_an_earlier_run_is_in_the_report_of_the_days_in_which_it_used_time(books: Books) -> None:
    month.fill(books)
    runs, _, used = rows_of(books)
    last = max(used, key=lambda line: str(line.used_from))
    assert last.used_from is not None
    run = next(row for row in runs if row.run == last.run)
    day = last.used_from.date().isoformat()
    ask = parse_ask(day, day, now=month.AFTER)

    made = cost_report(books, ask, book=None, now=month.AFTER)

    users = {
        str(line.run) for line in used if line.used_from and line.used_from.date() == ask.last_day
    }
    assert run.run in users
    charged = {each.facts.run for each in made.runs if each.facts.charged_micro_usd}
    assert charged == users


def test_monitoring_counts_what_there_is(books: Books) -> None:
    month.fill(books)
    runs, legs, _ = rows_of(books)

    fleet = books.fleet(budgets=books.budgets(month.AFTER), now=month.AFTER)

    assert fleet.runs == Counter((run.state.value, run.priority) for run in runs)
    ended = Counter(
        (leg.end.value, leg.flavor, leg.capacity.value) for leg in legs if leg.end is not None
    )
    assert fleet.ended == ended
    waits = [
        (leg.started_at - leg.opened_at).total_seconds()
        for leg in legs
        if leg.started_at is not None
    ]
    assert sum(wait.count for wait in fleet.waits.values()) == len(waits)
    assert sum(wait.sum_s for wait in fleet.waits.values()) == sum(waits)
    assert fleet.waits["t4"].buckets[-1] == len(waits)


def test_a_start_that_a_cluster_tells_in_whole_seconds_is_a_wait_of_nothing(books: Books) -> None:
    acts.set_tree(books, {"name": "team", "limit_usd": 10})
    acts.held(books, "r-1", 5)
    started_at = acts.NOON - timedelta(milliseconds=400)
    acts.open_leg(books, "r-1", started_at=started_at)

    fleet = books.fleet(budgets=books.budgets(acts.NOON), now=acts.NOON)
    [leg] = books.legs("r-1")

    assert leg.started_at is not None
    assert leg.started_at < leg.opened_at
    assert leg.queued_s(now=acts.NOON) == 0
    wait = fleet.waits[leg.flavor]
    assert (wait.count, wait.sum_s, wait.buckets[0]) == (1, 0, 1)
