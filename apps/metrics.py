"""The Prometheus exporter: what the ledger says of all runs together, at each scrape.

Counts and sums come from the database at each scrape, so the exporter may be restarted, and there
may be two of it, without a figure changing. What was noted about runs (decisions, epochs, ends) is
read once, note by note, before the first scrape and then as it grows.

A run's id is never a label. Labels are budgets, states, priorities, flavors, terms, causes and
decisions: there are few of each, and a year of runs adds none.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry
from typing_extensions import override

from blocks.ledger import Books
from lowtide.errors import LowtideError
from lowtide.fleet import WAIT_BUCKETS_S, Fleet, Happened, Tally, Waits
from lowtide.ledger.states import BudgetState
from lowtide.legs import Capacity
from lowtide.prices import Demand, PriceBook, PriceUnknownError, segments

_INSTANT = timedelta(microseconds=1)
_OVERLAP = 500
_PAGE = 5_000


@dataclass(slots=True, kw_only=True, eq=False)  # a registry keeps it by identity
class Exporter(Collector):
    """Answers each scrape from the books.

    Attributes:
        books: The ledger.
        prices: Gives the price book.
        probes: Other services that are asked whether they answer, by name.
        clock: Says what time it is.
    """

    books: Books
    prices: Callable[[], PriceBook | None]
    probes: Mapping[str, Callable[[], bool]] = field(default_factory=dict[str, Callable[[], bool]])
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    happened: Happened = field(default_factory=Happened)
    requests: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    _last: int = 0
    # Postgres may commit a lower number after a higher one: the last numbers are read again.
    _seen: deque[int] = field(default_factory=lambda: deque(maxlen=2 * _PAGE))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def catch_up(self) -> None:
        """Read what was noted before the exporter started."""
        while self._read_notes() >= _PAGE - _OVERLAP:
            pass

    def probe(self) -> None:
        """Ask the other services whether they answer."""
        for service, answers in self.probes.items():
            self.requests[service, "ok" if answers() else "error"] += 1

    @override
    def collect(self) -> Iterable[Metric]:
        with self._lock:
            started = time.perf_counter()
            try:
                found = self._figures()
                outcome = "ok"
            except LowtideError:
                found, outcome = [], "error"
            self.requests["ledger", outcome] += 1
            yield from found
            yield from self._own(outcome, time.perf_counter() - started)

    def _figures(self) -> list[Metric]:
        now = self.clock()
        self._read_notes()
        fleet = self.books.fleet(budgets=self.books.budgets(now), now=now)
        return [
            *budget_metrics(fleet),
            *run_metrics(fleet),
            *happened_metrics(self.happened),
            price_metric(self.prices(), now=now),
        ]

    def _read_notes(self) -> int:
        notes = self.books.notes_after(max(self._last - _OVERLAP, 0), limit=_PAGE)
        known = set(self._seen)
        fresh = [note for note in notes if note[0] not in known]
        self.happened.take((kind, body) for _, kind, body in fresh)
        self._seen.extend(number for number, _, _ in fresh)
        self._last = max([self._last, *(number for number, _, _ in fresh)])
        return len(fresh)

    def _own(self, outcome: str, took_s: float) -> Iterator[Metric]:
        up = GaugeMetricFamily("lowtide_ledger_up", "Whether the ledger answered this scrape.")
        up.add_metric([], float(outcome == "ok"))
        yield up
        took = GaugeMetricFamily(
            "lowtide_scrape_duration_seconds", "What this scrape took, seconds."
        )
        took.add_metric([], took_s)
        yield took
        requests = CounterMetricFamily(
            "lowtide_api_requests",
            "Requests that this exporter made, by service and outcome.",
            labels=["service", "outcome"],
        )
        for service in ("ledger", *self.probes):
            for each in ("ok", "error"):
                requests.add_metric([service, each], self.requests[service, each])
        yield requests


def registry_of(exporter: Exporter) -> CollectorRegistry:
    """Return a registry that holds nothing but the exporter."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(exporter)
    return registry


_BUDGET_FIGURES: Mapping[str, tuple[str, Callable[[BudgetState], float]]] = {
    "lowtide_budget_limit_usd": (
        "Limit of the current period, US dollars.",
        lambda state: float(state.limit_usd),
    ),
    "lowtide_budget_held_usd": (
        "Set aside for unfinished runs, US dollars.",
        lambda state: float(state.held_usd),
    ),
    "lowtide_budget_charged_usd": (
        "Charged in the current period, US dollars.",
        lambda state: float(state.charged_usd),
    ),
    "lowtide_budget_forecast_usd": (
        "Charged and held together: what the period will have cost if every hold is used up.",
        lambda state: float(state.charged_usd + state.held_usd),
    ),
    "lowtide_budget_period_start_timestamp_seconds": (
        "Start of the current period.",
        lambda state: state.period.start.timestamp(),
    ),
    "lowtide_budget_period_end_timestamp_seconds": (
        "End of the current period.",
        lambda state: state.period.end.timestamp(),
    ),
}


