"""Writes the run's report: a file, an artifact of the MLflow run, a text in Prefect's UI."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from blocks.costs import run_figures
from blocks.ledger import LegRow
from blocks.world import World
from lowtide.errors import LowtideError, UnavailableError
from lowtide.events import EventKind
from lowtide.job import TrainingJob
from lowtide.ledger.records import Event
from lowtide.legs import Capacity
from lowtide.money import UsdRange, quantize_usd, show_usd
from lowtide.plain import plain_usd
from lowtide.prices import Demand, PriceBook, segments
from lowtide.report import RunFigures
from lowtide.run_report import (
    DecisionLine,
    EpochLine,
    PricedSpan,
    RunReport,
    WayLine,
    as_html,
)
from tasks import log, show
from tasks.claim import Owned
from tasks.effect import effect
from tasks.recommend import read_recommendations


@effect(name="report")
def report(world: World, owned: Owned) -> Path:
    """Write the run's report, and return its path; writing it again replaces it."""
    busy = _utilization(world, owned.run)
    made = _gather(world, owned, busy=busy)
    path = world.reports / f"{owned.run}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_html(made), encoding="utf-8")
    body: dict[str, Any] = {
        "path": str(path),
        "mlflow_url": _upload(world, owned.run, path),
        "gpu_utilization": busy,
        **_facts(made.figures),
    }
    show.markdown(f"{owned.run}-report", title="Report", text=_summary(made, path))
    world.ledger.log(
        owned.run, kind=EventKind.REPORTED, key=EventKind.REPORTED, body=body, now=world.now()
    )
    return path


def _gather(world: World, owned: Owned, *, busy: float | None) -> RunReport:
    run, ledger = owned.run, world.ledger
    row = ledger.run(run)
    advice = ledger.events(run, kind=EventKind.RECOMMENDED)
    decisions = ledger.events(run, kind=EventKind.DECISION)
    legs = ledger.legs(run)
    return RunReport(
        run=run,
        job=owned.job,
        state="unknown" if row is None else row.state.value,
        message="" if row is None else row.message,
        legs=legs,
        epochs=[_epoch(event) for event in ledger.events(run, kind=EventKind.EPOCH)],
        lines=ledger.journal(run=run),
        recommendations=read_recommendations(advice[-1].body) if advice else (),
        made_at=world.now(),
        ways=_ways(decisions[0].body) if decisions else (),
        decisions=[
            DecisionLine(
                at=event.at,
                decision=str(event.body.get("decision")),
                reason=str(event.body.get("reason")),
            )
            for event in decisions
        ],
        spans=_spans(world, owned.job, legs),
        figures=run_figures(ledger, run, book=_prices(world), gpu_utilization=busy),
    )


def _ways(body: Mapping[str, Any]) -> tuple[WayLine, ...]:
    """Return the ways that the first plan weighed, as they were written down."""
    seen: Mapping[str, Any] = body.get("plan") or {}
    if "forecast_usd" not in seen:
        return ()
    asked = WayLine(kind="as asked", cost_usd=_range(seen["forecast_usd"]), why="")
    options: list[Mapping[str, Any]] = seen.get("options") or []
    others = [
        WayLine(kind=each["kind"], cost_usd=_range(each["cost_usd"]), why=each["why"])
        for each in options
    ]
    return (asked, *others)


def _spans(world: World, job: TrainingJob, legs: Sequence[LegRow]) -> tuple[PricedSpan, ...]:
    """Return what the job's time cost on demand while its legs existed."""
    ends = [leg.ended_at for leg in legs if leg.ended_at is not None]
    book = _prices(world)
    if book is None or not ends:
        return ()
    demand = Demand.of(job, Capacity.ON_DEMAND)
    begin = min(leg.started_at or leg.opened_at for leg in legs)
    try:
        pinned = book.pinned(legs[0].price_version)
        parts = segments(pinned, demand, start=begin, end=max(ends))
    except LowtideError:
        return ()
    return tuple(
        PricedSpan(
            start=part.start,
            end=part.end,
            window=part.window,
            usd_per_h=quantize_usd(part.usd_per_h).normalize(),
        )
        for part in parts
    )


def _prices(world: World) -> PriceBook | None:
    try:
        return world.prices.book()
    except LowtideError as error:
        log.warn(f"what it would have cost otherwise is not known: {error}")
        return None


def _utilization(world: World, run: str) -> float | None:
    """Return the mean share of the time in which the GPU worked; None: nobody logged it."""
    row = world.ledger.run(run)
    if row is None or row.mlflow_run_id is None:
        return None
    try:
        points = world.tracking.history([row.mlflow_run_id], metric="gpu_utilization")
    except LowtideError as error:
        log.warn(f"how busy the GPU was is not to be had: {error}")
        return None
    known = [p.value for p in points[row.mlflow_run_id] if math.isfinite(p.value)]
    return sum(known) / len(known) if known else None


def _facts(figures: RunFigures | None) -> dict[str, Any]:
    """Return what monitoring adds up over runs."""
    if figures is None:
        return {}
    saved, forecast = figures.saved_usd, figures.facts.forecast_usd
    return {
        "forecast_usd": None if forecast is None else plain_usd(forecast),
        "charged_usd": plain_usd(figures.facts.total_usd),
        "saved_usd": None if saved is None else plain_usd(saved),
        "wasted_usd": plain_usd(figures.wasted.total_usd),
    }


def _range(cost: Mapping[str, str]) -> UsdRange:
    return UsdRange(p10=Decimal(cost["p10"]), p50=Decimal(cost["p50"]), p90=Decimal(cost["p90"]))


def _epoch(event: Event) -> EpochLine:
    cost = event.body["cost_remaining_usd"]
    return EpochLine(
        epoch=event.body["epochs_done"],
        at=event.at,
        metric=event.body["metric"],
        left_usd_p10=Decimal(cost["p10"]),
        left_usd_p50=Decimal(cost["p50"]),
        left_usd_p90=Decimal(cost["p90"]),
        charged_usd=Decimal(event.body.get("charged_usd") or 0),
    )


def _upload(world: World, run: str, path: Path) -> str | None:
    row = world.ledger.run(run)
    if row is None or row.mlflow_run_id is None:
        return None
    try:
        world.tracking.log_artifact(row.mlflow_run_id, path)
        return world.tracking.run_url(row.mlflow_run_id)
    except UnavailableError as error:
        log.warn(f"the report is not in MLflow: {error}")
        return None


def _summary(made: RunReport, path: Path) -> str:
    lines = [
        f"# {made.job.name}: {made.state}",
        "",
        made.message,
        "",
        f"**{show_usd(made.charged_usd)}** charged to {made.job.budget.name}.",
        "",
        "| leg | capacity | end | charged |",
        "|---|---|---|---|",
        *(
            f"| {leg.leg} | {leg.capacity.value} | {leg.end.value if leg.end else ''} "
            f"| {show_usd(leg.charged_usd)} |"
            for leg in made.legs
        ),
        "",
        *(
            f"- {item.description} (saves about {show_usd(item.saving_usd.p50)})"
            for item in made.recommendations
        ),
        "",
        f"The whole report: `{path}`",
    ]
    return "\n".join(lines)
