"""Admission, splitting and booking, each against a recomputation that shares nothing with it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from lowtide.errors import BadInputError
from lowtide.ledger.budgets import Mode
from lowtide.ledger.periods import EPOCH, FOREVER, Period
from lowtide.ledger.rules import (
    Level,
    Piece,
    Purse,
    admit,
    book,
    crossed,
    cut,
    whole_micro_usd,
)
from lowtide.verdict import RefusalReason

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MICRO = st.integers(0, 10**12)


def level(name: str, limit: int, *, held: int = 0, charged: int = 0, **more: object) -> Level:
    """Return a budget with a limit of some micro-dollars."""
    mode = Mode(str(more.get("mode", "block")))
    lifted = more.get("lifted", 0)
    assert isinstance(lifted, int)
    return Level(
        name=name,
        mode=mode,
        period=Period(start=EPOCH, end=FOREVER),
        limit_micro_usd=limit,
        held_micro_usd=held,
        charged_micro_usd=charged,
        lifted_micro_usd=lifted,
    )


@given(
    st.lists(st.tuples(MICRO, MICRO, MICRO, st.sampled_from(Mode)), min_size=1, max_size=4), MICRO
)
def test_money_is_admitted_exactly_where_every_blocking_limit_still_holds(
    budgets: list[tuple[int, int, int, Mode]], amount: int
) -> None:
    levels = [
        level(str(depth), limit, held=held, charged=charged, mode=mode.value)
        for depth, (limit, held, charged, mode) in enumerate(budgets)
    ]

    refused = admit(levels, run="r-1", amount_micro_usd=amount)

    over = [
        held + charged + amount - limit
        for limit, held, charged, mode in budgets
        if mode in {Mode.BLOCK, Mode.DRAIN, Mode.KILL}
    ]
    largest = max([0, *over])
    assert (refused is None) == (largest == 0)
    if refused is not None:
        assert refused.reason is RefusalReason.BUDGET
        assert refused.gap_usd is not None
        assert int(refused.gap_usd.scaleb(6)) == largest


def test_the_lower_of_two_budgets_with_the_same_gap_is_named() -> None:
    refused = admit([level("org", 5), level("team", 5)], run="r-1", amount_micro_usd=6)

    assert refused is not None
    assert refused.budget == "team"


def test_a_lifted_limit_admits_so_much_more() -> None:
    team = level("team", 5_000_000, lifted=1_000_000)

    assert admit([team], run="r-1", amount_micro_usd=6_000_000) is None
    refused = admit([team], run="r-1", amount_micro_usd=6_000_001)
    assert refused is not None
    assert refused.message == "budget 'team' has $6.00 left of $5.00, run 'r-1' asks for $6.00"


def test_an_overrun_budget_has_nothing_left() -> None:
    refused = admit([level("team", 5, charged=9)], run="r-1", amount_micro_usd=1)

    assert refused is not None
    assert "has $0.00 left" in refused.message
    assert refused.gap_usd == Decimal("0.000005")


@given(
    MICRO,
    st.integers(1, 10**6),
    st.lists(st.integers(-(10**6), 2 * 10**6), max_size=8),
)
def test_cutting_keeps_the_sum_and_shares_by_time(
    amount: int, length_s: int, cuts: list[int]
) -> None:
    end = NOON + length_s * SECOND
    whole = Piece(start=NOON, end=end, amount_micro_usd=amount, window="day")

    pieces = list(cut(whole, at=[NOON + at * SECOND for at in cuts]))

    assert sum(piece.amount_micro_usd for piece in pieces) == amount
    assert [piece.end for piece in pieces[:-1]] == [piece.start for piece in pieces[1:]]
    assert (pieces[0].start, pieces[-1].end) == (NOON, end)
    assert len(pieces) == 1 + len({at for at in cuts if 0 < at < length_s})
    for piece in pieces:
        exact = Fraction(amount) * int((piece.end - piece.start) / SECOND) / length_s
        assert abs(piece.amount_micro_usd - exact) <= 1
        assert piece.amount_micro_usd >= 0


@given(
    amount=MICRO,
    spent=st.integers(0, 2 * 10**12),
    changes=st.lists(st.integers(-(10**12), 10**12), max_size=8),
    is_open=st.booleans(),
)
def test_booking_depends_on_the_sum_alone_and_loses_nothing(
    amount: int, spent: int, changes: list[int], *, is_open: bool
) -> None:
    charged, overdraft = min(amount, spent), max(spent - amount, 0)
    released = 0 if is_open else amount - charged
    purse = Purse(
        amount=amount, charged=charged, overdraft=overdraft, released=released, is_open=is_open
    )
    total = sum(changes)
    if spent + total < 0:
        changes = [*changes, -(spent + total)]
        total = -spent

    after, bookings = book(purse, changes)

    assert after.charged + after.overdraft == spent + total
    assert [booking.within + booking.beyond for booking in bookings] == changes
    assert sum(booking.held for booking in bookings) == after.left - purse.left
    assert after.charged + after.left + after.released == amount
    room = amount - charged if is_open else 0
    expected = overdraft + max(total - room, 0) if total > 0 else max(overdraft + total, 0)
    assert after.overdraft == expected


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_a_threshold_is_crossed_on_the_way_up_alone(limit: int, before: int, after: int) -> None:
    found = crossed(
        (50, 80, 100), limit_micro_usd=limit, before_micro_usd=before, after_micro_usd=after
    )

    expected = tuple(
        percent
        for percent in (50, 80, 100)
        if after > 0
        and Fraction(after) >= Fraction(percent * limit, 100)
        and not (before > 0 and Fraction(before) >= Fraction(percent * limit, 100))
    )
    assert found == expected


@pytest.mark.parametrize("amount", [Decimal("-0.01"), Decimal("NaN"), Decimal("-Infinity")])
def test_what_is_no_amount_is_refused_with_its_place(amount: Decimal) -> None:
    with pytest.raises(BadInputError):
        whole_micro_usd(amount, where="hold of run 'r-1'")


def test_an_amount_is_rounded_half_to_even() -> None:
    assert whole_micro_usd(Fraction(5, 2_000_000), where="x") == 2
