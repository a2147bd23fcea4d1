"""`lowtide reconcile`: settles what ended while nobody watched."""

import typer

from apps.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reconcile)


def reconcile(*, json: Json = False) -> None:
    """Find runs that no flow watches any more; settle the ended ones, one line each."""
    from contextlib import closing

    from apps.output import emit
    from blocks.settings import Settings
    from blocks.world import open_world
    from tasks.unwatched import settle_unwatched

    with closing(open_world(Settings())) as world:
        world.ledger.migrate()
        found = settle_unwatched(world)
    if json:
        emit("reconcile", {"found": [item.document() for item in found]})
        return
    for item in found:
        print(f"{item.run}: {item.done}")
    if not found:
        print("nothing to settle: every unfinished run has an owner")
