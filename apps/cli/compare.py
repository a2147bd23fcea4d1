"""`lowtide compare`: many configurations of one job, side by side."""

from pathlib import Path
from typing import Annotated

import typer

from apps.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)


def compare(
    configs: Annotated[str, typer.Argument(help="A JSON list of configurations, or its file.")],
    *,
    job: Annotated[
        str | None, typer.Option(help="A job file or a job's name; default: the digits job.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="An HTML file to draw them into, time against cost.")
    ] = None,
    json: Json = False,
) -> None:
    """Compare up to 1,000 configurations: time, cost, metric, and what nothing beats."""
    from apps.output import emit, notice, refuse
    from apps.questions import compare_texts
    from lowtide.verdict import Refused

    path = Path(configs)
    is_text = configs.lstrip().startswith(("[", "{"))
    found = compare_texts(
        configs if is_text else path, job=job, source="configs" if is_text else str(path)
    )
    if isinstance(found, Refused):
        raise typer.Exit(refuse(found, as_json=json))
    if plot is not None:
        from apps.compare_plot import write_plot  # imports plotly

        write_plot(found, plot)
        notice(f"drawn in {plot}")
    if json:
        emit("compare", found.document())
    else:
        from apps.tables import print_comparison

        print_comparison(found)
