"""Used time is charged once, to the period in which it lies, and never silently beyond a hold."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from blocks.ledger import Books, LineKind
from lowtide.errors import BadInputError, ConflictError
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
    per_hour,
    release,
    set_tree,
    settle,
    stretch,
    top_up,
    usd,
)

TEAM = {"name": "team", "limit_usd": 10}


def kinds(books: Books, run: str) -> list[tuple[str, Decimal]]:
    """Return what the journal says of a run."""
    return [(line.kind.value, line.amount_usd) for line in books.journal(run=run)]


def test_a_charge_moves_held_money_to_charged(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")

    done = charge(books, "r-1", 1)

    assert (done.amount_usd, done.overdraft_usd, done.hold_left_usd) == (1, 0, 3)
    assert figures(books, "team") == (usd(3), usd(1))


def test_a_repeated_charge_is_the_first_one(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    first = charge(books, "r-1", 1)

    assert charge(books, "r-1", 1) == first
    assert figures(books, "team") == (usd(3), usd(1))
    with pytest.raises(ConflictError):
        charge(books, "r-1", 2)


def test_a_doubled_sample_under_another_key_bills_nothing(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    charge(books, "r-1", 1)

    doubled = charge(books, "r-1", 1, key="another")

    assert doubled.amount_usd == 0
    assert figures(books, "team") == (usd(3), usd(1))


def test_a_sample_that_overlaps_bills_the_new_part_alone(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    charge(books, "r-1", 1, end=NOON + HOUR)

    longer = charge(books, "r-1", 3, end=NOON + 3 * HOUR, key="longer")
    late = charge(books, "r-1", 1, start=NOON + HOUR, end=NOON + 2 * HOUR, key="late")

    assert longer.amount_usd == usd(2)
    assert late.amount_usd == 0
    assert longer.metered_until == NOON + 3 * HOUR


def test_what_goes_beyond_the_hold_has_a_line_of_its_own(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")

    done = charge(books, "r-1", 5)

    assert (done.amount_usd, done.overdraft_usd, done.hold_left_usd) == (5, 1, 0)
    assert kinds(books, "r-1") == [("hold", 4), ("charge", 4), ("overdraft", 1)]
    assert figures(books, "team") == (0, usd(5))


def test_a_charge_after_the_hold_has_ended_is_an_overdraft(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    settle(books, "r-1", [stretch(1)])
    release(books, "r-1")

    more = settle(books, "r-1", [stretch(3)], key="again", now=NOON + DAY)

    assert (more.amount_usd, more.overdraft_usd) == (2, 2)
    assert books.check() == ()


def test_a_top_up_does_not_pay_for_an_old_overdraft(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 1)
    open_leg(books, "r-1")
    charge(books, "r-1", 3)

    top_up(books, "r-1", 2)

    hold_ = books.hold_of("r-1")
    assert hold_ is not None
    assert (hold_.left_usd, hold_.overdraft_usd) == (2, 2)


def test_used_time_is_cut_where_a_period_of_any_budget_ends(books: Books) -> None:
    """The root's day ends at midnight in Tokyo, the team's at midnight in Dubai."""
    set_tree(
        books,
        {"name": "org", "limit_usd": 100, "period": "day", "zone": "Asia/Tokyo"},
        {**TEAM, "limit_usd": 100, "parent": "org", "period": "day", "zone": "Asia/Dubai"},
    )
    held(books, "r-1", 8)
    open_leg(books, "r-1")
    tokyo_midnight = datetime(2026, 11, 23, 15, tzinfo=UTC)
    dubai_midnight = datetime(2026, 11, 23, 20, tzinfo=UTC)

    charge(books, "r-1", 8, start=tokyo_midnight - HOUR, end=dubai_midnight + 2 * HOUR)

    lines = books.journal(run="r-1")[1:]
    assert [(line.used_from, line.amount_usd) for line in lines] == [
        (tokyo_midnight - HOUR, usd(1)),
        (tokyo_midnight, usd(5)),
        (dubai_midnight, usd(2)),
    ]
    assert [line.key[-2:] for line in lines[1:]] == ["#1", "#2"]
    assert figures(books, "org", now=tokyo_midnight - HOUR)[1] == usd(1)
    assert figures(books, "org", now=dubai_midnight + HOUR)[1] == usd(7)
    assert figures(books, "team", now=dubai_midnight - HOUR)[1] == usd(6)
    assert figures(books, "team", now=dubai_midnight)[1] == usd(2)
    assert books.check() == ()


def test_cutting_loses_no_micro_dollar(books: Books) -> None:
    set_tree(books, {**TEAM, "period": "day"})
    held(books, "r-1", 1)
    open_leg(books, "r-1")

    done = charge(books, "r-1", "0.100001", start=NOON, end=NOON + 7 * DAY)

    assert done.amount_usd == usd("0.100001")
    assert sum(line.amount_usd for line in books.journal(run="r-1")[1:]) == usd("0.100001")


def test_metering_charges_each_moment_once_whoever_meters(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")

    def meter(minutes: int) -> Decimal:
        return books.meter(
            run="r-1",
            leg=1,
            until=NOON + HOUR * minutes / 60,
            price=per_hour("1.2"),
            price_version="2026-11",
            now=NOON + 2 * HOUR,
            actor="test",
            reason="a test",
        ).amount_usd

    billed = [meter(minutes) for minutes in (10, 10, 5, 30, 20, 60)]

    assert billed == [usd("0.2"), 0, 0, usd("0.4"), 0, usd("0.6")]
    assert figures(books, "team") == (usd("2.8"), usd("1.2"))


def test_a_sample_that_comes_after_the_settlement_bills_nothing(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    settle(books, "r-1", [stretch(1)])

    late = books.meter(
        run="r-1",
        leg=1,
        until=NOON + 5 * HOUR,
        price=per_hour("1"),
        price_version="2026-11",
        now=NOON + 5 * HOUR,
        actor="test",
        reason="a test",
    )

    assert late.amount_usd == 0
    with pytest.raises(ConflictError, match="settled"):
        charge(books, "r-1", 1, start=NOON + 2 * HOUR)


def test_a_leg_that_has_not_started_has_nothing_to_meter(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1", started_at=None)

    with pytest.raises(BadInputError, match="has not started"):
        books.meter(
            run="r-1",
            leg=1,
            until=NOON,
            price=per_hour("1"),
            price_version="1",
            now=NOON,
            actor="test",
            reason="a test",
        )


def test_settling_corrects_by_a_line_of_its_own(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    charge(books, "r-1", 2)

    less = settle(books, "r-1", [stretch("1.5", end=NOON + HOUR / 2)])
    again = settle(books, "r-1", [stretch("1.5", end=NOON + HOUR / 2)])

    assert less.amount_usd == usd("-0.5")
    assert again == less
    assert kinds(books, "r-1") == [
        ("hold", 4),
        ("charge", 2),
        ("settle", 0),
        ("correction", usd("-0.5")),
    ]
    assert figures(books, "team") == (usd("2.5"), usd("1.5"))
    with pytest.raises(ConflictError):
        settle(books, "r-1", [stretch(1)])


def test_settling_moves_charges_between_windows_and_periods(books: Books) -> None:
    set_tree(books, {**TEAM, "period": "day"})
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    charge(books, "r-1", 2, window="day")

    moved = settle(
        books,
        "r-1",
        [stretch(1, window="night"), stretch(1, start=NOON + DAY)],
        now=NOON + 2 * DAY,
    )

    assert moved.amount_usd == 0
    assert kinds(books, "r-1")[2:] == [
        ("settle", 0),
        ("correction", -2),
        ("correction", 1),
        ("correction", 1),
    ]
    assert figures(books, "team", now=NOON)[1] == usd(1)
    assert figures(books, "team", now=NOON + DAY)[1] == usd(1)


def test_moving_a_charge_after_the_release_is_no_overdraft(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    settle(books, "r-1", [stretch(2, window="day")])
    release(books, "r-1")

    moved = settle(books, "r-1", [stretch("1.5", window="night")], key="again", now=NOON + DAY)

    assert (moved.amount_usd, moved.overdraft_usd) == (usd("-0.5"), 0)
    (hold_,) = books.holds("r-1")
    assert (hold_.charged_usd, hold_.released_usd) == (usd("1.5"), usd("2.5"))
    assert books.check() == ()


def test_a_correction_makes_good_an_overdraft_first(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    charge(books, "r-1", 6)

    settle(books, "r-1", [stretch(3)])

    hold_ = books.hold_of("r-1")
    assert hold_ is not None
    assert (hold_.overdraft_usd, hold_.charged_usd, hold_.left_usd) == (0, 3, 1)


def test_a_leg_without_metering_never_settles_at_nothing(books: Books) -> None:
    """litellm PR#37927: a success without a price released the hold to $0."""
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    charge(books, "r-1", 1)

    rest = settle(books, "r-1", None)

    assert (rest.amount_usd, rest.hold_left_usd) == (3, 0)
    line = books.journal(run="r-1")[-1]
    assert (line.kind, line.window, line.measured) == (LineKind.CORRECTION, "unknown", False)
    assert release(books, "r-1") == 0


