"""What one of several processes does to the same books; run by `test_processes`."""

import contextlib
import os
import random
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from blocks.ledger import Books, Hold
from blocks.ledger.convert import to_us
from blocks.ledger.schema import RUN
from tests.blocks.ledger.acts import NOON, charge, hold, open_leg, release, settle, stretch

HELD_USD, USED_USD = "1", "0.25"


def make_runs(books: Books, runs: Sequence[str]) -> None:
    """Put run rows into the books, all in one transaction."""
    row: dict[str, Any] = {
        "job": {},
        "spec_hash": "",
        "name": "digits",
        "budget": "team",
        "priority": "normal",
        "flavor": "t4",
        "tags": {},
        "state": "created",
        "message": "",
        "created_us": to_us(NOON),
        "changed_us": to_us(NOON),
        "fencing": 0,
    }
    with books._writer.begin() as connection:
        connection.execute(insert(RUN), [{"run": run, "key": run, **row} for run in runs])


def attempt_holds(url: str, runs: Sequence[str], budgets: Sequence[str], report: Path) -> None:
    """Ask for a hold for each run, of a random budget; report what happened, run by run."""
    chance = random.Random(os.getpid())  # noqa: S311
    books = Books(url)
    with report.open("a", encoding="utf-8", buffering=1) as lines:
        for run in runs:
            budget = chance.choice(budgets)
            try:
                verdict = hold(books, run, HELD_USD, budget=budget)
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller saw it
                lines.write(f"error {run} {error!r}\n")
            else:
                accepted = isinstance(verdict, Hold)
                lines.write(f"{'held' if accepted else 'refused'} {run} {budget}\n")
    books.close()


def run_jobs(url: str, runs: Sequence[str], report: Path) -> None:
    """Take each run from its hold to its release, reporting each step that is done."""
    books = Books(url)
    with report.open("a", encoding="utf-8", buffering=1) as lines:
        for run in runs:
            verdict = hold(books, run, HELD_USD, expires_at=NOON + timedelta(hours=2))
            if not isinstance(verdict, Hold):
                lines.write(f"refused {run}\n")
                continue
            lines.write(f"held {run}\n")
            open_leg(books, run)
            lines.write(f"opened {run}\n")
            charge(books, run, "0.1", end=NOON + timedelta(minutes=10))
            settle(books, run, [stretch(USED_USD)])
            lines.write(f"settled {run}\n")
            release(books, run)
            lines.write(f"released {run}\n")
    with contextlib.suppress(Exception):
        books.close()
