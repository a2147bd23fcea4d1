"""A tree is set as a whole or not at all; limits move with an actor and a reason."""

from datetime import UTC, datetime
from typing import Any

import pytest

from blocks.ledger import Books, BudgetState, Hold, Override
from lowtide.errors import BadInputError, ConflictError
from lowtide.verdict import Refused
from tests.blocks.ledger.acts import (
    DAY,
    HOUR,
    NOON,
    charge,
    figures,
    held,
    hold,
    open_leg,
    open_run,
    release,
    set_tree,
    settle,
    stretch,
    tree,
    usd,
)

ORG = {"name": "org", "limit_usd": 10}
TEAM = {"name": "team", "parent": "org", "limit_usd": 6}


def spend(books: Books, amount: int, *, run: str = "r-1") -> None:
    """Spend some of the team's money and hold nothing."""
    held(books, run, amount)
    open_leg(books, run)
    settle(books, run, [stretch(amount)])
    release(books, run)


def adjust(
    books: Books, amount: str | int, *, key: str = "adjust", now: datetime = NOON
) -> BudgetState:
    """Adjust the team's limit."""
    return books.adjust(
        key=key, budget="team", amount_usd=usd(amount), actor="ada", reason="a demo", now=now
    )


def override(
    books: Books, amount: str | int, *, run: str = "r-1", budget: str = "team"
) -> Override | Refused:
    """Let a run go beyond a limit for an hour."""
    return books.override(
        key=f"{run}/override/{amount}",
        run=run,
        budget=budget,
        amount_usd=usd(amount),
        expires_at=NOON + HOUR,
        actor="ada",
        reason="a paper deadline",
        now=NOON,
    )


def test_setting_the_same_tree_again_changes_nothing(books: Books) -> None:
    assert set_tree(books, ORG, TEAM) == ("org", "team")
    lines = books.journal()

    assert set_tree(books, ORG, TEAM) == ()
    assert books.journal() == lines
    assert [(line.kind.value, line.budget, line.amount_usd) for line in lines] == [
        ("limit", "org", 10),
        ("limit", "team", 6),
    ]


def test_a_change_of_a_limit_is_in_the_journal_with_its_actor(books: Books) -> None:
    set_tree(books, ORG, TEAM)

    books.set_budgets(
        tree(ORG, {**TEAM, "limit_usd": 4}), actor="ada", reason="less next month", now=NOON
    )

    line = books.journal()[-1]
    assert (line.amount_usd, line.actor, line.reason) == (-2, "ada", "less next month")


def test_a_limit_below_what_is_charged_is_refused_and_nothing_changes(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    spend(books, 5)

    with pytest.raises(BadInputError) as refusal:
        set_tree(books, {**ORG, "limit_usd": 50}, {**TEAM, "limit_usd": 4})

    assert "budget 'team'" in str(refusal.value)
    assert (refusal.value.expected, refusal.value.got) == (">= 5.000000 USD", "4.000000 USD")
    assert "2026-12-01" in str(refusal.value.remedy)
    assert [state.limit_usd for state in books.budgets(NOON)] == [10, 6]
    assert set_tree(books, ORG, {**TEAM, "limit_usd": 5}) == ("team",)


def test_a_limit_below_what_is_held_stops_new_holds_and_kills_none(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    held(books, "r-1", 5)
    open_run(books, "r-2")

    set_tree(books, ORG, {**TEAM, "limit_usd": 2})

    (_, team) = books.budgets(NOON)
    assert team.available_usd == usd(-3)
    assert isinstance(hold(books, "r-2", 1), Refused)
    assert books.hold_of("r-1") is not None


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"period": "week"}, "the period cannot change"),
        ({"zone": "Europe/Berlin"}, "the zone cannot change"),
        ({"parent": None}, "the parent cannot change"),
    ],
)
def test_a_budget_with_money_on_it_keeps_its_shape(
    books: Books, change: dict[str, Any], where: str
) -> None:
    set_tree(books, ORG, TEAM)
    spend(books, 1)

    with pytest.raises(BadInputError, match=where):
        set_tree(books, ORG, {**TEAM, **change})

    next_month = datetime(2026, 12, 1, 12, tzinfo=UTC)
    assert set_tree(books, ORG, {**TEAM, **change}, now=next_month) == ("team",)
    assert figures(books, "team", now=next_month) == (0, 0)
    assert books.check() == ()


