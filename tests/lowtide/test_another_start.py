"""Another start: the first one that there will be money for, or the reason why waiting is in vain."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from lowtide.another_start import Chance, Limit, Start, next_chance
from lowtide.verdict import RefusalReason, Refused

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVENING, MIDNIGHT = NOON + timedelta(hours=10), NOON + timedelta(hours=12)
MORNING, NEXT_EVENING = NOON + timedelta(hours=18), NOON + timedelta(hours=34)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
IN_TIME = NOON + timedelta(days=100)
REFUSED = Refused(
    reason=RefusalReason.BUDGET,
    message="budget 'lab' has $2.00 left of $10.00, run 'r' asks for $4.00",
    remedy="raise it",
    gap_usd=Decimal(2),
    budget="lab",
)
# Half the price in the evening, until the morning.
STARTS = [
    Start(at=NEXT_EVENING, needed_usd=Decimal(2)),
    Start(at=EVENING, needed_usd=Decimal(2)),
    Start(at=MIDNIGHT, needed_usd=Decimal(2)),
    Start(at=MORNING, needed_usd=Decimal(4)),
    Start(at=DECEMBER, needed_usd=Decimal(2)),
]


def limit(name: str, left: float, whole: float, *, until: datetime | None = None) -> Limit:
    return Limit(
        name=f"budget {name!r}",
        left_usd=Decimal(str(left)),
        whole_usd=Decimal(str(whole)),
        renewed_at=until,
    )


def ask(*limits: Limit, starts: list[Start] = STARTS, by: datetime = IN_TIME) -> Chance | Refused:
    return next_chance(
        REFUSED,
        limits=limits,
        starts=starts,
        last_start=by,
        last_why="its deadline needs a start",
    )


@pytest.mark.parametrize(
    ("limits", "at", "why"),
    [
        ([limit("lab", 2, 10, until=DECEMBER)], EVENING, "it costs less then: $2.00"),
        (
            [limit("lab", 1, 10, until=MIDNIGHT)],
            MIDNIGHT,
            "the next period of budget 'lab' begins",
        ),
        ([limit("lab", -3, 10, until=DECEMBER)], DECEMBER, "the next period of budget 'lab'"),
        (
            [limit("org", 1, 10, until=DECEMBER), limit("org/lab", 1, 2, until=MIDNIGHT)],
            DECEMBER,
            "the next period of budget 'org' and budget 'org/lab' begins then",
        ),
        (
            [limit("org", 50, 99, until=DECEMBER), limit("org/lab", 1, 2, until=MIDNIGHT)],
            MIDNIGHT,
            "the next period of budget 'org/lab' begins then",
        ),
        (
            [limit("file", 3, 3), limit("lab", 1, 10, until=MIDNIGHT)],
            MIDNIGHT,
            "the next period of budget 'lab' begins then",
        ),
    ],
    ids=[
        "a cheaper window in which it fits",
        "a new period comes before a window that is cheap enough",
        "after an overrun",
        "both budgets lack it",
        "only the inner one lacks it",
        "its own limit suffices",
    ],
)
def test_a_run_is_tried_again_at_the_first_start_that_there_will_be_money_for(
    limits: list[Limit], at: datetime, why: str
) -> None:
    found = ask(*limits)

    assert isinstance(found, Chance)
    assert found.at == at
    assert found.reason.startswith(f"{REFUSED.message}; {why}")


@pytest.mark.parametrize(
    ("limits", "starts", "by", "why"),
    [
        (
            [limit("lab", 1, 1.5, until=MIDNIGHT)],
            STARTS,
            IN_TIME,
            "it takes $2.00 at the least, and budget 'lab' is $1.50 in a whole period",
        ),
        (
            [limit("lab", 1, 10)],
            STARTS,
            IN_TIME,
            "it takes $2.00 at the least, and budget 'lab' leaves $1.00 for good",
        ),
        (
            [limit("lab", -1, 10)],
            STARTS,
            IN_TIME,
            "it takes $2.00 at the least, and budget 'lab' leaves $0.00 for good",
        ),
        (
            [limit("lab", 1, 10, until=DECEMBER)],
            STARTS,
            NEXT_EVENING,
            (
                "the money would be there at 2026-12-01 00:00 UTC, and its deadline needs a start "
                "by 2026-11-24 22:00 UTC"
            ),
        ),
        ([limit("lab", 1, 10, until=DECEMBER)], [], IN_TIME, "no later start has a known price"),
    ],
    ids=[
        "more than a whole period",
        "a budget for all time",
        "an overrun budget for all time",
        "too late for the deadline",
        "nobody knows the prices",
    ],
)
def test_a_run_that_waiting_would_not_help_is_refused_and_says_why(
    limits: list[Limit], starts: list[Start], by: datetime, why: str
) -> None:
    found = ask(*limits, starts=starts, by=by)

    assert isinstance(found, Refused)
    assert found.message == f"{REFUSED.message}; waiting would not help: {why}"
    assert (found.reason, found.gap_usd) == (REFUSED.reason, REFUSED.gap_usd)


def test_the_last_start_allowed_is_still_in_time() -> None:
    found = ask(limit("lab", 2, 10, until=DECEMBER), by=EVENING)

    assert isinstance(found, Chance)
    assert found.at == EVENING
