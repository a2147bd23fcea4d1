"""Writes the run's report: a file, an artifact of the MLflow run, a text in Prefect's UI."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from blocks.world import World
from lowtide.errors import UnavailableError
from lowtide.events import EventKind
from lowtide.ledger.records import Event
from lowtide.money import show_usd
from lowtide.run_report import EpochLine, RunReport, as_html
from tasks import log, show
from tasks.claim import Owned
from tasks.effect import effect
from tasks.recommend import read_recommendations


@effect(name="report")
def report(world: World, owned: Owned) -> Path:
    """Write the run's report, and return its path; writing it again replaces it."""
    made = _gather(world, owned)
    path = world.reports / f"{owned.run}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_html(made), encoding="utf-8")
    body: dict[str, Any] = {"path": str(path), "mlflow_url": _upload(world, owned.run, path)}
    show.markdown(f"{owned.run}-report", title="Report", text=_summary(made, path))
    world.ledger.log(
        owned.run, kind=EventKind.REPORTED, key=EventKind.REPORTED, body=body, now=world.now()
    )
    return path


def _gather(world: World, owned: Owned) -> RunReport:
    run, ledger = owned.run, world.ledger
    row = ledger.run(run)
    advice = ledger.events(run, kind=EventKind.RECOMMENDED)
    return RunReport(
        run=run,
        job=owned.job,
        state="unknown" if row is None else row.state.value,
        message="" if row is None else row.message,
        legs=ledger.legs(run),
        epochs=[_epoch(event) for event in ledger.events(run, kind=EventKind.EPOCH)],
        lines=ledger.journal(run=run),
        recommendations=read_recommendations(advice[-1].body) if advice else (),
        made_at=world.now(),
    )


def _epoch(event: Event) -> EpochLine:
    cost = event.body["cost_remaining_usd"]
    return EpochLine(
        epoch=event.body["epochs_done"],
        at=event.at,
        metric=event.body["metric"],
        left_usd_p10=Decimal(cost["p10"]),
        left_usd_p50=Decimal(cost["p50"]),
        left_usd_p90=Decimal(cost["p90"]),
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