def budget_metrics(fleet: Fleet) -> Iterator[Metric]:
    """Yield how the budgets stand; each includes those below it."""
    for name, (told, figure) in _BUDGET_FIGURES.items():
        family = GaugeMetricFamily(name, told, labels=["budget", "team"])
        for state in fleet.budgets:
            team = fleet.teams.get(state.name, state.name)
            family.add_metric([state.name, team], figure(state))
        yield family
    spent = GaugeMetricFamily(
        "lowtide_budget_spent_usd",
        "Charged in all periods together, US dollars; refunds lower it.",
        labels=["budget", "team"],
    )
    for budget, usd in fleet.spent_usd.items():
        spent.add_metric([budget, fleet.teams.get(budget, budget)], float(usd))
    yield spent


def run_metrics(fleet: Fleet) -> Iterator[Metric]:
    """Yield what runs and legs there are, and how they ended."""
    yield _gauge("lowtide_runs", "Runs by state.", ("state", "priority"), fleet.runs)
    yield _gauge(
        "lowtide_legs_open",
        "Legs that have not ended, by phase: waiting or running.",
        ("phase", "flavor", "capacity"),
        fleet.open,
    )
    yield _counter(
        "lowtide_legs_ended",
        "Legs that ended, by cause.",
        ("cause", "flavor", "capacity"),
        fleet.ended,
    )
    preempted: Counter[tuple[str, ...]] = Counter()
    for (cause, flavor, capacity), count in fleet.ended.items():
        preempted[flavor, capacity] += count if cause == "preempted" else 0
    yield _counter(
        "lowtide_preemptions",
        "Legs whose capacity was taken away.",
        ("flavor", "capacity"),
        preempted,
    )
    refused = sum(count for (state, _), count in fleet.runs.items() if state == "refused")
    yield _counter(
        "lowtide_gate_decisions",
        "What the budget gate decided: money held, or a run refused.",
        ("verdict",),
        {("held",): fleet.held, ("refused",): refused},
    )
    yield from _wait_metrics(fleet)


def _wait_metrics(fleet: Fleet) -> Iterator[Metric]:
    waits = HistogramMetricFamily(
        "lowtide_queue_wait_seconds",
        "From asking for a leg to its start, seconds.",
        labels=["flavor"],
    )
    for flavor, wait in fleet.waits.items():
        waits.add_metric([flavor], _wait_buckets(wait), wait.sum_s)
    yield waits
    oldest = {(flavor,): wait_s for flavor, wait_s in fleet.oldest_wait_s.items()}
    yield _gauge(
        "lowtide_queue_wait_oldest_seconds",
        "The longest wait of the legs that wait now, seconds.",
        ("flavor",),
        oldest,
    )
    yield _gauge(
        "lowtide_unwatched_seconds",
        "How long ago the oldest lease of an unfinished run ended; reconcile takes such runs over.",
        (),
        {(): fleet.unwatched_s},
    )


def happened_metrics(happened: Happened) -> Iterator[Metric]:
    """Yield what was decided, how long epochs took, and how ended runs compare with forecasts."""
    decisions = {(action,): count for action, count in happened.decisions.items()}
    yield _counter("lowtide_decisions", "Decisions by what was decided.", ("action",), decisions)
    yield _histogram("lowtide_epoch_seconds", "Durations of epochs, seconds.", happened.epoch_s)
    yield _histogram(
        "lowtide_forecast_error_ratio",
        "By how much ended runs cost more than was first forecast, as a share of it.",
        happened.forecast_error,
    )
    yield _gauge(
        "lowtide_saved_usd",
        "Saved by ended runs against run-now on demand, a counterfactual, US dollars.",
        (),
        {(): float(happened.saved_usd)},
    )
    yield _gauge(
        "lowtide_wasted_usd",
        "Money of ended runs that bought nothing, US dollars.",
        (),
        {(): float(happened.wasted_usd)},
    )


def price_metric(book: PriceBook | None, *, now: datetime) -> Metric:
    """Return the price of one GPU now; what nobody knows has no series."""
    family = GaugeMetricFamily(
        "lowtide_price_usd_per_hour",
        "Price now of one GPU at normal priority, CPU and memory left out, US dollars an hour.",
        labels=["flavor", "capacity", "window"],
    )
    if book is None:
        return family
    for flavor in book.flavors:
        for capacity in Capacity:
            try:
                part = segments(
                    book, Demand(flavor=flavor, capacity=capacity), start=now, end=now + _INSTANT
                )[0]
            except (PriceUnknownError, LowtideError):
                continue
            family.add_metric([flavor, capacity.value, part.window], float(part.usd_per_h))
    return family


def _gauge(
    name: str, told: str, labels: tuple[str, ...], values: Mapping[Any, float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, told, labels=list(labels))
    for key, value in values.items():
        family.add_metric([str(part) for part in key], float(value))
    return family


def _counter(
    name: str, told: str, labels: tuple[str, ...], values: Mapping[Any, int]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, told, labels=list(labels))
    for key, value in values.items():
        family.add_metric([str(part) for part in key], float(value))
    return family


def _histogram(name: str, told: str, tally: Tally) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, told)
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip((*map(str, tally.bounds), "+Inf"), tally.counts, strict=True):
        total += count
        buckets.append((bound, total))
    # A histogram with values below 0 has no meaningful sum.
    family.add_metric([], buckets, tally.sum if tally.bounds[0] >= 0 else None)
    return family


def _wait_buckets(wait: Waits) -> list[tuple[str, float]]:
    bounds = (*map(str, WAIT_BUCKETS_S), "+Inf")
    return list(zip(bounds, (*wait.buckets, wait.count), strict=True))
