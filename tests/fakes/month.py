"""A month of books: real rules, real prices, made-up runs that meet everything that can happen.

October 2026: Berlin's clocks go back on the 25th. Budgets live in Berlin, New York and Tokyo. Runs
complete, fail, are lost, are preempted and go on; some are corrected after they were settled, up
and down; some go beyond their hold. The same seed makes the same month.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from blocks.ledger import Books, Hold, Lease, RunState, Stretch
from blocks.price_books import book_at
from lowtide.events import EventKind
from lowtide.identity import run_id
from lowtide.job import TrainingJob, parse_job
from lowtide.ledger.budgets import parse_budgets
from lowtide.legs import Capacity, LegEnd
from lowtide.prices import Demand, PriceBook, segments

ZONE = "Europe/Berlin"
FIRST, LAST = "2026-10-01", "2026-10-31"
START = datetime(2026, 9, 30, 22, tzinfo=UTC)
END = datetime(2026, 10, 31, 23, tzinfo=UTC)
AFTER = datetime(2026, 11, 2, 9, tzinfo=UTC)
PRICES: PriceBook = book_at("specification")
VERSION = "specification-1"
BUDGETS: list[dict[str, Any]] = [
    {"name": "org", "limit_usd": 900, "period": "month", "zone": ZONE},
    {"name": "vision", "parent": "org", "limit_usd": 500, "period": "month", "zone": ZONE},
    {
        "name": "vision/digits",
        "parent": "vision",
        "limit_usd": 90,
        "period": "week",
        "zone": "America/New_York",
    },
    {"name": "speech", "parent": "org", "limit_usd": 300, "period": "month", "zone": "Asia/Tokyo"},
    {"name": "speech/asr", "parent": "speech", "limit_usd": 60, "period": "day", "zone": ZONE},
]
_PAYERS = ("vision", "vision/digits", "speech/asr")
_JOBS = ("digits", "resnet", "whisper", "llm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One leg to be played."""

    start: datetime
    duration: timedelta
    capacity: Capacity
    end: LegEnd


def fill(books: Books, *, runs: int = 24, seed: int = 7) -> None:
    """Play a month of runs into empty books."""
    rng = np.random.default_rng(seed)
    before = START - timedelta(days=3)
    tree = parse_budgets(BUDGETS, source="month")
    books.set_budgets(tree, actor="test", reason="a month", now=before)
    for number in range(runs):
        _play(books, number, rng, share=number / runs)


def _play(books: Books, number: int, rng: np.random.Generator, *, share: float) -> None:
    # The first runs begin before the month and the last ones end after it.
    created = START - timedelta(hours=8) + share * (END - START + timedelta(hours=4))
    created += timedelta(minutes=int(rng.integers(0, 120)))
    job = _job(number, rng)
    run = run_id(f"month-{number}")
    _open(books, run, job, created)
    if number % 11 == 5:
        message = "the budget is short"
        books.set_run_state(None, run, state=RunState.REFUSED, message=message, now=created)
        return
    legs = _legs(number, created, rng)
    small = number % 13 == 4  # its hold is too small: the rest is an overdraft
    hold = books.hold(
        key=f"{run}/hold",
        run=run,
        budget=job.budget.name,
        amount_usd=Decimal("0.2") if small else Decimal(9),
        expires_at=created + timedelta(days=3),
        price_version=VERSION,
        actor="test",
        reason="a month",
        now=created,
    )
    assert isinstance(hold, Hold), hold
    lease = books.take_lease(run, owner="test", now=created)
    assert isinstance(lease, Lease)
    for at, leg in enumerate(legs, 1):
        _run_leg(books, lease, job, at, leg)
    _finish(books, lease, job, legs, number, rng)


def _job(number: int, rng: np.random.Generator) -> TrainingJob:
    tags = {"team": "platform"} if number % 7 == 3 else {}
    document = {
        "name": _JOBS[int(rng.integers(len(_JOBS)))],
        "command": ["train"],
        "epochs": 8,
        "priority": ("urgent", "normal", "normal", "background")[number % 4],
        "budget": {"name": _PAYERS[number % 3]},
        "resources": {"flavor": "t4", "gpus": 1 + number % 2, "cpus": 4, "memory_gib": 16},
        "tags": tags,
    }
    return parse_job(document, source="month")


def _open(books: Books, run: str, job: TrainingJob, created: datetime) -> None:
    books.open_run(
        run=run,
        key=run,
        job=job.model_dump(mode="json"),
        spec_hash="0" * 64,
        name=job.name,
        budget=job.budget.name,
        priority=job.priority,
        flavor=job.resources.flavor,
        tags=job.tags,
        now=created,
    )
    cost = {"p10": "1.500000", "p50": "2.000000", "p90": "2.800000"}
    body: dict[str, Any] = {
        "observation": {},
        "decision": "run-on-demand",
        "reason": "nothing cheaper is ahead",
        "plan": {"forecast_usd": cost, "options": []},
    }
    books.log(run, kind=EventKind.DECISION, key="decision-1", body=body, now=created)


