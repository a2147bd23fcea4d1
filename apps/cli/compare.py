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
    json: Json = False,
) -> None:
    """Compare up to 1,000 configurations: time, cost, metric, and what nothing beats."""
    from apps.output import emit, refuse  # noqa: PLC0415
    from apps.questions import compare_texts  # noqa: PLC0415
    from lowtide.verdict import Refused  # noqa: PLC0415

    path = Path(configs)
    is_text = configs.lstrip().startswith(("[", "{"))
    found = compare_texts(
        configs if is_text else path, job=job, source="configs" if is_text else str(path)
    )
    if isinstance(found, Refused):
        raise typer.Exit(refuse(found, as_json=json))
    if json:
        emit("compare", found.document())
    else:
        from apps.tables import print_comparison  # noqa: PLC0415

        print_comparison(found)
