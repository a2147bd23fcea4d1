"""`lowtide train`: trains a job within its budget."""

from typing import Annotated

import typer

from apps.cli.options import Job, Json, Set


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


def train(
    job: Job = None,
    *,
    set_: Set = [],  # noqa: B006 - Typer reads it and nobody writes it
    key: Annotated[
        str | None, typer.Option(help="Your own name for this run; the same key is the same run.")
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Start anew even if the same job is unfinished.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay and show progress until the run has ended.")
    ] = False,
    json: Json = False,
) -> None:
    """Train a job within its budget; without --wait a worker does it, and this returns at once."""
    from apps.output import emit
    from apps.training import Training  # imports Prefect

    training = Training.asked(job, changes=set_, key=key, new=new)
    if wait:
        raise typer.Exit(training.wait(as_json=json))
    submitted = training.hand_over()
    if json:
        emit("train", submitted)
    else:
        print(f"run {submitted['run']} submitted as flow run {submitted['flow_run_id']}")
        print(f"look at it:  lowtide jobs show {submitted['run']}")
