"""`lowtide jobs`: the runs, one run in full, and how to stop one."""

from typing import Annotated, Any

import typer

from apps.cli.options import Json, Run


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="List runs, show one, or stop one.")
    group.callback(invoke_without_command=True)(jobs)
    group.command()(show)
    group.command()(stop)
    app.add_typer(group, name="jobs")


def jobs(context: typer.Context, *, json: Json = False) -> None:
    """List the runs, newest first."""
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.table import Table

    from apps.books import open_ledger
    from apps.output import emit
    from blocks.settings import Settings

    rows = open_ledger(Settings()).runs(limit=100)
    if json:
        keys = ("run", "name", "budget", "priority", "flavor", "created_at", "message")
        listed = [{key: getattr(row, key) for key in keys} | {"state": row.state} for row in rows]
        emit("jobs", {"runs": listed})
        return
    table = Table("run", "job", "state", "budget", "started", "what happened")
    for row in rows:
        started = f"{row.created_at:%Y-%m-%d %H:%M} UTC"
        table.add_row(row.run, row.name, row.state.value, row.budget, started, row.message)
    Console().print(table if rows else "no runs yet; `lowtide train` starts one")


def show(
    run: Run,
    *,
    logs: Annotated[bool, typer.Option("--logs", help="Show the last lines of its log.")] = False,
    decisions: Annotated[
        bool, typer.Option("--decisions", help="Show what was decided, and why.")
    ] = False,
    json: Json = False,
) -> None:
    """Show one run: its legs, epochs and money."""
    from apps.answers import find_run, show_document
    from apps.books import open_ledger
    from apps.output import emit
    from blocks.settings import Settings

    settings = Settings()
    ledger = open_ledger(settings)
    row = find_run(ledger, run)
    document = show_document(ledger, row)
    if logs:
        from blocks.world import open_runner  # imports Prefect

        runner = open_runner(settings, ledger=ledger)
        document["logs"] = [
            line for leg in ledger.legs(row.run) for line in runner.logs(row.run, leg.leg)
        ]
    if json:
        emit("jobs-show", document)
    else:
        _print(document, decisions=decisions)


def stop(run: Run, *, json: Json = False) -> None:
    """End a run's training at its next checkpoint; what it used is charged, the rest released."""
    from datetime import UTC, datetime

    from apps.answers import find_run
    from apps.books import open_ledger
    from apps.output import emit
    from blocks.settings import Settings
    from blocks.world import open_runner
    from tasks.stop import stop_now

    settings = Settings()
    ledger = open_ledger(settings)
    row = find_run(ledger, run)
    asked = row.state.unfinished
    if asked:
        runner = open_runner(settings, ledger=ledger)
        stop_now(ledger, runner, row.run, reason="lowtide jobs stop", now=datetime.now(UTC))
    if json:
        emit("jobs-stop", {"run": row.run, "state": row.state.value, "asked": asked})
    elif asked:
        print(f"{row.run} ends at its next checkpoint; `lowtide jobs show {row.run}` shows how")
    else:
        print(f"{row.run} has ended already: {row.state.value}")


def _print(document: dict[str, Any], *, decisions: bool) -> None:
    from lowtide.money import show_usd
    from lowtide.words import show_duration

    print(f"{document['run']} ({document['job']}) {document['state']}: {document['message']}")
    print(f"budget {document['budget']}, owner {document['owner'] or 'nobody'}")
    for leg in document["legs"]:
        end = leg["cause"] or "running"
        if leg["cause"] is None and leg["started_at"] is None:
            end = f"waiting for {show_duration(leg['queued_s'])}, unbilled:"
        print(
            f"leg {leg['leg']} on {leg['flavor']} {leg['capacity']}: {end} {leg['reason']} "
            f"({show_usd(leg['charged_usd'])})"
        )
    if document["epochs"]:
        last = document["epochs"][-1]
        print(f"epoch {last['epochs_done']} of {last['epochs']}, metric {last['metric']}")
    for decision in document["decisions"] if decisions else ():
        print(f"{decision['at']} {decision['decision']}: {decision['reason']}")
    for line in document.get("logs", ()):
        print(line)
