"""`lowtide metrics`: serves the figures of all runs to Prometheus until it is told to stop."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(metrics)


def metrics(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0: any free one.")] = 9464,
) -> None:
    """Serve the figures of all runs to Prometheus, at /metrics."""
    from apps.metrics_server import serve

    serve(host=host, port=port)
