"""Money is set aside on every budget from the root down, or on none."""

from decimal import Decimal

import pytest

from blocks.ledger import Books, Hold
from lowtide.errors import BadInputError, ConflictError
from lowtide.verdict import RefusalReason, Refused
from tests.blocks.ledger.acts import (
    DAY,
    HOUR,
    NOON,
    figures,
    held,
    hold,
    open_leg,
    open_run,
    release,
    set_tree,
    settle,
    shrink,
    stretch,
    top_up,
    usd,
)

ORG = {"name": "org", "limit_usd": 10}
TEAM = {"name": "team", "parent": "org", "limit_usd": 6}
OTHER = {"name": "other", "parent": "org", "limit_usd": 8}


def test_a_hold_counts_on_every_budget_up_to_the_root(books: Books) -> None:
    set_tree(books, ORG, TEAM, OTHER)

    held(books, "r-1", 4)

    assert figures(books, "team") == (usd(4), 0)
    assert figures(books, "org") == (usd(4), 0)
    assert figures(books, "other") == (0, 0)


def test_one_micro_dollar_more_may_not(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    open_run(books, "r-1")

    refused = hold(books, "r-1", "6.000001")

    assert isinstance(refused, Refused)
    assert refused.gap_usd == usd("0.000001")
    assert isinstance(hold(books, "r-1", "6.000000"), Hold)


def test_what_the_root_refuses_is_held_nowhere(books: Books) -> None:
    set_tree(books, ORG, TEAM, OTHER)
    held(books, "r-1", 8, budget="other")
    open_run(books, "r-2")

    refused = hold(books, "r-2", 5)

    assert isinstance(refused, Refused)
    assert (refused.reason, refused.budget) == (RefusalReason.BUDGET, "org")
    assert refused.gap_usd == usd(3)
    assert "'org' has $2.00 left of $10.00" in refused.message
    assert "'r-2' asks for $5.00" in refused.message
    assert "raise the limit of 'org' by $3.00" in refused.remedy
    assert figures(books, "team") == (0, 0)
    assert books.hold_of("r-2") is None
    assert books.check() == ()


@pytest.mark.parametrize("mode", ["observe", "warn"])
def test_a_budget_that_does_not_block_refuses_nothing(books: Books, mode: str) -> None:
    set_tree(books, {**TEAM, "parent": None, "mode": mode})

    taken = held(books, "r-1", 100)

    assert taken.left_usd == usd(100)
    assert figures(books, "team") == (usd(100), 0)


def test_asking_again_changes_nothing(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    first = held(books, "r-1", 4)

    again = hold(books, "r-1", 4, now=NOON + HOUR)

    assert again == first
    assert figures(books, "team") == (usd(4), 0)


def test_the_same_key_with_another_amount_is_an_error(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    held(books, "r-1", 4)

    with pytest.raises(ConflictError, match=r"hold 4\.000000 USD .* got hold 5\.000000 USD"):
        hold(books, "r-1", 5)

    assert figures(books, "team") == (usd(4), 0)


def test_a_refusal_is_not_remembered(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    open_run(books, "r-1")
    assert isinstance(hold(books, "r-1", 7), Refused)

    set_tree(books, ORG, {**TEAM, "limit_usd": 7})

    assert isinstance(hold(books, "r-1", 7), Hold)


def test_a_run_has_one_open_hold(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    held(books, "r-1", 1)

    with pytest.raises(ConflictError, match="already holds 1"):
        hold(books, "r-1", 1, key="another")


def test_a_run_whose_hold_has_ended_may_take_a_new_one(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    held(books, "r-1", 1)
    release(books, "r-1")

    again = hold(books, "r-1", 2, key="another", now=NOON + HOUR)

    assert isinstance(again, Hold)
    assert [each.amount_usd for each in books.holds("r-1")] == [1, 2]
    assert books.check() == ()


@pytest.mark.parametrize("amount", ["-0.000001", "NaN", "Infinity"])
def test_an_amount_that_is_no_amount_is_refused(books: Books, amount: str) -> None:
    set_tree(books, ORG, TEAM)
    open_run(books, "r-1")

    with pytest.raises(BadInputError):
        hold(books, "r-1", amount)


def test_an_unknown_budget_is_named_with_those_that_exist(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    open_run(books, "r-1")

    with pytest.raises(BadInputError, match=r"'tema'.*one of org, team"):
        hold(books, "r-1", 1, budget="tema")


def test_an_unknown_run_is_refused(books: Books) -> None:
    set_tree(books, ORG, TEAM)

    with pytest.raises(BadInputError, match="no such run"):
        hold(books, "r-9", 1)


def test_a_top_up_is_held_or_refused_as_a_hold_is(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    held(books, "r-1", 4)

    assert isinstance(top_up(books, "r-1", 3), Refused)
    more = top_up(books, "r-1", 2)
    again = top_up(books, "r-1", 2)

    assert isinstance(more, Hold)
    assert more.amount_usd == usd(6)
    assert again == more
    assert figures(books, "org") == (usd(6), 0)


def test_a_top_up_may_prolong_the_hold(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    held(books, "r-1", 4)

    longer = books.top_up(
        key="longer",
        run="r-1",
        amount_usd=Decimal(0),
        expires_at=NOON + DAY,
        actor="test",
        reason="a test",
        now=NOON,
    )

    assert isinstance(longer, Hold)
    assert longer.expires_at == NOON + DAY


def test_a_shrink_gives_the_difference_back(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    held(books, "r-1", 4)

    less = shrink(books, "r-1", "1.5")
    again = shrink(books, "r-1", "1.5")

    assert less.left_usd == usd("1.5")
    assert again == less
    assert figures(books, "team") == (usd("1.5"), 0)
    with pytest.raises(BadInputError, match="between what was charged"):
        shrink(books, "r-1", 2, key="up")


def test_a_hold_ends_at_most_once(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    held(books, "r-1", 4)

    first = release(books, "r-1")
    again = release(books, "r-1")
    other = release(books, "r-1", key="other")

    assert (first, again, other) == (usd(4), usd(4), 0)
    assert figures(books, "org") == (0, 0)
    with pytest.raises(ConflictError, match="was released at"):
        top_up(books, "r-1", 1)


def test_a_top_up_without_a_hold_is_an_error(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    open_run(books, "r-1")

    with pytest.raises(ConflictError, match="never held"):
        top_up(books, "r-1", 1)


def test_nothing_is_given_back_while_a_leg_is_not_settled(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")

    with pytest.raises(ConflictError, match="leg 1 is not settled"):
        release(books, "r-1")

    settle(books, "r-1", [stretch(1)])
    assert release(books, "r-1") == usd(3)
    assert figures(books, "team") == (0, usd(1))


def test_an_open_hold_counts_in_the_next_period_too(books: Books) -> None:
    set_tree(books, {**TEAM, "parent": None, "period": "day"})
    held(books, "r-1", 4)
    tomorrow = NOON + DAY
    open_run(books, "r-2", now=tomorrow)

    refused = hold(books, "r-2", 3, now=tomorrow)

    assert isinstance(refused, Refused)
    assert refused.gap_usd == usd(1)


def test_held_money_equals_charges_and_release(books: Books) -> None:
    set_tree(books, ORG, TEAM)
    held(books, "r-1", "0.333333")
    open_leg(books, "r-1")
    settle(books, "r-1", [stretch("0.1"), stretch("0.0333334", start=NOON + HOUR)])
    release(books, "r-1")

    (hold_,) = books.holds("r-1")

    assert hold_.amount_usd == hold_.charged_usd + hold_.released_usd
    assert books.check() == ()
