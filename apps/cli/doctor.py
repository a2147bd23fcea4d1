"""`lowtide doctor`: is everything there, in the right version, and do the books agree."""

import typer

from apps.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(*, json: Json = False) -> None:
    """Check versions, paths, ports and books; the exit code is 1 if something is wrong."""
    from apps.health import findings
    from apps.output import EXIT_FAILED, emit
    from blocks.settings import Settings

    found = findings(Settings())
    if json:
        emit("doctor", {"findings": [finding.document() for finding in found]})
    for finding in () if json else found:
        print(f"{'ok  ' if finding.ok else 'BAD '} {finding.what}: {finding.told}")
    if not all(finding.ok for finding in found):
        raise typer.Exit(EXIT_FAILED)
