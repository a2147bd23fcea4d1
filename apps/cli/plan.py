"""`lowtide plan`: when and on what a job could run, ranked."""

import typer

from apps.cli.options import Job, Json, Set


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(plan)


def plan(
    job: Job = None,
    *,
    set_: Set = [],  # noqa: B006 - Typer reads it and nobody writes it
    json: Json = False,
) -> None:
    """Rank the ways to run a job: cost, finish and risk; exit code 3 if none can be taken."""
    from apps.output import EXIT_REFUSED, emit, notice, refuse
    from apps.plans import plan_of, print_plan
    from lowtide.verdict import Refused

    found = plan_of(job, changes=set_)
    if isinstance(found, Refused):
        raise typer.Exit(refuse(found, as_json=json))
    if json:
        emit("plan", found.document())
    else:
        print_plan(found)
    no = found.verdict
    if no is not None:
        if not json:
            notice(f"lowtide: refused: {no.message}; {no.remedy}")
        raise typer.Exit(EXIT_REFUSED)
