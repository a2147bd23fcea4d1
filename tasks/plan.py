"""Decides where and when the next leg runs."""

from dataclasses import dataclass
from decimal import Decimal

from blocks.history import past_runs
from blocks.world import World
from lowtide.check import Check, check_training_budget
from lowtide.decision import Action
from lowtide.events import EventKind
from lowtide.legs import Capacity
from lowtide.money import show_usd
from lowtide.verdict import Refused
from tasks import show
from tasks.claim import Owned
from tasks.effect import effect

# Options are shown for what they cost; which of them would fit is no question once money is held.
ANY_USD = Decimal(1)


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
    plan = Plan(capacity=Capacity.ON_DEMAND, reason="the job's policy is run-now")
    found = _options(world, owned)
    show.markdown(f"{owned.run}-plan", title="Plan", text=_text(owned, plan, found))
    world.ledger.log(
        owned.run,
        kind=EventKind.DECISION,
        key=f"plan-{len(world.ledger.legs(owned.run)) + 1}",
        body={
            "observation": {} if found is None else found.document(),
            "decision": Action.RUN_ON_DEMAND.value,
            "reason": plan.reason,
        },
        now=world.now(),
    )
    return plan


def _options(world: World, owned: Owned) -> Check | None:
    hold = world.ledger.hold_of(owned.run)
    found = check_training_budget(
        owned.job,
        budget_usd=ANY_USD if hold is None else hold.amount_usd,
        book=world.prices.book(),
        now=world.now(),
        history=past_runs(world.ledger, owned.job),
    )
    return None if isinstance(found, Refused) else found


def _text(owned: Owned, plan: Plan, found: Check | None) -> str:
    lines = [f"# {owned.job.name}, run `{owned.run}`", "", f"Runs now, on demand: {plan.reason}."]
    if found is None:
        return "\n".join(lines)
    cost = found.forecast_usd
    now_costs = f"{show_usd(cost.p10)} | {show_usd(cost.p50)} | {show_usd(cost.p90)}"
    lines += [
        "",
        "| way | cost P10 | P50 | P90 | what it does and assumes |",
        "|---|---|---|---|---|",
        f"| **now, on demand** | {now_costs} | {found.quote.time.explanation} |",
    ]
    lines += [
        f"| {option.kind} | {show_usd(option.cost_usd.p10)} | {show_usd(option.cost_usd.p50)} "
        f"| {show_usd(option.cost_usd.p90)} | {option.why} |"
        for option in found.options
    ]
    return "\n".join(lines)
