"""`lowtide up | down | status`: the local stack."""

from typing import Annotated

import typer

from apps.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(
    *,
    notify: Annotated[
        str | None,
        typer.Option(
            help="A saved notification block of Prefect, as slack-webhook/team: it tells a person."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Start Prefect, MLflow and a worker, as far as they do not run; safe to repeat."""
    from apps import stack
    from apps.books import prepare_ledger
    from apps.output import emit, notice
    from blocks.settings import Settings

    settings = Settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    prepare_ledger(settings, say=notice)
    parts = stack.up(settings, say=notice, notify=notify)
    if json:
        emit("up", {"parts": [part.document() for part in parts.values()]})
        return
    print(f"Prefect UI   {parts['prefect'].url}")
    print(f"MLflow UI    {parts['mlflow'].url}")
    print(f"ledger       {settings.ledger_address}")
    print(f"logs         {settings.home / 'logs'}")


def down(*, json: Json = False) -> None:
    """End what `lowtide up` started; running trainings go on."""
    from apps import stack
    from apps.output import emit, notice
    from blocks.settings import Settings

    ended = stack.down(Settings(), say=notice)
    if json:
        emit("down", {"ended": list(ended)})
    elif not ended:
        print("nothing was up")


def status(*, json: Json = False) -> None:
    """Say what of the local stack runs, and where."""
    from apps import stack
    from apps.output import EXIT_FAILED, emit
    from blocks.settings import Settings

    parts = stack.running(Settings())
    missing = [name for name in ("prefect", "mlflow", "worker") if name not in parts]
    if json:
        emit("status", {"parts": [p.document() for p in parts.values()], "missing": missing})
    for part in () if json else parts.values():
        print(f"{part.name:8} process {part.pid:<8} {part.url or ''}  log {part.log}")
    for name in () if json else missing:
        print(f"{name:8} not running; `lowtide up` starts it")
    if missing:
        raise typer.Exit(EXIT_FAILED)
