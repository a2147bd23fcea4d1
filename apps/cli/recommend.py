"""`lowtide recommend`: what to change next time."""

import typer

from apps.cli.options import Json, Run


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(recommend)


def recommend(run: Run, *, json: Json = False) -> None:
    """Say what would have made a run cheaper, with the evidence."""
    from apps.output import emit  # noqa: PLC0415
    from apps.questions import advice_on  # noqa: PLC0415
    from apps.texts import advice_text  # noqa: PLC0415

    advice = advice_on(run)
    if json:
        emit("recommend", advice.document())
    else:
        print(advice_text(advice))
