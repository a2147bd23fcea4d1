"""What nobody prolongs is given back, but only after the leg's runner says that it is gone."""

from datetime import timedelta

from blocks.ledger import Books
from tests.blocks.ledger.acts import (
    DAY,
    HOUR,
    NOON,
    charge,
    figures,
    held,
    open_leg,
    set_tree,
    settle,
    stretch,
    usd,
)

TEAM = {"name": "team", "limit_usd": 10}
LATER = NOON + 2 * HOUR


class Runner:
    """Knows which legs are gone, and remembers what it was asked."""

    def __init__(self, *, gone: bool) -> None:
        self.gone = gone
        self.asked: list[tuple[str, int]] = []

    def is_gone(self, run: str, leg: int) -> bool:
        """Return what the runner knows of a leg."""
        self.asked.append((run, leg))
        return self.gone


def test_a_hold_without_a_leg_is_given_back_when_it_expires(books: Books) -> None:
    """A deferred run whose continuation never came leaves such a hold."""
    set_tree(books, TEAM)
    held(books, "r-1", 4)

    early = books.expire(now=NOON + HOUR / 2, is_gone=Runner(gone=True).is_gone)
    swept = books.expire(now=LATER, is_gone=Runner(gone=True).is_gone)
    again = books.expire(now=LATER, is_gone=Runner(gone=True).is_gone)

    assert (early, again) == ((), ())
    assert [(each.run, each.ending, each.released_usd) for each in swept] == [
        ("r-1", "expired", usd(4))
    ]
    assert figures(books, "team") == (0, 0)
    assert books.journal()[-1].kind.value == "expire"


def test_a_leg_that_still_runs_keeps_its_money(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    runner = Runner(gone=False)

    swept = books.expire(now=LATER, is_gone=runner.is_gone)

    assert swept == ()
    assert runner.asked == [("r-1", 1)]
    assert figures(books, "team") == (usd(4), 0)


def test_a_leg_that_is_gone_unsettled_may_have_used_everything(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    charge(books, "r-1", 1)

    (swept,) = books.expire(now=LATER, is_gone=Runner(gone=True).is_gone)

    assert (swept.charged_usd, swept.released_usd) == (4, 0)
    (leg,) = books.legs("r-1")
    assert (leg.settled_at, leg.measured) == (LATER, False)
    settle(books, "r-1", [stretch(2)], key="measured", now=LATER)
    assert figures(books, "team") == (0, usd(2))
    assert books.check() == ()


def test_a_settled_leg_needs_no_runner(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")
    settle(books, "r-1", [stretch(1)])
    runner = Runner(gone=False)

    (swept,) = books.expire(now=LATER, is_gone=runner.is_gone)

    assert runner.asked == []
    assert (swept.charged_usd, swept.released_usd) == (1, 3)


def test_a_run_with_a_live_owner_is_left_alone(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    books.take_lease("r-1", owner="flow", now=LATER)

    assert books.expire(now=LATER, is_gone=Runner(gone=True).is_gone) == ()
    after = LATER + timedelta(seconds=60)
    assert len(books.expire(now=after, is_gone=Runner(gone=True).is_gone)) == 1


def test_a_leg_that_may_still_start_keeps_its_money(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1", start_by=NOON + DAY)

    assert books.expire(now=LATER, is_gone=Runner(gone=True).is_gone) == ()
    assert len(books.expire(now=NOON + DAY, is_gone=Runner(gone=True).is_gone)) == 1


def test_a_hold_that_was_prolonged_while_the_runner_was_asked_is_left_alone(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")

    def prolong(run: str, _leg: int) -> bool:
        books.top_up(
            key="longer",
            run=run,
            amount_usd=usd(0),
            expires_at=NOON + DAY,
            actor="flow",
            reason="it goes on",
            now=LATER,
        )
        return True

    assert books.expire(now=LATER, is_gone=prolong) == ()
    assert figures(books, "team") == (usd(4), 0)


def test_a_leg_that_was_opened_while_the_runner_was_asked_is_left_alone(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    lease = open_leg(books, "r-1")

    def open_another(_run: str, _leg: int) -> bool:
        books.open_leg(
            lease,
            leg=2,
            where="local",
            flavor="t4",
            capacity="spot",
            price_version="1",
            limit_s=1,
            start_by=NOON,
            now=NOON,
        )
        return True

    assert books.expire(now=LATER, is_gone=open_another) == ()
    assert figures(books, "team") == (usd(4), 0)
