"""Thresholds are noted once for a budget, period, percent and figure, late charges included."""

import pytest

from blocks.ledger import Books, ThresholdOf
from tests.blocks.ledger.acts import (
    DAY,
    HOUR,
    NOON,
    charge,
    held,
    open_leg,
    release,
    set_tree,
    settle,
    stretch,
    usd,
)

TEAM = {"name": "team", "limit_usd": 10, "period": "day"}


def noted(books: Books) -> list[tuple[int, str]]:
    """Return the thresholds that were noted."""
    return [(each.percent, each.of.value) for each in books.crossings()]


def test_a_hold_crosses_thresholds_of_the_forecast(books: Books) -> None:
    set_tree(books, TEAM)

    held(books, "r-1", "4.999999")
    assert noted(books) == []
    held(books, "r-2", "3.000001")

    assert noted(books) == [(50, "forecast"), (80, "forecast")]
    crossing = books.crossings()[0]
    assert (crossing.budget, crossing.amount_usd, crossing.limit_usd) == ("team", 8, 10)
    assert crossing.at == NOON


def test_a_threshold_is_noted_once_however_often_it_is_crossed(books: Books) -> None:
    set_tree(books, TEAM)
    for number in range(3):
        held(books, f"r-{number}", 6)
        release(books, f"r-{number}")

    assert noted(books) == [(50, "forecast")]


def test_a_charge_that_is_seen_late_is_noted_in_the_period_of_its_use(books: Books) -> None:
    """mlflow#26054: a crossing seen by a backfill never alerts."""
    set_tree(books, TEAM)
    held(books, "r-1", 6)
    open_leg(books, "r-1")
    tomorrow = NOON + DAY

    charge(books, "r-1", 6, now=tomorrow)
    settle(books, "r-1", [stretch(6)], now=tomorrow)

    charged = [each for each in books.crossings() if each.of is ThresholdOf.CHARGED]
    assert [(each.percent, each.at) for each in charged] == [(50, tomorrow)]
    assert charged[0].period_start == NOON - 12 * HOUR


def test_a_new_period_starts_afresh_and_what_is_still_held_counts(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 6)

    held(books, "r-2", 1, now=NOON + DAY)

    assert [each.period_start for each in books.crossings()] == [
        NOON - 12 * HOUR,
        NOON + 12 * HOUR,
    ]


@pytest.mark.parametrize("way", ["set", "adjust"])
def test_a_lowered_limit_crosses_too(books: Books, way: str) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)

    if way == "set":
        set_tree(books, {**TEAM, "limit_usd": 5})
    else:
        books.adjust(
            key="less", budget="team", amount_usd=usd(-5), actor="ada", reason="less", now=NOON
        )

    assert noted(books) == [(50, "forecast"), (80, "forecast")]


def test_every_budget_of_the_path_has_its_own(books: Books) -> None:
    set_tree(books, {"name": "org", "limit_usd": 100}, {**TEAM, "parent": "org"})

    held(books, "r-1", 9)

    assert {each.budget for each in books.crossings()} == {"team"}


def test_a_budget_that_only_observes_notes_nothing(books: Books) -> None:
    set_tree(books, {**TEAM, "mode": "observe"})

    held(books, "r-1", 90)

    assert books.crossings() == ()


def test_one_caller_alone_is_the_one_who_tells(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 6)
    (crossing,) = books.crossings(untold=True)

    told = [books.mark_told(crossing, now=NOON) for _ in range(2)]

    assert told == [True, False]
    assert books.crossings(untold=True) == ()


def test_moving_charges_between_windows_crosses_nothing(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 9)
    open_leg(books, "r-1")
    charge(books, "r-1", 4, window="night")

    settle(books, "r-1", [stretch("4.5", window="day")])

    assert (50, "charged") not in noted(books)