def test_a_measurement_replaces_a_bound(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    settle(books, "r-1", None)
    release(books, "r-1")

    settle(books, "r-1", [stretch(1)], key="measured", now=NOON + DAY)

    assert figures(books, "team") == (0, usd(1))
    (leg,) = books.legs("r-1")
    assert (leg.charged_usd, leg.measured) == (1, True)
    assert books.holds("r-1")[0].overdraft_usd == 0
    assert books.check() == ()


def test_a_leg_that_never_started_settles_at_nothing(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")

    settle(books, "r-1", [])

    assert release(books, "r-1") == usd(4)


def test_a_legs_charge_stays_with_the_hold_that_it_was_opened_under(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    settle(books, "r-1", [stretch(3)])
    release(books, "r-1")
    hold(books, "r-1", 5, key="second")

    settle(books, "r-1", [stretch(1)], key="corrected")

    first, second = books.holds("r-1")
    assert (first.charged_usd, first.released_usd) == (1, 3)
    assert (second.charged_usd, second.left_usd) == (0, 5)
    assert books.check() == ()


def test_a_stretch_that_ends_before_it_begins_is_refused(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")

    with pytest.raises(BadInputError, match="ends before it begins"):
        charge(books, "r-1", 1, end=NOON - HOUR)
    with pytest.raises(BadInputError, match="cannot be negative"):
        charge(books, "r-1", -1)


def test_an_unknown_leg_is_refused(books: Books) -> None:
    set_tree(books, TEAM)
    open_run(books, "r-1")

    with pytest.raises(BadInputError, match="no such leg"):
        charge(books, "r-1", 1)


def test_spending_is_added_up_by_budget_and_time_of_use(books: Books) -> None:
    set_tree(books, {"name": "org", "limit_usd": 100}, {**TEAM, "parent": "org"})
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    charge(books, "r-1", 1)
    charge(books, "r-1", 2, start=NOON + DAY)
    settle(books, "r-1", [stretch("0.5")], now=NOON + 2 * DAY)

    assert books.spent(start=NOON - DAY, end=NOON + 2 * DAY) == {"team": usd("0.5")}
    assert books.spent(start=NOON + 2 * DAY, end=NOON + 3 * DAY) == {}


def test_what_is_not_known_is_charged_within_the_legs_limit(books: Books) -> None:
    """A leg of an hour that is settled a week later has not been running for a week."""
    set_tree(books, {**TEAM, "period": "day"})
    held(books, "r-1", 4)
    open_leg(books, "r-1")

    settle(books, "r-1", None, now=NOON + 7 * DAY)

    assert figures(books, "team", now=NOON)[1] == usd(4)
    line = books.journal()[-1]
    assert (line.used_from, line.used_to) == (NOON, NOON + HOUR)
