"""What past runs noted comes newest first, the job's own before the others', and none twice."""

from datetime import timedelta

from blocks.ledger import Books, RunState
from lowtide.events import EventKind
from tests.blocks.ledger.acts import NOON


def noted(
    books: Books,
    name: str,
    number: int,
    *,
    state: RunState = RunState.COMPLETED,
    note: bool = True,
) -> None:
    """Make the run of a number, asked for at that minute, which noted its number."""
    run, now = f"r-{number}", NOON + timedelta(minutes=number)
    books.open_run(
        run=run,
        key=run,
        job={"name": name, "number": number},
        spec_hash="a",
        name=name,
        budget="team",
        priority="normal",
        flavor="t4",
        tags={},
        now=now,
    )
    if note:
        books.log(run, kind=EventKind.EPOCHS, key=EventKind.EPOCHS, body={"of": number}, now=now)
    books.log(run, kind=EventKind.DECISION, key="1", body={"of": "nothing"}, now=now)
    books.set_run_state(None, run, state=state, message="", now=now)


def found(books: Books, *, limit: int = 10) -> list[tuple[str, int]]:
    lessons = books.lessons(name="cats", limit=limit)
    assert all(
        lesson.job == {"name": "cats", "number": lesson.body["of"]}
        if lesson.name == "cats"
        else lesson.job is None
        for lesson in lessons
    )
    return [(lesson.name, lesson.body["of"]) for lesson in lessons]


def test_the_jobs_own_runs_come_first_and_the_newest_first_in_each_half(books: Books) -> None:
    noted(books, "cats", 1, state=RunState.STOPPED)
    noted(books, "dogs", 2)
    noted(books, "cats", 3)
    noted(books, "dogs", 4, state=RunState.COMPLETED_EARLY)

    assert found(books) == [("cats", 3), ("cats", 1), ("dogs", 4), ("dogs", 2)]


def test_a_run_of_another_job_counts_only_where_it_was_whole(books: Books) -> None:
    noted(books, "dogs", 1, state=RunState.STOPPED)
    noted(books, "dogs", 2, state=RunState.RUNNING)

    assert found(books) == []


def test_a_run_that_noted_nothing_takes_no_place(books: Books) -> None:
    noted(books, "cats", 1)
    noted(books, "cats", 2, note=False)
    noted(books, "dogs", 3, note=False)

    assert found(books, limit=1) == [("cats", 1)]


def test_a_limit_holds_for_each_half_over_both_states(books: Books) -> None:
    for number in range(4):
        noted(books, "cats", number)
    for number in range(4, 8):
        noted(books, "dogs", number, state=RunState.COMPLETED_EARLY)
        noted(books, "dogs", number + 10)

    assert found(books, limit=2) == [("cats", 3), ("cats", 2), ("dogs", 17), ("dogs", 16)]
