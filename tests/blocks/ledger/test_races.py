"""The races that others have open, each with its thread; those with processes of their own, with
crashes, late charges and missing metering are in `test_processes`, `test_thresholds`,
`test_charges` and `test_machine`.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from blocks.ledger import Books, Hold
from lowtide.errors import BadInputError
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
    per_hour,
    release,
    set_tree,
    settle,
    shrink,
    stretch,
    top_up,
    usd,
)
from tests.effort import at_most

T = TypeVar("T")
TEAM = {"name": "team", "limit_usd": 10}


def at_once(books: Books, acts: Iterable[Callable[[Books], T]]) -> list[T]:
    """Do several things at the same time, each through connections of its own."""

    def with_own_books(act: Callable[[Books], T]) -> T:
        own = Books(books.url)
        try:
            return act(own)
        finally:
            own.close()

    with ThreadPoolExecutor(max_workers=8) as threads:
        return list(threads.map(with_own_books, acts))


def test_the_first_jobs_of_a_new_team_share_its_limit(books: Books) -> None:
    """litellm#40095: the first use of an unknown entity bypasses the budget."""
    set_tree(books, TEAM)
    runs = [open_run(books, f"r-{number}") for number in range(16)]

    verdicts = at_once(
        books, [lambda own, run=run: hold(own, run, 1, budget="team") for run in runs]
    )

    assert sum(isinstance(verdict, Hold) for verdict in verdicts) == 10
    assert figures(books, "team") == (usd(10), 0)


def test_a_team_without_a_budget_holds_nothing(books: Books) -> None:
    """litellm#40095, the other half: unknown is refused, never unlimited."""
    set_tree(books, TEAM)
    open_run(books, "r-1")

    with pytest.raises(BadInputError, match="no such budget"):
        hold(books, "r-1", 1, budget="newcomer")


def test_spending_on_both_sides_of_a_period_s_end_keeps_the_sum(books: Books) -> None:
    """litellm#34733: the window's reset overwrites what is spent meanwhile."""
    set_tree(books, {**TEAM, "limit_usd": 1000, "period": "day"})
    midnight = datetime(2026, 11, 24, tzinfo=UTC)
    runs = [f"r-{number}" for number in range(12)]
    for run in runs:
        held(books, run, 3)
        open_leg(books, run)

    at_once(
        books,
        [
            lambda own, run=run: charge(
                own, run, 2, start=midnight - HOUR, end=midnight + HOUR, now=midnight + HOUR
            )
            for run in runs
        ],
    )

    assert figures(books, "team", now=midnight - HOUR)[1] == usd(12)
    assert figures(books, "team", now=midnight) == (usd(12), usd(12))
    assert books.check() == ()


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-1"])
def test_without_an_estimate_there_is_no_hold_and_no_leg(books: Books, amount: str) -> None:
    """litellm#35524: no estimate, no reservation, and the request goes through."""
    set_tree(books, TEAM)
    open_run(books, "r-1")

    with pytest.raises(BadInputError):
        hold(books, "r-1", amount)
    assert books.hold_of("r-1") is None


def test_a_hold_is_refused_and_never_capped_to_what_is_left(books: Books) -> None:
    """litellm PR#26845: the reservation is cut down to the head-room."""
    set_tree(books, TEAM)
    held(books, "r-1", 8)
    open_run(books, "r-2")

    verdict = hold(books, "r-2", 3)

    assert isinstance(verdict, Refused)
    assert verdict.gap_usd == usd(1)
    assert figures(books, "team") == (usd(8), 0)


def test_what_a_run_turns_out_not_to_need_is_free_for_others(books: Books) -> None:
    """litellm PR#38647: worst-case holds starve everyone, at 25.000000000000004."""
    set_tree(books, {**TEAM, "limit_usd": 25})
    for number in range(250):
        held(books, f"r-{number}", "0.1")
    open_run(books, "r-next")
    assert isinstance(hold(books, "r-next", "0.1"), Refused)

    shrink(books, "r-0", "0.05")
    shrink(books, "r-1", "0.05")

    assert isinstance(hold(books, "r-next", "0.1"), Hold)
    assert figures(books, "team") == (usd(25), 0)


def test_a_changed_limit_holds_at_once_for_everybody(books: Books) -> None:
    """mlflow#26053: the policy is cached for 600 s while the window is shared."""
    set_tree(books, TEAM)
    other = Books(books.url)
    held(other, "r-1", 4)
    open_run(other, "r-2")

    set_tree(books, {**TEAM, "limit_usd": 5})

    assert isinstance(hold(other, "r-2", 2), Refused)
    set_tree(other, {**TEAM, "limit_usd": 6})
    assert isinstance(hold(books, "r-2", 2), Hold)
    other.close()


def test_what_happens_to_one_budget_leaves_the_others_alone(books: Books) -> None:
    """mlflow#26052: refreshing one workspace deletes another one's window."""
    both = (TEAM, {"name": "other", "limit_usd": 10})
    set_tree(books, *both)
    for run, budget in (("r-1", "team"), ("r-2", "other")):
        held(books, run, 4, budget=budget)
        open_leg(books, run)
        charge(books, run, 1)

    set_tree(books, {**TEAM, "limit_usd": 5, "mode": "kill"}, both[1])
    books.adjust(key="a", budget="team", amount_usd=usd(2), actor="ada", reason="x", now=NOON)
    settle(books, "r-1", [stretch(2)])
    release(books, "r-1")
    december = datetime(2026, 12, 2, tzinfo=UTC)
    books.close_period(budget="team", at=NOON, actor="ada", reason="x", now=december)

    (other,) = [state for state in books.budgets(NOON) if state.name == "other"]
    assert (other.held_usd, other.charged_usd, other.limit_usd, other.closed) == (3, 1, 10, False)


def test_a_running_job_cannot_go_on_past_the_limit(books: Books) -> None:
    """paperclip#11276: a budget of $0.50 spent $5.11 in one run; only the next run was refused.

    The run-time limit of the leg is what its hold pays for, so the ledger's part is to say no to
    more while it runs, and to show every micro-dollar beyond the hold.
    """
    set_tree(books, {**TEAM, "limit_usd": "0.50"})
    held(books, "r-1", "0.50")
    open_leg(books, "r-1")

    more = top_up(books, "r-1", "0.000001")
    used = books.meter(
        run="r-1",
        leg=1,
        until=NOON + DAY,
        price=per_hour("0.3"),
        price_version="1",
        now=NOON + DAY,
        actor="test",
        reason="a test",
    )

    assert isinstance(more, Refused)
    assert (used.amount_usd, used.overdraft_usd) == (usd("7.2"), usd("6.7"))
    open_run(books, "r-2")
    assert isinstance(hold(books, "r-2", "0.01"), Refused)


@settings(at_most(20), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(amounts=st.lists(st.decimals(0, 1000, places=6), min_size=1, max_size=10))
def test_sums_are_exact(books: Books, amounts: list[Decimal]) -> None:
    """breeze PR#5555: float4 money loses cents."""
    set_tree(books, {"name": "team", "limit_usd": 1_000_000, "mode": "warn"})
    before = figures(books, "team")[0]
    first = len(books.runs(limit=10_000))

    for number, amount in enumerate(amounts, start=first):
        held(books, f"r-{number}", str(amount))

    micro = sum(int(amount.scaleb(6)) for amount in amounts)
    assert int((figures(books, "team")[0] - before).scaleb(6)) == micro
