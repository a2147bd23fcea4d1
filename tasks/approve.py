"""Acts on a person's answer: bounds checked again, written into log and journal, once."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from blocks.world import World
from lowtide.approval import Lift, lift_of, read_answer
from lowtide.events import EventKind
from lowtide.ledger.records import RunState
from lowtide.money import ZERO_USD, show_usd
from lowtide.verdict import Refused
from tasks import log
from tasks.claim import Owned, with_approval
from tasks.effect import effect

_GOOD_FOR = timedelta(days=7)


def asked_so_far(world: World, owned: Owned) -> int:
    """Return how many answers the run has had."""
    return len(world.ledger.events(owned.run, kind=EventKind.APPROVAL))


def answered(world: World, owned: Owned) -> str | None:
    """Return why the last answer changed nothing; None where there was none."""
    answers = world.ledger.events(owned.run, kind=EventKind.APPROVAL)
    return None if not answers else answers[-1].body["outcome"]


@effect(name="approve")
def approve(
    world: World,
    owned: Owned,
    refused: Refused,
    *,
    needed_usd: Decimal,
    number: int,
    document: dict[str, Any],
) -> Owned:
    """Check an answer, lift what it lifts, and write down who said so.

    Args:
        world: The outside world.
        owned: The run.
        refused: What the gate said.
        needed_usd: What the run asked for, US dollars.
        number: Which answer this is, from 1; repeated, it changes nothing.
        document: What was filled into the form.

    Returns:
        The run with what it may cost from now on.
    """
    answer = read_answer(document)
    if isinstance(answer, str):
        return _note(world, owned, number, document, outcome=answer)
    claimed = f"{answer.who} (as claimed)"
    if not answer.approve:
        _note(world, owned, number, document, outcome=f"{claimed} said no: {answer.reason}")
        refuse(world, owned, f"{refused.message}; {claimed} said no: {answer.reason}")
        return owned
    lift = lift_of(
        answer,
        refused,
        needed_usd=needed_usd,
        budget=owned.job.budget.name,
        approval_usd_max=_approval_usd_max(world, refused.budget or owned.job.budget.name),
    )
    if isinstance(lift, str):
        return _note(world, owned, number, document, outcome=lift)
    verdict = world.ledger.override(
        key=f"{owned.run}/approval-{number}",
        run=owned.run,
        budget=lift.budget,
        amount_usd=lift.lift_usd,
        expires_at=world.now() + _GOOD_FOR,
        actor=claimed,
        reason=f"may cost {show_usd(lift.cap_usd)}: {answer.reason}",
        now=world.now(),
    )
    if isinstance(verdict, Refused):
        return _note(world, owned, number, document, outcome=verdict.message)
    outcome = f"{claimed} approved {show_usd(lift.cap_usd)}: {answer.reason}"
    return _note(world, owned, number, document, outcome=outcome, lift=lift)


def refuse(world: World, owned: Owned, message: str) -> None:
    """End a run that waited for an approval; it holds nothing."""
    world.ledger.set_run_state(
        owned.lease, owned.run, state=RunState.REFUSED, message=message, now=world.now()
    )


def _note(
    world: World,
    owned: Owned,
    number: int,
    document: dict[str, Any],
    *,
    outcome: str,
    lift: Lift | None = None,
) -> Owned:
    body = {
        "given": document,
        "outcome": outcome,
        "cap_usd": None if lift is None else str(lift.cap_usd),
    }
    key = f"approval-{number}"
    world.ledger.log(owned.run, kind=EventKind.APPROVAL, key=key, body=body, now=world.now())
    log.say(f"answer {number}: {outcome}")
    return replace(owned, job=with_approval(world, owned.run, owned.job))


def _approval_usd_max(world: World, budget: str) -> Decimal:
    state = world.ledger.budget(budget, now=world.now())
    return ZERO_USD if state is None else state.approval_usd_max
