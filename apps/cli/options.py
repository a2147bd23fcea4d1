"""Options that several commands share, each defined and described once."""

from typing import Annotated, TypeAlias

import typer

Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output.")
]
Job: TypeAlias = Annotated[
    str | None,
    typer.Argument(help="A job file, a job's name, or a run's id; default: the digits job."),
]
Set: TypeAlias = Annotated[
    list[str],
    typer.Option("--set", help="Change a key of the job, as in epochs=5 or params.hidden=128."),
]
Run: TypeAlias = Annotated[
    str, typer.Argument(help="A run's id, or a job's name: its newest run.")
]
