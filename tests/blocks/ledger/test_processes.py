"""Eight real processes on the same books: never over, nobody sees an error, nothing is lost."""

import multiprocessing
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from blocks.ledger import Books
from lowtide.money import to_micro
from tests.blocks.ledger.acts import NOON, hold, set_tree
from tests.blocks.ledger.worker import attempt_holds, make_runs, run_jobs

PROCESSES = 8
ATTEMPTS = 5_000
USD = 1_000_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.blocks.ledger.worker"])


def attempt(books: Books, tmp_path: Path, *, budgets: list[str]) -> Iterator[tuple[str, str, str]]:
    """Let eight processes attempt 5,000 holds, and yield what each attempt came to."""
    runs = [f"r-{number}" for number in range(ATTEMPTS)]
    make_runs(books, runs)
    reports = [tmp_path / f"report-{number}" for number in range(PROCESSES)]
    processes = [
        FORKS.Process(target=attempt_holds, args=(books.url, runs[at::PROCESSES], budgets, report))
        for at, report in enumerate(reports)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    for report in reports:
        for line in report.read_text(encoding="utf-8").splitlines():
            what, run, budget = line.split(" ", 2)
            yield what, run, budget


def test_exactly_as_many_holds_are_accepted_as_the_limit_pays_for(
    books: Books, tmp_path: Path
) -> None:
    """Check-then-spend lets all pass: litellm#34732, litellm#26672, breeze PR#5555.

    Counters of one process do not see the others: mlflow PR#21616, mlflow#21504, litellm PR#39390.
    """
    set_tree(books, {"name": "team", "limit_usd": 100})

    outcomes = list(attempt(books, tmp_path, budgets=["team"]))

    counts = Counter(what for what, _, _ in outcomes)
    assert counts == {"held": 100, "refused": ATTEMPTS - 100}
    (team,) = books.budgets(NOON)
    assert (team.held_usd, team.available_usd) == (100, 0)
    reported = {run for what, run, _ in outcomes if what == "held"}
    assert {line.run for line in books.journal(budget="team") if line.run} == reported
    assert books.check() == ()


def test_no_budget_of_a_tree_is_exceeded_by_random_teams(books: Books, tmp_path: Path) -> None:
    teams = ["ada", "bob", "eve"]
    projects = [f"{team}/{project}" for team in teams for project in ("x", "y")]
    set_tree(
        books,
        {"name": "org", "limit_usd": 100},
        *({"name": team, "parent": "org", "limit_usd": 45} for team in teams),
        *({"name": name, "parent": name[:3], "limit_usd": 30} for name in projects),
    )

    outcomes = list(attempt(books, tmp_path, budgets=projects))

    assert {what for what, _, _ in outcomes} == {"held", "refused"}
    by_project = Counter(budget for what, _, budget in outcomes if what == "held")
    by_team = Counter(budget[:3] for what, _, budget in outcomes if what == "held")
    assert by_project.total() == 100
    assert max(by_project.values()) <= 30
    assert max(by_team.values()) <= 45
    for state in books.budgets(NOON):
        counted = {"org": 100, **by_team, **by_project}
        assert to_micro(state.held_usd) == counted.get(state.name, 0) * USD
    assert books.check() == ()


def test_workers_that_are_killed_leave_books_that_tell_the_truth(
    books: Books, tmp_path: Path
) -> None:
    """A reservation leaks when its process dies: litellm#27639, litellm#36926, litellm#40050."""
    set_tree(
        books,
        {"name": "org", "limit_usd": 150},
        {"name": "team", "parent": "org", "limit_usd": 130},
    )
    runs = [f"r-{number}" for number in range(800)]
    make_runs(books, runs)

    steps = _murder(books.url, runs, tmp_path)
    midway = books.budgets(NOON)
    later = NOON + timedelta(hours=3)
    books.expire(now=later, is_gone=lambda _run, _leg: True)

    assert all(state.held_usd + state.charged_usd <= state.limit_usd for state in midway)
    assert books.check() == ()
    allowed = {
        "released": {250_000},
        "settled": {250_000},
        # Killed before the settlement was heard of: it happened, or the whole hold is charged.
        "opened": {250_000, 1_000_000},
        "held": {0, 250_000, 1_000_000},
        "refused": {0},
        None: {0, 250_000, 1_000_000},
    }
    charged = 0
    for run in runs:
        holds = books.holds(run)
        assert all(not each.is_open for each in holds)
        assert bool(holds) or steps.get(run) in {None, "refused"}
        spent = sum(to_micro(each.charged_usd + each.overdraft_usd) for each in holds)
        assert spent in allowed[steps.get(run)], run
        charged += spent
    for state in books.budgets(NOON):
        assert (to_micro(state.held_usd), to_micro(state.charged_usd)) == (0, charged)
    assert "released" in steps.values()
    assert hold(books, runs[0], 1, key="after", now=later) is not None


def _murder(url: str, runs: list[str], tmp_path: Path) -> dict[str, str]:
    """Run jobs in eight processes, kill one after the other; return each run's last known step."""
    chance = random.Random(7)  # noqa: S311
    shares = [runs[at::PROCESSES] for at in range(PROCESSES)]
    reports = [tmp_path / f"steps-{number}" for number in range(PROCESSES)]
    processes = [
        FORKS.Process(target=run_jobs, args=(url, share, report))
        for share, report in zip(shares, reports, strict=True)
    ]
    for process in processes:
        process.start()
    for process in chance.sample(processes, PROCESSES - 2):
        time.sleep(chance.uniform(0.05, 0.5))
        process.kill()
    for process in processes:
        process.join()
    exit_codes = {process.exitcode for process in processes}
    assert -signal.SIGKILL in exit_codes <= {0, -signal.SIGKILL}
    return {
        line.split(" ")[1]: line.split(" ")[0]
        for report in reports
        if report.exists()
        for line in report.read_text(encoding="utf-8").splitlines()
    }
