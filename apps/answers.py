"""The answers that several commands give about a run, in the shapes of design §8."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from apps.output import EXIT_DONE, EXIT_FAILED, EXIT_REFUSED
from blocks.ledger import Books
from blocks.settings import Settings
from lowtide.errors import BadInputError
from lowtide.events import EventKind
from lowtide.identity import RUN_ID_PATTERN
from lowtide.ledger.records import LegRow, RunRow, RunState
from lowtide.money import ZERO_USD

EXIT_BY_STATE: Mapping[RunState, int] = {
    RunState.COMPLETED: EXIT_DONE,
    RunState.COMPLETED_EARLY: EXIT_DONE,
    RunState.REFUSED: EXIT_REFUSED,
    RunState.STOPPED: EXIT_FAILED,
}
_SHOWN_MAX = 80


def find_run(ledger: Books, named: str) -> RunRow:
    """Return the run that a caller means: by its id, or the newest one of a job's name.

    Raises:
        BadInputError: there is none.
    """
    row = newest_run(ledger, named)
    if row is None:
        raise no_such_run(named)
    return row


def newest_run(ledger: Books, named: str) -> RunRow | None:
    """Return the run of an id, or the newest one of a job's name; None where there is none."""
    row = ledger.run(named) if re.match(RUN_ID_PATTERN, named) else None
    return row or next(iter(ledger.runs(name=named, limit=1)), None)


def no_such_run(named: str) -> BadInputError:
    """Return the error for a name that neither a run nor a job that was run has."""
    return BadInputError(
        "there is no such run",
        where="run",
        expected="a run's id, or the name of a job that was run",
        got=repr(named[:_SHOWN_MAX]),
        remedy="`lowtide jobs` lists the runs",
    )


def run_document(ledger: Books, row: RunRow, *, settings: Settings) -> dict[str, Any]:
    """Return a run as the `train` document."""
    holds = ledger.holds(row.run)
    legs = ledger.legs(row.run)
    reports = ledger.events(row.run, kind=EventKind.REPORTED)
    flows = ledger.events(row.run, kind=EventKind.FLOW_RUN)
    flow_run_id = flows[-1].key if flows else None
    advice = ledger.events(row.run, kind=EventKind.RECOMMENDED)
    enough = ledger.events(row.run, kind=EventKind.ENOUGH)
    ui = settings.stack().get("prefect", {}).get("url")
    tracking = settings.tracking_address
    experiment = reports[-1].body.get("mlflow_url") if reports else None
    return {
        "run": row.run,
        "mlflow_run_id": row.mlflow_run_id,
        "flow_run_id": flow_run_id,
        "state": row.state.value,
        "message": row.message,
        "legs": [leg_document(leg) for leg in legs],
        "held_usd": sum((hold.amount_usd for hold in holds), ZERO_USD),
        "charged_usd": sum((hold.charged_usd + hold.overdraft_usd for hold in holds), ZERO_USD),
        "released_usd": sum((hold.released_usd for hold in holds), ZERO_USD),
        "stopped_early": dict(enough[-1].body) if enough else None,
        "report_path": reports[-1].body["path"] if reports else None,
        "mlflow_url": experiment or tracking,
        "flow_run_url": f"{ui}/runs/flow-run/{flow_run_id}" if ui and flow_run_id else None,
        "recommendations": advice[-1].body["recommendations"] if advice else [],
    }


def leg_document(leg: LegRow) -> dict[str, Any]:
    """Return a leg as `jobs show` prints it; while it waits, with the time that it has waited."""
    over = leg.end is not None and leg.started_at is None and leg.ended_at is None
    return {
        "leg": leg.leg,
        "where": leg.where,
        "flavor": leg.flavor,
        "capacity": leg.capacity.value,
        "queued_s": None if over else leg.queued_s(now=datetime.now(UTC)),
        "started_at": leg.started_at,
        "ended_at": leg.ended_at,
        "cause": None if leg.end is None else leg.end.value,
        "reason": leg.reason,
        "limit_s": leg.limit_s,
        "measured": leg.measured,
        "charged_usd": leg.charged_usd,
    }


def show_document(ledger: Books, row: RunRow) -> dict[str, Any]:
    """Return a run as the `jobs show` document."""
    return {
        "run": row.run,
        "job": row.name,
        "state": row.state.value,
        "message": row.message,
        "budget": row.budget,
        "mlflow_run_id": row.mlflow_run_id,
        "owner": row.owner,
        "legs": [leg_document(leg) for leg in ledger.legs(row.run)],
        "epochs": [dict(event.body) for event in ledger.events(row.run, kind=EventKind.EPOCH)],
        "decisions": [
            {"at": event.at, **event.body}
            for event in ledger.events(row.run, kind=EventKind.DECISION)
        ],
    }
