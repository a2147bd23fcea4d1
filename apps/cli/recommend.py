"""`lowtide recommend`: what to change next time."""

from typing import Annotated

import typer

from apps.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(recommend)


def recommend(
    run: Annotated[
        str,
        typer.Argument(help="A run's id, a job's name (its newest run), or any MLflow run's id."),
    ],
    *,
    job: Annotated[
        str | None,
        typer.Option(help="What an MLflow run is a run of, where lowtide did not submit it."),
    ] = None,
    json: Json = False,
) -> None:
    """Say what would have made a run cheaper, with the evidence."""
    from apps.output import emit
    from apps.questions import advice_on
    from apps.texts import advice_text

    advice = advice_on(run, job=job)
    if json:
        emit("recommend", advice.document())
    else:
        print(advice_text(advice))
