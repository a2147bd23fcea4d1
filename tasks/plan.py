"""Decides where and when the next leg runs."""

from dataclasses import dataclass

from blocks.world import World
from lowtide.legs import Capacity
from lowtide.money import show_usd
from lowtide.verdict import Refused
from tasks import show
from tasks.claim import Owned
from tasks.effect import effect
from tasks.forecast import outlook


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where and when the next leg runs.

    Attributes:
        capacity: On which terms.
        reason: Why so, one sentence.
    """

    capacity: Capacity
    reason: str


@effect(name="plan_run")
def plan_run(world: World, owned: Owned) -> Plan:
    """Choose the next leg's terms, and show them beside what else there was."""
    job, now = owned.job, world.now()
    book = world.prices.book()
    ahead = outlook(world.ledger, job, book=book, capacity=Capacity.ON_DEMAND, now=now)
    plan = Plan(capacity=Capacity.ON_DEMAND, reason="the job's policy is run-now")
    lines = [f"# {job.name}, run `{owned.run}`", "", f"**{plan.reason}**", ""]
    if not isinstance(ahead, Refused):
        cost = ahead.cost_usd
        lines += [
            "| option | cost P10 | P50 | P90 |",
            "|---|---|---|---|",
            f"| now, on demand | {show_usd(cost.p10)} | {show_usd(cost.p50)} | {show_usd(cost.p90)} |",
        ]
    show.markdown(f"{owned.run}-plan", title="Plan", text="\n".join(lines))
    return plan
