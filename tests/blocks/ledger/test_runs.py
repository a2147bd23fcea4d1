"""A run has one row, one owner at a time, and legs that were written down before they started."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from blocks.ledger import Books, Lease, LeaseHeld, LegRow, RunState
from lowtide.errors import BadInputError, ConflictError, KeyReusedError, StaleOwnerError
from lowtide.legs import LegEnd
from tests.blocks.ledger.acts import DAY, HOUR, NOON, held, open_leg, open_run, release, set_tree

TEAM = {"name": "team", "limit_usd": 10}
MINUTE = timedelta(minutes=1)


def another_run(books: Books, key: str, *, spec_hash: str = "a", now: datetime = NOON) -> Any:
    """Make a run of the job `cats`."""
    return books.open_run(
        run=f"r-{key}",
        key=key,
        job={"name": "cats", "epochs": 3},
        spec_hash=spec_hash,
        name="cats",
        budget="team",
        priority="urgent",
        flavor="a100",
        tags={"team": "vision"},
        now=now,
    )


def lease_of(books: Books, owner: str, *, now: datetime = NOON) -> Lease:
    """Take the lease of `r-1`."""
    lease = books.take_lease("r-1", owner=owner, now=now)
    assert isinstance(lease, Lease)
    return lease


def a_leg(books: Books, lease: Lease, **more: Any) -> LegRow:
    """Open a leg of `r-1`."""
    terms: dict[str, Any] = {
        "leg": 1,
        "where": "local",
        "flavor": "t4",
        "capacity": "spot",
        "price_version": "1",
        "limit_s": 60.0,
        "start_by": NOON,
        "now": NOON,
    }
    return books.open_leg(lease, **{**terms, **more})


def test_the_same_key_is_the_same_run(books: Books) -> None:
    first = another_run(books, "k")
    again = another_run(books, "k", now=NOON + HOUR)

    assert again == first == books.run("r-k")
    assert first.job == {"name": "cats", "epochs": 3}
    assert (first.state, first.tags, first.owner) == (RunState.CREATED, {"team": "vision"}, None)
    assert books.run("r-none") is None


def test_the_same_key_for_another_job_is_refused(books: Books) -> None:
    another_run(books, "k")

    with pytest.raises(KeyReusedError, match=r"'k'.*another job"):
        another_run(books, "k", spec_hash="b")


def test_runs_are_listed_the_newest_first(books: Books) -> None:
    for hour, key in enumerate("xyz"):
        another_run(books, key, now=NOON + hour * HOUR)
    open_run(books, "r-1")
    books.set_run_state(None, "r-y", state=RunState.COMPLETED, message="done", now=NOON)

    assert [row.run for row in books.runs(name="cats")] == ["r-z", "r-y", "r-x"]
    assert [row.run for row in books.runs(state="completed")] == ["r-y"]
    assert [row.run for row in books.runs(unfinished=True, limit=2)] == ["r-z", "r-1"]
    assert RunState.DEFERRED.unfinished
    assert not RunState.LOST.unfinished


def test_an_unfinished_run_is_found_by_the_very_same_job(books: Books) -> None:
    another_run(books, "old")
    another_run(books, "new", now=NOON + HOUR)

    found = books.unfinished_run(name="cats", spec_hash="a")
    assert found is not None
    assert found.run == "r-new"
    books.set_run_state(None, "r-new", state=RunState.FAILED, message="", now=NOON)
    found = books.unfinished_run(name="cats", spec_hash="a")
    assert found is not None
    assert found.run == "r-old"
    assert books.unfinished_run(name="cats", spec_hash="b") is None


def test_the_first_mlflow_run_wins(books: Books) -> None:
    open_run(books, "r-1")

    assert books.set_mlflow_run("r-1", "one") == "one"
    assert books.set_mlflow_run("r-1", "two") == "one"


def test_a_lease_has_one_owner_at_a_time(books: Books) -> None:
    open_run(books, "r-1")

    lease = lease_of(books, "ada")
    other = books.take_lease("r-1", owner="bob", now=NOON + MINUTE / 2)
    mine = lease_of(books, "ada", now=NOON + MINUTE / 2)

    assert other == LeaseHeld(run="r-1", owner="ada", expires_at=NOON + MINUTE)
    assert (mine.fencing, mine.expires_at) == (lease.fencing, NOON + MINUTE * 3 / 2)
    row = books.run("r-1")
    assert row is not None
    assert row.live_owner(now=NOON) == "ada"
    assert row.live_owner(now=NOON + DAY) is None


def test_a_lease_that_ran_out_goes_to_who_asks_and_the_old_owner_is_stale(books: Books) -> None:
    open_run(books, "r-1")
    old = lease_of(books, "ada")

    new = lease_of(books, "bob", now=NOON + MINUTE)

    assert new.fencing == old.fencing + 1
    with pytest.raises(StaleOwnerError, match="the lease went to owner 'bob'"):
        books.renew_lease(old, now=NOON + MINUTE)
    with pytest.raises(StaleOwnerError):
        books.set_run_state(old, "r-1", state=RunState.RUNNING, message="", now=NOON)
    with pytest.raises(StaleOwnerError):
        a_leg(books, old)
    books.drop_lease(old, now=NOON + MINUTE)
    assert books.renew_lease(new, now=NOON + 2 * MINUTE).expires_at == NOON + 3 * MINUTE


def test_a_lease_that_nobody_took_may_be_renewed_late(books: Books) -> None:
    open_run(books, "r-1")
    lease = lease_of(books, "ada")

    late = books.renew_lease(lease, now=NOON + HOUR)

    assert late.expires_at == NOON + HOUR + MINUTE


def test_a_dropped_lease_is_free_at_once_and_changes_hands(books: Books) -> None:
    open_run(books, "r-1")
    lease = lease_of(books, "ada")
    books.drop_lease(lease, now=NOON)

    assert lease_of(books, "ada").fencing == lease.fencing + 1
    with pytest.raises(StaleOwnerError):
        books.renew_lease(lease, now=NOON)


def test_the_state_and_its_reason_are_kept(books: Books) -> None:
    open_run(books, "r-1")
    lease = lease_of(books, "ada")

    books.set_run_state(
        lease, "r-1", state=RunState.OVER_LIMIT, message="used up", now=NOON + HOUR
    )

    row = books.run("r-1")
    assert row is not None
    assert (row.state, row.message, row.changed_at) == (
        RunState.OVER_LIMIT,
        "used up",
        NOON + HOUR,
    )


def test_a_note_is_kept_once(books: Books) -> None:
    open_run(books, "r-1")

    noted = [
        books.log("r-1", kind="decision", key="1", body={"wait": wait}, now=NOON)
        for wait in (True, False)
    ]
    books.log("r-1", kind="forecast", key="2", body={}, now=NOON)

    assert noted == [True, False]
    assert [event.key for event in books.events("r-1")] == ["1", "2"]
    (decision,) = books.events("r-1", kind="decision")
    assert (decision.body, decision.at) == ({"wait": True}, NOON)
    with pytest.raises(BadInputError, match="no such run"):
        books.log("r-9", kind="decision", key="1", body={}, now=NOON)


def test_no_leg_is_opened_without_money(books: Books) -> None:
    set_tree(books, TEAM)
    open_run(books, "r-1")

    with pytest.raises(ConflictError, match="holds no money"):
        a_leg(books, lease_of(books, "ada"))
    assert books.legs("r-1") == ()


def test_a_flow_that_wakes_after_its_hold_was_given_back_opens_no_leg(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    lease = lease_of(books, "ada")
    release(books, "r-1")

    with pytest.raises(ConflictError, match="holds no money"):
        a_leg(books, lease)


def test_a_leg_is_opened_once(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    lease = lease_of(books, "ada")

    first = a_leg(books, lease)
    again = a_leg(books, lease, limit_s=90.0, now=NOON + HOUR)

    assert again == first
    assert (first.fencing, first.limit_s, first.end) == (lease.fencing, 60.0, None)
    with pytest.raises(ConflictError, match="other terms"):
        a_leg(books, lease, flavor="a100")


def test_what_becomes_known_of_a_leg_is_written_down_piece_by_piece(books: Books) -> None:
    set_tree(books, TEAM)
    held(books, "r-1", 4)
    open_leg(books, "r-1")

    books.update_leg("r-1", 1, handle="job/x", limit_s=90)
    books.update_leg("r-1", 1, ended_at=NOON + HOUR, exit_code=-9, end=LegEnd.LOST)
    leg = books.update_leg("r-1", 1, reason="gone", measured=False, settled_at=NOON + DAY)

    assert (leg.handle, leg.limit_s, leg.started_at) == ("job/x", 90, NOON)
    assert (leg.ended_at, leg.exit_code, leg.end) == (NOON + HOUR, -9, LegEnd.LOST)
    assert (leg.reason, leg.measured, leg.settled_at) == ("gone", False, NOON + DAY)
    assert books.legs("r-1") == (leg,)
    assert books.update_leg("r-1", 1) == leg


def test_a_naive_time_is_refused(books: Books) -> None:
    open_run(books, "r-1")

    with pytest.raises(BadInputError, match="aware"):
        books.take_lease("r-1", owner="ada", now=NOON.replace(tzinfo=None))
