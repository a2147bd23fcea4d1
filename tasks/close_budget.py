"""What happens when a budget is spent: its background legs end, each at its next checkpoint."""

from pydantic import Field

from blocks.world import World
from lowtide.documents import Part
from lowtide.job import Priority
from tasks.effect import effect
from tasks.stop import stop_now

_RUNS_MAX = 1_000


class CloseAsk(Part):
    """Which budget is to be closed."""

    budget: str = Field(
        default="default",
        min_length=1,
        max_length=200,
        title="Budget",
        description="Budget whose background runs are to end, and those of all budgets below it.",
    )
    priority: Priority = Field(
        default=Priority.BACKGROUND,
        title="Priority",
        description="Only runs of this priority are ended; the others may use what they hold.",
    )


@effect(name="close_budget")
def close_budget(world: World, ask: CloseAsk) -> tuple[str, ...]:
    """Ask every run of a budget and a priority to end at its checkpoint.

    Whoever owns such a run settles it; where nobody does, `reconcile` will. Asking again changes
    nothing.

    Args:
        world: The outside world.
        ask: Which budget, and which runs.

    Returns:
        The runs that were asked.
    """
    now = world.now()
    parents = {state.name: state.parent for state in world.ledger.budgets(now)}
    asked: list[str] = []
    for row in world.ledger.runs(unfinished=True, limit=_RUNS_MAX):
        if row.priority != ask.priority.value or not _is_below(row.budget, ask.budget, parents):
            continue
        reason = f"budget {ask.budget!r} is spent"
        stop_now(world.ledger, world.runner, row.run, reason=reason, now=now)
        asked.append(row.run)
    return tuple(asked)


def _is_below(budget: str, above: str, parents: dict[str, str | None]) -> bool:
    at: str | None = budget
    while at is not None and at != above:
        at = parents.get(at)
    return at == above
