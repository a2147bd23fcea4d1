"""`lowtide forecast`: what a run will still take and cost."""

from typing import Annotated

import typer

from apps.cli.options import Json, Run


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(forecast)


def forecast(
    run: Run,
    *,
    remaining_epochs: Annotated[
        int | None, typer.Option(min=0, help="Epochs still to train; default: what is left.")
    ] = None,
    json: Json = False,
) -> None:
    """Forecast the time and money that a run still needs, or that the job's next run would."""
    from apps.forecasts import forecast_document
    from apps.output import emit, refuse
    from apps.texts import forecast_text
    from lowtide.verdict import Refused

    document = forecast_document(run, remaining_epochs=remaining_epochs)
    if isinstance(document, Refused):
        raise typer.Exit(refuse(document, as_json=json))
    if json:
        emit("forecast", document)
    else:
        print(forecast_text(document, named=run))
