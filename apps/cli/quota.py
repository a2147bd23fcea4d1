"""`lowtide quota`: what is free, and how many of a job would run at once."""

from typing import Annotated

import typer

from apps.cli.options import Job, Json, Set


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(quota)


def quota(
    job: Job = None,
    *,
    jobs: Annotated[int | None, typer.Option(help="How many of the job at once?")] = None,
    set_: Set = [],  # noqa: B006 - Typer reads it and nobody writes it
    json: Json = False,
) -> None:
    """Show what is free, and how many of a job run now, how many wait, and the ways out."""
    from apps.output import emit, refuse
    from apps.quotas import quota_of, quota_text
    from lowtide.verdict import Refused

    found = quota_of(job, jobs=jobs, changes=set_)
    if isinstance(found, Refused):
        raise typer.Exit(refuse(found, as_json=json))
    if json:
        emit("quota", found.document())
    else:
        print(quota_text(found))
