"""The cluster's quota: what is free, and "can I run ten of these at once?".

Two bookkeepers can say no: a ResourceQuota refuses pods, Kueue queues whole jobs. Each is a `Pool`
here, and what counts is the tighter one, resource by resource.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from lowtide.errors import BadInputError
from lowtide.forecast.ranges import Range
from lowtide.money import UsdRange, quantize_usd
from lowtide.verdict import RefusalReason, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How much of one resource a pool has.

    Attributes:
        capacity: What it has in all.
        used: What is taken.
        queued: What waits for it.
    """

    capacity: Decimal
    used: Decimal
    queued: Decimal = Decimal(0)

    @property
    def free(self) -> Decimal:
        """What is left, never below 0: a quota may be lowered under what is in use."""
        return max(self.capacity - self.used, Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One bookkeeper's books.

    Attributes:
        name: As a person would look it up: ResourceQuota training, ClusterQueue training.
        amounts: By resource: gpus, cpus, memory_gib, jobs. What it does not count is left out.
    """

    name: str
    amounts: Mapping[str, Amount]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRow:
    """One resource, as the tightest pool has it.

    Attributes:
        name: The resource.
        amount: How much of it there is.
        pool: Which pool that is.
    """

    name: str
    amount: Amount
    pool: str


def tightest(pools: Sequence[Pool]) -> tuple[QuotaRow, ...]:
    """Return each resource as the pool has it that has the least of it left.

    Examples:
        >>> two = Pool(name="a", amounts={"gpus": Amount(capacity=Decimal(2), used=Decimal(0))})
        >>> one = Pool(name="b", amounts={"gpus": Amount(capacity=Decimal(4), used=Decimal(3))})
        >>> [(row.pool, row.amount.free) for row in tightest([two, one])]
        [('b', Decimal('1'))]
    """
    names = dict.fromkeys(name for pool in pools for name in pool.amounts)
    rows = (
        min(
            (
                QuotaRow(name=name, amount=pool.amounts[name], pool=pool.name)
                for pool in pools
                if name in pool.amounts
            ),
            key=lambda row: (row.amount.free - row.amount.queued, row.amount.capacity),
        )
        for name in names
    )
    return tuple(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneJob:
    """What one of the asked jobs takes.

    Attributes:
        demand: Amounts by resource, as in `Pool`; a job always takes one of `jobs`.
        time_s: Its duration, seconds.
        price: US dollars of such a job that starts at a moment and runs so many seconds.
        dearest: US dollars of one that runs so many seconds, whenever that is; None: as if it
            started now.
    """

    demand: Mapping[str, Decimal]
    time_s: Range
    price: Callable[[datetime, float], Fraction]
    dearest: Callable[[float], Fraction] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """A moment with its doubt.

    Attributes:
        p10: It is earlier in one case of ten.
        p50: The middle.
        p90: It is later in one case of ten.
    """

    p10: datetime
    p50: datetime
    p90: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """Another namespace in which the asker may run jobs.

    Attributes:
        name: Its name.
        fits: How many of the asked jobs fit into it now.
    """

    name: str
    fits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOut:
    """How more of the jobs could run, or all of them in the end.

    Attributes:
        kind: one-after-another, fewer-gpus, other-namespace.
        description: One sentence for a person.
        cost_usd: What all jobs cost that way; None where it is not known.
        finish: When the last one is done; None where it is not known.
    """

    kind: str
    description: str
    cost_usd: UsdRange | None = None
    finish: Moments | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaAnswer:
    """The answer to "can N of these run at once?".

    Attributes:
        asked: N.
        now: How many start at once.
        waiting: How many wait.
        short: The resource that is short, if any waits.
        cost_usd: What all N cost, whenever they run.
        now_cost_usd: What those cost that start now.
        finish: When the last one is done, if the queue empties as they finish; None where nothing
            is free now, because nobody knows when others finish.
        ways_out: What else could be done.
    """

    asked: int
    now: int
    waiting: int
    short: str | None
    cost_usd: UsdRange
    now_cost_usd: UsdRange
    finish: Moments | None
    ways_out: tuple[WayOut, ...] = field(default=())


def answer_quota(
    pools: Sequence[Pool],
    one: OneJob,
    *,
    asked: int,
    now: datetime,
    elsewhere: Sequence[Namespace] = (),
) -> QuotaAnswer | Refused:
    """Say how many of N equal jobs run now, how many wait, what it costs, and what else to do.

    The waiting ones are taken to follow in groups as large as the first: what others free meanwhile
    is not counted on.

    Args:
        pools: Who counts what.
        one: What one job takes.
        asked: N, >= 1.
        now: The time.
        elsewhere: Other namespaces with room.

    Returns:
        The answer; a refusal where one job alone can never fit.

    Raises:
        BadInputError: `asked` is below 1.
    """
    if asked < 1:
        msg = "the number of jobs must be at least 1"
        raise BadInputError(msg, where="jobs", expected=">= 1", got=str(asked))
    demand = {**one.demand, "jobs": Decimal(1)}
    rows = [row for row in tightest(pools) if demand.get(row.name)]
    never = [row for row in rows if demand[row.name] > row.amount.capacity]
    if never:
        return _never(never[0], demand[never[0].name], elsewhere)
    fitting = {
        row.name: int(max(row.amount.free - row.amount.queued, Decimal(0)) // demand[row.name])
        for row in rows
    }
    started = min([asked, *fitting.values()])
    short = min(fitting, key=lambda name: fitting[name]) if started < asked else None
    return QuotaAnswer(
        asked=asked,
        now=started,
        waiting=asked - started,
        short=short,
        cost_usd=_times(asked, one, start=now),
        now_cost_usd=_times(started, one, start=now),
        finish=_finish(one, groups=_groups(asked, started), now=now),
        ways_out=_ways_out(one, asked=asked, started=started, now=now, elsewhere=elsewhere),
    )


def _never(row: QuotaRow, asked: Decimal, elsewhere: Sequence[Namespace]) -> Refused:
    others = ", ".join(repr(place.name) for place in elsewhere if place.fits)
    return Refused(
        reason=RefusalReason.QUOTA,
        message=(
            f"one job asks for {asked:f} {row.name}, and {row.pool} has {row.amount.capacity:f} "
            "in all: it can never start"
        ),
        remedy=f"ask for less, or use namespace {others}" if others else "ask for less",
    )


def _groups(asked: int, at_once: int) -> int | None:
    return -(-asked // at_once) if at_once else None


def _times(count: int, one: OneJob, *, start: datetime) -> UsdRange:
    dearest = one.dearest
    if dearest is not None:
        return _priced(one, lambda time_s: count * dearest(time_s))
    return _priced(one, lambda time_s: count * one.price(start, time_s))


def _priced(one: OneJob, price: Callable[[float], Fraction]) -> UsdRange:
    return UsdRange(
        p10=quantize_usd(price(one.time_s.p10)),
        p50=quantize_usd(price(one.time_s.p50)),
        p90=quantize_usd(price(one.time_s.p90)),
    )


def _finish(one: OneJob, *, groups: int | None, now: datetime) -> Moments | None:
    if groups is None:
        return None
    return Moments(
        p10=now + timedelta(seconds=groups * one.time_s.p10),
        p50=now + timedelta(seconds=groups * one.time_s.p50),
        p90=now + timedelta(seconds=groups * one.time_s.p90),
    )


def _ways_out(
    one: OneJob, *, asked: int, started: int, now: datetime, elsewhere: Sequence[Namespace]
) -> tuple[WayOut, ...]:
    if started == asked:
        return ()
    ways = [_one_after_another(one, asked=asked, at_once=started or 1, now=now)]
    gpus = one.demand.get("gpus", Decimal(0))
    if gpus > 1:
        half = int(gpus) // 2
        ways.append(
            WayOut(
                kind="fewer-gpus",
                description=(
                    f"ask for {half} of the {gpus:f} GPUs per job: twice as many run at once, and "
                    "each takes longer"
                ),
            )
        )
    ways += [
        WayOut(
            kind="other-namespace",
            description=f"namespace {place.name!r} has room for {place.fits} of them now",
        )
        for place in elsewhere
        if place.fits
    ]
    return tuple(ways)


def _one_after_another(one: OneJob, *, asked: int, at_once: int, now: datetime) -> WayOut:
    """Price each group in the hours in which it would run."""
    groups = _groups(asked, at_once) or asked
    sizes = [at_once] * (groups - 1) + [asked - at_once * (groups - 1)]

    def price(time_s: float) -> Fraction:
        starts = (now + timedelta(seconds=group * time_s) for group in range(groups))
        costs = (
            size * one.price(start, time_s) for size, start in zip(sizes, starts, strict=True)
        )
        return sum(costs, Fraction(0))

    return WayOut(
        kind="one-after-another",
        description=f"run them {at_once} at a time, {groups} times in a row",
        cost_usd=_priced(one, price),
        finish=_finish(one, groups=groups, now=now),
    )
