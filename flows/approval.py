"""Asks a person for more money: the flow is suspended, its process ends, a form waits in the UI.

Nothing is held while it waits. When the form was answered Prefect starts the flow again from its
top; it finds its run, comes here again, and gets the answer instead of another suspension.
"""

from decimal import Decimal
from typing import Any

from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field, create_model

from blocks.world import World
from lowtide.approval import LIMIT_USD_MAX, is_about_money
from lowtide.job import OnRefusal
from lowtide.money import show_usd
from lowtide.verdict import Refused
from tasks.approve import answered, approve, asked_so_far, refuse
from tasks.claim import Owned

EXPIRES_S = 86_400
ASKS_MAX = 3


class Approval(RunInput):
    """Whether one run may cost more than it was given."""

    approve: bool = Field(
        default=False, title="Approve", description="Whether the run may cost that much."
    )
    limit_usd: float = Field(
        default=1.0,
        gt=0,
        le=LIMIT_USD_MAX,
        title="New limit, USD",
        description="The most that this run may cost in all.",
    )
    reason: str = Field(
        default="",
        max_length=500,
        title="Reason",
        description="Why; it goes into the journal.",
    )
    who: str = Field(
        default="",
        max_length=500,
        title="Who",
        description="Your name; it is recorded as claimed.",
    )


def ask_for_approval(
    world: World, owned: Owned, refused: Refused, *, needed_usd: Decimal
) -> Owned:
    """Ask whether a refused run may cost more, and act on the answer.

    Args:
        world: The outside world.
        owned: The run; it holds nothing.
        refused: What the gate said.
        needed_usd: What the run asked for, US dollars.

    Returns:
        The run with what it may cost now; the gate decides again.

    Raises:
        Pause: Prefect's signal that ends this process until somebody has answered.
    """
    number = asked_so_far(world, owned) + 1
    if number > ASKS_MAX:
        refuse(world, owned, f"{refused.message}; {ASKS_MAX} answers did not change that")
        return owned
    form = _form(needed_usd).with_initial_data(
        description=_text(world, owned, refused, needed_usd=needed_usd)
    )
    given: Any = suspend_flow_run(wait_for_input=form, timeout=EXPIRES_S, key=f"approval-{number}")
    document: dict[str, Any] = given.model_dump(mode="json")
    return approve(world, owned, refused, needed_usd=needed_usd, number=number, document=document)


def is_for_a_person(owned: Owned, refused: Refused) -> bool:
    """Say whether the job asks for a person where it is refused, and a person could help."""
    return owned.job.on_refusal is OnRefusal.ASK and is_about_money(refused)


def _form(needed_usd: Decimal) -> type[Approval]:
    # Not by `with_initial_data`, which drops a field's bounds, title and description.
    limit = Field(
        default=float(needed_usd),
        gt=0,
        le=LIMIT_USD_MAX,
        title="New limit, USD",
        description="The most that this run may cost in all.",
    )
    return create_model("Approval", __base__=Approval, limit_usd=(float, limit))


def _text(world: World, owned: Owned, refused: Refused, *, needed_usd: Decimal) -> str:
    lines = [
        f"## {owned.job.name}, run `{owned.run}`, needs {show_usd(needed_usd)}",
        "",
        f"{refused.message}.",
        "",
        f"Nothing is held for it. Without an answer it is refused in {EXPIRES_S / 3600:.0f} hours.",
    ]
    last = answered(world, owned)
    if last is not None:
        lines += ["", f"**The last answer changed nothing:** {last}."]
    return "\n".join(lines)