def test_a_period_that_changed_begins_afresh(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    set_tree(books, ORG, {**TEAM, "period": "day"})

    spend(books, 5)

    assert figures(books, "team", now=NOON) == (0, usd(5))
    assert figures(books, "team", now=NOON + DAY) == (0, 0)
    assert books.check() == ()


def test_a_late_correction_goes_to_the_budgets_that_paid(books: Books) -> None:
    set_tree(books, ORG, {"name": "new", "limit_usd": 10}, TEAM)
    spend(books, 4)
    december = datetime(2026, 12, 1, 12, tzinfo=UTC)
    set_tree(books, ORG, {"name": "new", "limit_usd": 10}, {**TEAM, "parent": "new"}, now=december)

    settle(books, "r-1", [stretch(1)], key="corrected", now=december)

    assert figures(books, "org", now=NOON)[1] == usd(1)
    assert figures(books, "new", now=NOON)[1] == 0
    assert books.check() == ()


def test_a_budget_that_is_left_out_is_retired_and_may_come_back(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    held(books, "r-1", 1)
    with pytest.raises(BadInputError, match="left out, but money is held"):
        set_tree(books, ORG)
    release(books, "r-1")

    assert set_tree(books, ORG) == ("team",)
    assert [state.name for state in books.budgets(NOON)] == ["org"]
    with pytest.raises(BadInputError, match="no such budget"):
        held(books, "r-2", 1)
    assert set_tree(books, ORG, TEAM) == ("team",)
    assert isinstance(hold(books, "r-2", 1), Hold)


def test_an_adjustment_lasts_for_the_period(books: Books) -> None:
    set_tree(books, {**TEAM, "parent": None, "period": "day"})

    state = adjust(books, 4)
    again = adjust(books, 4)

    assert (state.limit_usd, state.adjusted_usd) == (10, 4)
    assert again == state
    assert books.budgets(NOON + DAY)[0].limit_usd == usd(6)
    with pytest.raises(ConflictError):
        adjust(books, 5)
    line = books.journal()[-1]
    assert (line.kind.value, line.amount_usd, line.actor) == ("adjust", 4, "ada")


def test_an_adjustment_below_what_is_charged_is_refused(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    spend(books, 5)

    with pytest.raises(BadInputError, match="already charged"):
        adjust(books, -2)
    assert adjust(books, -1).available_usd == 0


def test_adjusting_an_unknown_budget_is_refused(books: Books) -> None:
    with pytest.raises(BadInputError, match="there is none yet"):
        adjust(books, 1)


def test_an_override_lets_one_run_go_beyond_the_limit(books: Books) -> None:
    set_tree(books, ORG, {**TEAM, "approvals": {"max_usd": 2}})
    open_run(books, "r-1")
    open_run(books, "r-2")

    given = override(books, 2)

    assert isinstance(given, Override)
    assert isinstance(hold(books, "r-2", 8), Refused)
    assert isinstance(hold(books, "r-1", "8.000001"), Refused)
    assert isinstance(hold(books, "r-1", 8), Hold)
    assert override(books, 2) == given
    line = next(line for line in books.journal() if line.kind.value == "override")
    assert (line.actor, line.run, line.amount_usd) == ("ada", "r-1", 2)


def test_an_override_ends(books: Books) -> None:
    set_tree(books, ORG, {**TEAM, "approvals": {"max_usd": 2}})
    open_run(books, "r-1")
    override(books, 2)

    assert isinstance(hold(books, "r-1", 8, now=NOON + HOUR), Refused)


def test_an_override_of_one_budget_does_not_lift_another(books: Books) -> None:
    set_tree(books, {**ORG, "limit_usd": 7}, {**TEAM, "approvals": {"max_usd": 2}})
    open_run(books, "r-1")
    override(books, 2)

    refused = hold(books, "r-1", 8)

    assert isinstance(refused, Refused)
    assert refused.budget == "org"


@pytest.mark.parametrize("approvals", [{}, {"approvals": {"max_usd": 2}}])
def test_an_approval_is_bounded_by_the_budget(books: Books, approvals: dict[str, Any]) -> None:
    set_tree(books, ORG, {**TEAM, **approvals})
    open_run(books, "r-1")

    refused = override(books, "2.000001")

    assert isinstance(refused, Refused)
    assert "approvals.max_usd" in refused.remedy
    assert all(line.kind.value != "override" for line in books.journal())


def test_a_closed_period_stays_as_it_was(books: Books) -> None:
    set_tree(books, {**TEAM, "parent": None, "period": "day"})
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    charge(books, "r-1", 1)
    tomorrow = NOON + DAY

    closed = books.close_period(
        budget="team", at=NOON, actor="ada", reason="month end", now=tomorrow
    )
    again = books.close_period(
        budget="team", at=NOON + HOUR, actor="ada", reason="month end", now=tomorrow
    )
    charge(books, "r-1", 2, start=NOON + HOUR, now=tomorrow)

    assert (closed.charged_usd, closed.closed) == (1, True)
    assert again == closed
    assert figures(books, "team", now=NOON)[1] == usd(1)
    assert figures(books, "team", now=tomorrow)[1] == usd(2)
    assert books.journal()[-1].used_from == NOON + HOUR
    assert books.check() == ()


def close(books: Books, *, at: datetime, now: datetime) -> None:
    books.close_period(budget="team", at=at, actor="ada", reason="the day is over", now=now)


def test_what_a_closed_period_left_unused_raises_the_next_ones_limit_up_to_the_bound(
    books: Books,
) -> None:
    set_tree(
        books, {"name": "team", "limit_usd": 10, "period": "day", "roll_over": {"max_usd": 4}}
    )
    held(books, "r-1", 9)
    open_leg(books, "r-1")
    charge(books, "r-1", 7)
    tomorrow, third_day = NOON + DAY, NOON + 2 * DAY

    for _ in range(2):
        close(books, at=NOON, now=tomorrow)
    (second,) = books.budgets(tomorrow)
    close(books, at=tomorrow, now=third_day)
    (third,) = books.budgets(third_day)

    assert (second.limit_usd, second.adjusted_usd) == (13, 3)
    assert (third.limit_usd, third.adjusted_usd) == (14, 4)
    line = books.journal()[-1]
    assert (line.kind.value, line.amount_usd, line.actor) == ("adjust", 4, "ada")
    assert books.check() == ()


def test_unused_money_is_counted_from_the_limit_that_was_in_force_then(books: Books) -> None:
    entry = {"name": "team", "period": "day", "roll_over": {"max_usd": 100}}
    set_tree(books, {**entry, "limit_usd": 10})
    tomorrow = NOON + DAY
    set_tree(books, {**entry, "limit_usd": 50}, now=tomorrow)

    close(books, at=NOON, now=tomorrow)

    assert books.budgets(tomorrow)[0].limit_usd == 60


def test_nothing_rolls_over_from_a_period_that_was_overrun_or_before_there_was_a_budget(
    books: Books,
) -> None:
    set_tree(books, {"name": "team", "limit_usd": 1, "period": "day", "roll_over": {"max_usd": 9}})
    held(books, "r-1", 1)
    open_leg(books, "r-1")
    charge(books, "r-1", 3)
    tomorrow = NOON + DAY

    close(books, at=NOON, now=tomorrow)
    close(books, at=NOON - DAY, now=tomorrow)

    assert books.budgets(tomorrow)[0].adjusted_usd == 0


def test_a_period_that_runs_cannot_be_closed(books: Books) -> None:
    set_tree(books, ORG, TEAM)

    with pytest.raises(BadInputError, match="has not ended yet"):
        books.close_period(budget="team", at=NOON, actor="ada", reason="early", now=NOON)


def test_the_shape_that_programs_read(books: Books) -> None:
    set_tree(books, {**TEAM, "parent": None, "period": "total", "thresholds": [50]})
    held(books, "r-1", 3)

    (document,) = [state.document() for state in books.budgets(NOON)]

    assert document == {
        "name": "team",
        "parent": None,
        "mode": "block",
        "period": "total",
        "zone": "UTC",
        "period_start": None,
        "period_end": None,
        "limit_usd": "6.000000",
        "adjusted_usd": "0.000000",
        "held_usd": "3.000000",
        "charged_usd": "0.000000",
        "available_usd": "3.000000",
        "thresholds": [
            {"percent": 50, "of": "charged", "crossed_at": None},
            {"percent": 50, "of": "forecast", "crossed_at": NOON.isoformat()},
        ],
    }
    line = books.journal()[-1].document()
    assert line["amount_usd"] == "3.000000"
    assert line["key"] == "r-1/hold"
    assert line["leg"] is None


def test_the_journal_of_a_budget_has_the_lines_of_those_below(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    held(books, "r-1", 1)
    held(books, "r-2", 1, budget="org")

    assert [line.run for line in books.journal(budget="org")] == [None, None, "r-1", "r-2"]
    assert [line.run for line in books.journal(budget="team")] == [None, "r-1"]
    assert [line.run for line in books.journal(limit=1)] == ["r-2"]