def _legs(number: int, created: datetime, rng: np.random.Generator) -> list[Leg]:
    wait = timedelta(minutes=int(rng.integers(1, 90)))
    hours = float(rng.uniform(1.5, 9))
    capacity = Capacity.SPOT if number % 3 == 1 else Capacity.ON_DEMAND
    start = created + wait
    if number % 5 != 2:
        end = LegEnd.FAILED if number % 10 == 9 else LegEnd.COMPLETED
        return [Leg(start=start, duration=timedelta(hours=hours), capacity=capacity, end=end)]
    first = timedelta(hours=hours * 0.45)
    again = start + first + timedelta(minutes=int(rng.integers(5, 240)))
    rest = timedelta(hours=hours * 0.7)
    return [
        Leg(start=start, duration=first, capacity=Capacity.SPOT, end=LegEnd.PREEMPTED),
        Leg(start=again, duration=rest, capacity=Capacity.ON_DEMAND, end=LegEnd.COMPLETED),
    ]


def _run_leg(books: Books, lease: Lease, job: TrainingJob, number: int, leg: Leg) -> None:
    run, end = lease.run, leg.start + leg.duration
    books.open_leg(
        lease,
        leg=number,
        where="local",
        flavor=job.resources.flavor,
        capacity=leg.capacity.value,
        price_version=VERSION,
        limit_s=86_400,
        start_by=leg.start + timedelta(hours=1),
        now=leg.start - timedelta(minutes=1),
    )
    books.update_leg(run, number, started_at=leg.start)
    cut = cutter(job, leg.capacity)
    until = leg.start
    while until < end:
        until = min(until + timedelta(hours=1, minutes=57), end)
        books.meter(
            run=run,
            leg=number,
            until=until,
            price=cut,
            price_version=VERSION,
            now=until,
            actor="monitor",
            reason="metered",
        )
        _log_epoch(books, run, job, number, until)
    books.update_leg(run, number, ended_at=end, end=leg.end, reason=leg.end.value)


def _log_epoch(books: Books, run: str, job: TrainingJob, leg: int, at: datetime) -> None:
    done = len(books.events(run, kind=EventKind.EPOCH)) + 1
    left = max(job.epochs - done, 0)
    body = {
        "epochs_done": done,
        "epochs": job.epochs,
        "metric": 1 - 0.5 / (done + 1),
        "best": 1 - 0.5 / (done + 1),
        "epoch_s": 7020.0,
        "time_remaining_s": {"p10": 3800.0 * left, "p50": 7020.0 * left, "p90": 4500.0 * left},
        "cost_remaining_usd": {
            "p10": f"{0.2 * left:.6f}",
            "p50": f"{0.28 * left:.6f}",
            "p90": f"{0.4 * left:.6f}",
        },
        "calibrated": False,
        "charged_usd": "0.000000",
        "held_usd": "0.000000",
    }
    books.log(run, kind=EventKind.EPOCH, key=f"leg-{leg}/epoch-{done}", body=body, now=at)


def _finish(
    books: Books,
    lease: Lease,
    job: TrainingJob,
    legs: list[Leg],
    number: int,
    rng: np.random.Generator,
) -> None:
    run = lease.run
    end = legs[-1].start + legs[-1].duration
    for at, leg in enumerate(legs, 1):
        # What the cluster measured differs by seconds from what was metered.
        measured = leg.start + leg.duration + timedelta(seconds=int(rng.integers(-40, 40)))
        _settle(books, run, job, at, leg, until=measured, key="settle", now=end)
    if number % 6 == 1:  # found out next week: ten minutes were billed that nobody used
        until = legs[-1].start + legs[-1].duration - timedelta(minutes=10)
        later = end + timedelta(days=1)
        _settle(books, run, job, len(legs), legs[-1], until=until, key="refund", now=later)
    state = {LegEnd.COMPLETED: RunState.COMPLETED, LegEnd.FAILED: RunState.FAILED}[legs[-1].end]
    if number == 22:
        return  # it still holds its money
    books.release(key=f"{run}/release", run=run, now=end, actor="test", reason="over")
    books.set_run_state(lease, run, state=state, message=state.value, now=end)
    charged = sum((each.charged_usd for each in books.legs(run)), Decimal(0))
    body = {
        "path": "-",
        "mlflow_url": None,
        "gpu_utilization": 0.8 if number % 2 else None,
        "forecast_usd": "2.000000",
        "charged_usd": str(charged),
        "saved_usd": "0.250000",
        "wasted_usd": "0.100000",
    }
    books.log(run, kind=EventKind.REPORTED, key=EventKind.REPORTED, body=body, now=end)


def _settle(
    books: Books,
    run: str,
    job: TrainingJob,
    number: int,
    leg: Leg,
    *,
    until: datetime,
    key: str,
    now: datetime,
) -> None:
    books.settle(
        key=f"{run}/leg-{number}/{key}",
        run=run,
        leg=number,
        costs=cutter(job, leg.capacity)(leg.start, until),
        price_version=VERSION,
        measured=True,
        now=now,
        actor="settle",
        reason=key,
    )


def cutter(job: TrainingJob, capacity: Capacity) -> Any:
    """Return the function that cuts a job's time into stretches of one price each."""

    def cut(start: datetime, end: datetime) -> tuple[Stretch, ...]:
        parts = segments(PRICES, Demand.of(job, capacity), start=start, end=end)
        return tuple(
            Stretch(start=part.start, end=part.end, amount_usd=part.usd, window=part.window)
            for part in parts
        )

    return cut
