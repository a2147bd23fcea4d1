"""The `quota` answer: what the cluster has left, and how many of a job it would run now.

Where jobs run on Kubernetes the books are the cluster's own. On one machine nobody keeps a quota, so
the shipped one is answered from, with what the ledger's unfinished runs take of it; the answer says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from apps.books import open_ledger, price_book
from apps.files import read_job
from blocks.history import past_runs
from blocks.ledger import Books
from blocks.settings import Settings
from lowtide.forecast import unstarted
from lowtide.job import Priority, TrainingJob, Where, parse_job
from lowtide.legs import Capacity
from lowtide.money import show_usd
from lowtide.plain import plain_moment, plain_usd_range
from lowtide.pools import resource_quota_pool
from lowtide.prices import Demand, PriceBook, PriceUnknownError, price
from lowtide.quota import (
    Moments,
    Namespace,
    OneJob,
    Pool,
    QuotaAnswer,
    QuotaRow,
    WayOut,
    answer_quota,
    tightest,
)
from lowtide.slots import at_dearest
from lowtide.verdict import RefusalReason, Refused

SHIPPED = Path(__file__).parent.parent / "infra" / "kubernetes" / "quotas.yaml"
_RUNS_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What there is, and the answer about some jobs.

    Attributes:
        rows: Each resource, as the tightest of the books has it.
        based_on: Whose books they are, one sentence.
        answer: What was asked about jobs; None where nothing was.
    """

    rows: tuple[QuotaRow, ...]
    based_on: str
    answer: QuotaAnswer | None

    def document(self) -> dict[str, Any]:
        """Return it as the body of design §8's `quota`."""
        answer = self.answer
        return {
            "resources": [_plain_row(row) for row in self.rows],
            "based_on": self.based_on,
            "answer": None if answer is None else _plain_answer(answer),
            "reason": "no job was asked about" if answer is None else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Books:
    """Pools, and where else there is room."""

    pools: tuple[Pool, ...]
    based_on: str
    elsewhere: tuple[Namespace, ...] = ()


def quota_of(
    named: str | None, *, jobs: int | None, changes: Sequence[str] = ()
) -> Quota | Refused:
    """Say what is free, and how many of a job would run at once.

    Args:
        named: A job file, or a job's name; None with `jobs`: the default job.
        jobs: How many of it; None: one of a job that is named, else nothing is asked.
        changes: `key.path=value` pairs that win over the file.

    Returns:
        The answer; a refusal where one alone can never fit, or where time or price is unknown.

    Raises:
        BadInputError: the job or the number is not usable, or there is no access to a cluster.
        UnavailableError: the cluster does not answer.
    """
    settings, now = Settings(), datetime.now(UTC)
    if named is None and jobs is None:
        books = _books(settings, settings.where, Priority.NORMAL, {})
        return Quota(rows=tightest(books.pools), based_on=books.based_on, answer=None)
    job = read_job(named, changes=changes, settings=settings)
    one = _one(job, ledger=open_ledger(settings), book=price_book(settings), now=now)
    if isinstance(one, Refused):
        return one
    books = _books(settings, job.where, job.priority, one.demand)
    asked = 1 if jobs is None else jobs
    try:
        answer = answer_quota(books.pools, one, asked=asked, now=now, elsewhere=books.elsewhere)
    except PriceUnknownError as error:
        remedy = error.remedy or "complete the price book"
        return Refused(reason=RefusalReason.PRICE_UNKNOWN, message=error.message, remedy=remedy)
    if isinstance(answer, Refused):
        return answer
    return Quota(rows=tightest(books.pools), based_on=books.based_on, answer=answer)


def _one(job: TrainingJob, *, ledger: Books, book: PriceBook, now: datetime) -> OneJob | Refused:
    known = unstarted(job, history=past_runs(ledger, job))
    if isinstance(known, Refused):
        return known
    time_s = known.time(epochs=job.epochs, batch_size=job.batch_size).time_remaining_s
    demand = Demand.of(job, Capacity.ON_DEMAND)

    def exact(start: datetime, duration_s: float) -> Fraction:
        return price(book, demand, start=start, end=start + timedelta(seconds=duration_s))

    return OneJob(
        demand=_takes(job),
        time_s=time_s,
        price=exact,
        dearest=lambda duration_s: at_dearest(book, demand, now=now, duration_s=duration_s),
    )


def _takes(job: TrainingJob) -> Mapping[str, Decimal]:
    needs = job.resources
    return {"gpus": Decimal(needs.gpus), "cpus": needs.cpus, "memory_gib": needs.memory_gib}


def _books(
    settings: Settings, where: Where, priority: Priority, demand: Mapping[str, Decimal]
) -> _Books:
    if where is Where.LOCAL:
        return _shipped(open_ledger(settings), priority)
    from blocks.cluster.quota import read_elsewhere, read_pools  # imports Prefect
    from blocks.world import open_cluster

    cluster = open_cluster(settings)
    pools = read_pools(cluster, priority)
    return _Books(
        pools=pools,
        based_on=", ".join(pool.name for pool in pools) or "no quota that we may see",
        elsewhere=read_elsewhere(cluster, priority, demand),
    )


def _shipped(ledger: Books, priority: Priority) -> _Books:
    """Return the shipped quota, and what unfinished runs take of it."""
    found = [resource_quota_pool(quota, priority=priority.value) for quota in _shipped_quotas()]
    pools = [pool for pool in found if pool is not None]
    return _Books(
        pools=tuple(_with_runs(pool, ledger, priority) for pool in pools),
        based_on="the shipped quota, which nobody keeps on this machine, less what runs here now",
    )


@cache
def _shipped_quotas() -> tuple[dict[str, Any], ...]:
    quotas: tuple[dict[str, Any], ...] = tuple(yaml.safe_load_all(SHIPPED.read_text("utf-8")))
    for quota in quotas:
        quota["status"] = {"hard": quota["spec"]["hard"]}
    return quotas


def _with_runs(pool: Pool, ledger: Books, priority: Priority) -> Pool:
    """Add what the ledger's open legs take; the background's own quota counts only its own."""
    running = waiting = dict[str, Decimal]()
    for row in ledger.runs(unfinished=True, limit=_RUNS_MAX):
        job = parse_job(row.job, source=row.run)
        if pool.name.endswith(Priority.BACKGROUND.value) and job.priority is not priority:
            continue
        for leg in ledger.legs(row.run):
            if leg.end is None and leg.started_at is not None:
                running = _sum(running, _takes(job))
            elif leg.end is None:
                waiting = _sum(waiting, _takes(job))
    amounts = {
        name: replace(
            amount, used=running.get(name, Decimal(0)), queued=waiting.get(name, Decimal(0))
        )
        for name, amount in pool.amounts.items()
    }
    return replace(pool, amounts=amounts)


def _sum(one: Mapping[str, Decimal], other: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {name: one.get(name, Decimal(0)) + amount for name, amount in other.items()}


def _plain_row(row: QuotaRow) -> dict[str, Any]:
    amount = row.amount
    return {
        "name": row.name,
        "capacity": _number(amount.capacity),
        "used": _number(amount.used),
        "free": _number(amount.free),
        "queued": _number(amount.queued),
        "pool": row.pool,
    }


def _number(amount: Decimal) -> int | float:
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def _plain_answer(answer: QuotaAnswer) -> dict[str, Any]:
    return {
        "asked": answer.asked,
        "now": answer.now,
        "waiting": answer.waiting,
        "short": answer.short,
        "cost_usd": plain_usd_range(answer.cost_usd),
        "now_cost_usd": plain_usd_range(answer.now_cost_usd),
        "finish": _plain_finish(answer.finish),
        "finish_reason": None if answer.finish else "nothing is free now: others finish first",
        "ways_out": [_plain_way(way) for way in answer.ways_out],
    }


def _plain_way(way: WayOut) -> dict[str, Any]:
    return {
        "kind": way.kind,
        "description": way.description,
        "cost_usd": None if way.cost_usd is None else plain_usd_range(way.cost_usd),
        "finish": _plain_finish(way.finish),
    }


def _plain_finish(finish: Moments | None) -> dict[str, str] | None:
    if finish is None:
        return None
    return {name: plain_moment(getattr(finish, name)) for name in ("p10", "p50", "p90")}


def quota_text(quota: Quota) -> str:
    """Return the answer in a few lines, for a person and for a model."""
    lines = [
        f"{row.name:11} {row.amount.capacity:f} in all, {row.amount.used:f} used, "
        f"{row.amount.free:f} free, {row.amount.queued:f} queued ({row.pool})"
        for row in quota.rows
    ]
    lines.append(f"rests on    {quota.based_on}")
    answer = quota.answer
    if answer is None:
        return "\n".join(lines)
    now = f"{answer.now} of {answer.asked} run now for {show_usd(answer.now_cost_usd.p50)}"
    wait = f", {answer.waiting} wait: {answer.short} are short" if answer.waiting else ""
    lines.append(f"{now}{wait}; all {answer.asked} cost {show_usd(answer.cost_usd.p50)}")
    if answer.finish is not None:
        lines.append(f"the last is done by {answer.finish.p50:%Y-%m-%d %H:%M} UTC")
    lines += (f"way out: {way.description}{_way_cost(way)}" for way in answer.ways_out)
    return "\n".join(lines)


def _way_cost(way: WayOut) -> str:
    return "" if way.cost_usd is None else f", {show_usd(way.cost_usd.p50)} in all"
