"""The reconcile flow: finds what no flow watches any more, and settles what has ended."""

from contextlib import closing

from prefect import flow

from blocks.settings import Settings
from blocks.world import World, open_world
from tasks.unwatched import Found, settle_unwatched


@flow(name="reconcile", persist_result=False)
def reconcile(world: World | None = None) -> list[Found]:
    """Settle every run that ended while nobody watched, and say one line about each.

    Safe beside running flows: a run whose owner lives is left alone, and a run is taken over by
    its lease before anything about it is touched.

    Args:
        world: The outside world; None: the one that the settings describe.

    Returns:
        What was found and done, run by run.
    """
    with closing(world or open_world(Settings())) as opened:
        return settle_unwatched(opened)
