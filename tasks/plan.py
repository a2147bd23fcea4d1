"""Decides where and when the next leg runs."""

from dataclasses import dataclass
from datetime import datetime

from blocks.history import past_runs
from blocks.world import World
from lowtide.decision import Action, Decision
from lowtide.errors import LowtideError
from lowtide.legs import Capacity
from lowtide.money import show_usd
from lowtide.plan import Plan as Options, make_plan, plan_ask
from lowtide.verdict import Refused
from tasks import log, show
from tasks.claim import Owned
from tasks.decide import Mind
from tasks.effect import effect
from tasks.stop import ask_stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where and when the next leg runs.

    Attributes:
        capacity: On which terms.
        reason: Why so, one sentence.
        until: When to start, or to ask again; None: now.
    """

    capacity: Capacity
    reason: str
    until: datetime | None = None


@effect(name="plan_run")
def plan_run(world: World, owned: Owned) -> Plan:
    """Choose the next leg's terms by the job's policy; at first, show what else there was."""
    mind = Mind.of(world, owned)
    is_first = mind.count == 0
    options = _options(world, owned) if is_first else None
    mind.plan = None if options is None else options.document()
    found = mind.next_leg()
    if isinstance(found, Refused):
        # Money is held already, so what is not known is no reason to keep it idle.
        return Plan(capacity=Capacity.ON_DEMAND, reason=found.message)
    _, decision = found
    if decision.action is Action.STOP:
        ask_stop(world.ledger, owned.run, reason=decision.reason, now=world.now())
    plan = _plan(decision)
    show.markdown(f"{owned.run}-plan", title="Plan", text=_text(owned, plan, options))
    return plan


def _plan(decision: Decision) -> Plan:
    on_spot = decision.action is Action.RUN_SPOT
    return Plan(
        capacity=Capacity.SPOT if on_spot else Capacity.ON_DEMAND,
        reason=decision.reason,
        until=decision.until if decision.action is Action.WAIT else None,
    )


def _options(world: World, owned: Owned) -> Options | None:
    hold = world.ledger.hold_of(owned.run)
    try:
        ask = plan_ask(
            owned.job,
            book=world.prices.book(),
            now=world.now(),
            budget_usd=None if hold is None else hold.amount_usd,
            history=past_runs(world.ledger, owned.job),
        )
        return None if isinstance(ask, Refused) else make_plan(ask)
    except LowtideError as error:
        log.warn(f"no options can be shown: {error}")
        return None


def _text(owned: Owned, plan: Plan, found: Options | None) -> str:
    when = "now" if plan.until is None else f"at {plan.until:%Y-%m-%d %H:%M:%S} UTC"
    what = f"Runs {when}, {plan.capacity.value}" if plan.until is None else f"Asks again {when}"
    lines = [f"# {owned.job.name}, run `{owned.run}`", "", f"{what}: {plan.reason}."]
    if found is None:
        return "\n".join(lines)
    lines += [
        "",
        "| option | cost P10 | P50 | P90 | done by (P90) | what it does | risk |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {option.kind.value} | {show_usd(option.cost_usd.p10)} "
        f"| {show_usd(option.cost_usd.p50)} | {show_usd(option.cost_usd.p90)} "
        f"| {option.finish.p90:%Y-%m-%d %H:%M} | {option.why} | {option.risk} |"
        for option in found.options
    ]
    return "\n".join(lines)
