"""The budget-close flow: a budget is spent, so its background legs end at their checkpoints."""

from contextlib import closing

from prefect import flow

from blocks.settings import Settings
from blocks.world import World, open_world
from flows.form import asked_in_a_form
from tasks.close_budget import CloseAsk, close_budget


@asked_in_a_form
@flow(name="budget-close", persist_result=False)
def budget_close(ask: CloseAsk, world: World | None = None) -> list[str]:
    """End the background runs of a budget, each at its next checkpoint.

    An automation starts it when a budget's charges reach 100 % of the limit. It is a courtesy to
    whoever pays: the modes `drain` and `kill` end legs without it.

    Args:
        ask: Which budget.
        world: The outside world; None: the one that the settings describe.

    Returns:
        The runs that were asked to end.
    """
    with closing(world or open_world(Settings())) as opened:
        return list(close_budget(opened, ask))
