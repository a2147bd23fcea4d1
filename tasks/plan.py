"""Decides where and when the next leg runs."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from blocks.history import past_runs
from blocks.world import World
from lowtide.check import Check, check_training_budget
from lowtide.decision import Action
from lowtide.events import EventKind
from lowtide.job import PolicyName, Priority
from lowtide.legs import Capacity
from lowtide.money import show_usd
from lowtide.prices import Demand, next_window
from lowtide.verdict import Refused
from tasks import show
from tasks.claim import Owned
from tasks.effect import effect
from tasks.forecast import outlook

# Options are shown for what they cost; which of them would fit is no question once money is held.
ANY_USD = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where and when the next leg runs.

    Attributes:
        capacity: On which terms.
        reason: Why so, one sentence.
        until: When to start; None: now.
    """

    capacity: Capacity
    reason: str
    until: datetime | None = None


@effect(name="plan_run")
def plan_run(world: World, owned: Owned) -> Plan:
    """Choose the next leg's terms, and show them beside what else there was."""
    plan = _choose(world, owned)
    found = _options(world, owned)
    show.markdown(f"{owned.run}-plan", title="Plan", text=_text(owned, plan, found))
    world.ledger.log(
        owned.run,
        kind=EventKind.DECISION,
        key=f"plan-{len(world.ledger.legs(owned.run)) + 1}",
        body={
            "observation": {} if found is None else found.document(),
            "decision": (Action.RUN_ON_DEMAND if plan.until is None else Action.WAIT).value,
            "reason": plan.reason,
        },
        now=world.now(),
    )
    return plan


def _choose(world: World, owned: Owned) -> Plan:
    job, now = owned.job, world.now()
    book = world.prices.book()
    if job.policy is not PolicyName.OFF_PEAK:
        return Plan(capacity=Capacity.ON_DEMAND, reason="the job's policy is run-now")
    if job.priority is Priority.URGENT:
        return Plan(capacity=Capacity.ON_DEMAND, reason="an urgent job never waits for a price")
    cheaper = next_window(book, Demand.of(job, Capacity.ON_DEMAND), now=now)
    if cheaper is None:
        return Plan(capacity=Capacity.ON_DEMAND, reason="nothing cheaper is ahead")
    ahead = outlook(world.ledger, job, book=book, capacity=Capacity.ON_DEMAND, now=now)
    upper_s = 0.0 if isinstance(ahead, Refused) else ahead.time.time_remaining_s.p90
    if job.deadline is not None and cheaper.start + timedelta(seconds=upper_s) > job.deadline:
        reason = f"the {cheaper.window} window opens too late for the deadline"
        return Plan(capacity=Capacity.ON_DEMAND, reason=reason)
    return Plan(
        capacity=Capacity.ON_DEMAND,
        reason=f"the {cheaper.window} window costs {show_usd(cheaper.usd_per_h)} an hour",
        until=cheaper.start,
    )


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
    when = "now" if plan.until is None else f"at {plan.until:%Y-%m-%d %H:%M} UTC"
    lines = [f"# {owned.job.name}, run `{owned.run}`", "", f"Runs {when}: {plan.reason}."]
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
