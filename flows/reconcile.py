"""The reconcile flow: finds what no flow watches any more, and settles what has ended."""

from contextlib import closing

from prefect import flow

from blocks.settings import Settings
from blocks.world import World, open_world
from flows.form import asked_in_a_form
from tasks import log
from tasks.unwatched import Found, ReconcileAsk, reconcile_all


@asked_in_a_form
@flow(name="reconcile", persist_result=False)
def reconcile(ask: ReconcileAsk | None = None, world: World | None = None) -> list[Found]:
    """Adopt or settle what no flow watches any more, and say one line about each.

    Safe beside running flows: a run whose owner lives is left alone, and a run is taken over by
    its lease before anything about it is touched.

    Args:
        ask: What may be done beyond settling; None: all of it.
        world: The outside world; None: the one that the settings describe.

    Returns:
        What was found and done, run by run.
    """
    with closing(world or open_world(Settings())) as opened:
        found = reconcile_all(opened, ask or ReconcileAsk())
        for item in found:
            log.say(f"{item.run}: {item.done}")
        return found
