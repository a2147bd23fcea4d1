"""`lowtide check`: does a job fit a budget, and what would."""

from typing import Annotated

import typer

from apps.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(
    *,
    budget: Annotated[str, typer.Option(help="What there is, US dollars.")],
    epochs: Annotated[int | None, typer.Option(help="Epochs; default: the job's.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Batch size; default: the job's.")] = None,
    job: Annotated[
        str | None, typer.Option(help="A job file or a job's name; default: the digits job.")
    ] = None,
    json: Json = False,
) -> None:
    """Say whether a training fits a budget, and what would fit instead; exit code 3 if not."""
    from apps.output import EXIT_REFUSED, emit, refuse
    from apps.questions import check_budget
    from lowtide.verdict import Refused

    found = check_budget(job, budget=budget, epochs=epochs, batch_size=batch_size)
    if isinstance(found, Refused):
        raise typer.Exit(refuse(found, as_json=json))
    if json:
        emit("check", found.document())
    else:
        from apps.tables import print_check

        print_check(found)
    if not found.feasible:
        raise typer.Exit(EXIT_REFUSED)
