"""A person may let one run cost more than its budget or its own job file allows.

The form that asks has bounds, and so has the budget. Both are checked again when the answer has
come: a form in a browser, or a program that sends what it likes, is not where money is decided.
Who approved it is what was typed in: recorded as claimed, and not known.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, TypeAlias

from pydantic import Field, StringConstraints, ValidationError

from lowtide.documents import Amount, Part
from lowtide.money import ZERO_USD, quantize_usd, show_usd
from lowtide.verdict import RefusalReason, Refused

LIMIT_USD_MAX = 1_000_000
_Text: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=2, max_length=500)
]
_APPROVABLE = frozenset({RefusalReason.BUDGET, RefusalReason.JOB_LIMIT})


class Answer(Part):
    """What a person answered, its bounds checked."""

    approve: bool = Field(title="Approve", description="Whether the run may cost that much.")
    limit_usd: Amount = Field(
        gt=0,
        le=LIMIT_USD_MAX,
        title="New limit, USD",
        description="The most that this run may cost in all.",
    )
    reason: _Text = Field(title="Reason", description="Why; it goes into the journal.")
    who: _Text = Field(title="Who", description="Your name; it is recorded as claimed.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """What an approval changes.

    Attributes:
        cap_usd: The most that the run may cost from now on.
        budget: The budget whose limit is lifted for this run.
        lift_usd: By how much; 0 where only the job's own limit stood in the way.
    """

    cap_usd: Decimal
    budget: str
    lift_usd: Decimal


def is_about_money(refused: Refused) -> bool:
    """Say whether money is what is missing, so that a person, or time, can do something about it."""
    return refused.reason in _APPROVABLE and refused.gap_usd is not None


def read_answer(given: dict[str, Any]) -> Answer | str:
    """Check what was filled into the form.

    Args:
        given: The form's fields.

    Returns:
        The answer, or what is wrong with it, one sentence.

    Examples:
        >>> read_answer({"approve": True, "limit_usd": -1, "reason": "demo", "who": "Ada"})
        'limit_usd: Input should be greater than 0'
    """
    try:
        return Answer.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        return f"{path}: {first['msg']}"


def lift_of(
    answer: Answer,
    refused: Refused,
    *,
    needed_usd: Decimal,
    budget: str,
    approval_usd_max: Decimal,
) -> Lift | str:
    """Work out what an approval changes, or say why it is not enough or too much.

    Args:
        answer: The approval.
        refused: What the gate said.
        needed_usd: What the run asked for, US dollars.
        budget: The budget that pays.
        approval_usd_max: The most by which one approval may lift the budget that is lifted.

    Returns:
        The change, or one sentence that says why there is none.

    Examples:
        >>> refused = Refused(
        ...     reason=RefusalReason.BUDGET,
        ...     message="",
        ...     remedy="",
        ...     gap_usd=Decimal(2),
        ...     budget="research",
        ... )
        >>> answer = Answer(approve=True, limit_usd=6, reason="a paper is due", who="Ada")
        >>> lift_of(
        ...     answer,
        ...     refused,
        ...     needed_usd=Decimal(5),
        ...     budget="research/vision",
        ...     approval_usd_max=Decimal(10),
        ... )
        Lift(cap_usd=Decimal('6.000000'), budget='research', lift_usd=Decimal('3.000000'))
    """
    cap_usd = quantize_usd(answer.limit_usd)
    if cap_usd < needed_usd:
        return f"the run needs {show_usd(needed_usd)}, and {show_usd(cap_usd)} was approved"
    free_usd = needed_usd - (refused.gap_usd or ZERO_USD)
    beyond_usd = max(cap_usd - free_usd, ZERO_USD)
    lifted = refused.budget or budget
    if beyond_usd > approval_usd_max:
        return (
            f"one approval may go {show_usd(approval_usd_max)} beyond the limit at most "
            f"(`approvals.max_usd` of budget {lifted!r}), and {show_usd(cap_usd)} is "
            f"{show_usd(beyond_usd)} beyond it"
        )
    is_budget = refused.reason is RefusalReason.BUDGET
    return Lift(cap_usd=cap_usd, budget=lifted, lift_usd=beyond_usd if is_budget else ZERO_USD)
