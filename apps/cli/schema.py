"""`lowtide schema`: the JSON Schema of a document, for editors and programs."""

import json as json_text
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(schema)


def schema(
    of: Annotated[
        str, typer.Argument(help="Which document: job, budgets, prices, compare or tools.")
    ],
) -> None:
    """Print the JSON Schema of a document."""
    from apps.schemas import schema_of

    print(json_text.dumps(schema_of(of), indent=2))
