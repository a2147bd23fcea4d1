"""Does it fit? A job against a budget, before anything is held, with what would fit instead.

Nobody has chosen a start yet, so the job itself is priced at the dearest rate of the week: what it
may cost whenever it runs. The verdict is taken on the hold, the upper forecast, since that is what
a budget must be able to set aside; the middle is what a person reads as "the cost". Both are in
the answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from lowtide.errors import BadInputError
from lowtide.forecast import PastRun, unstarted
from lowtide.job import TrainingJob
from lowtide.money import ZERO_USD, UsdRange, show_usd
from lowtide.plain import plain_moment, plain_usd, plain_usd_range
from lowtide.prices import PriceBook, PriceUnknownError
from lowtide.verdict import RefusalReason, Refused
from lowtide.ways import Moments, Question, Quote, Way, other_ways


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """Another way to run the job, priced.

    Attributes:
        way: When, on what, how large a batch, how many epochs.
        quote: What it takes and costs.
        flavor: Kind of capacity.
        saves_usd: What its middle saves against the job as asked, US dollars.
        meets_deadline: Whether its upper forecast is done in time; None without a deadline.
        fits_budget: Whether its hold fits.
    """

    way: Way
    quote: Quote
    flavor: str
    saves_usd: Decimal
    meets_deadline: bool | None
    fits_budget: bool

    @property
    def kind(self) -> str:
        """What it changes, as in "off-peak" or "spot+batch-size"."""
        return "+".join(self.way.kind)

    @property
    def cost_usd(self) -> UsdRange:
        """What it costs, US dollars."""
        return self.quote.cost_usd

    @property
    def why(self) -> str:
        """What it does and what it assumes."""
        return "; ".join(self.way.why)

    @property
    def change(self) -> Mapping[str, Any]:
        """Keys of the job file and their new values."""
        return self.way.change


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The answer.

    Attributes:
        budget_usd: What there is, US dollars.
        asked: The way the job was asked for.
        quote: What that takes and costs, whenever it runs.
        options: Other ways, best first: those that fit and are in time before the others, those
            that change only when and where it runs before those that change the training, then
            the cheapest.
    """

    budget_usd: Decimal
    asked: Way
    quote: Quote
    options: tuple[Option, ...]

    @property
    def feasible(self) -> bool:
        """Whether the hold fits the budget."""
        return self.quote.hold_usd <= self.budget_usd

    @property
    def forecast_usd(self) -> UsdRange:
        """What the job may cost whenever it runs, US dollars."""
        return self.quote.cost_usd

    @property
    def over_usd(self) -> Decimal:
        """By how much the forecast's middle exceeds the budget, US dollars; 0 if it does not."""
        return max(ZERO_USD, self.forecast_usd.p50 - self.budget_usd)

    @property
    def utilisation_pct(self) -> float:
        """The forecast's middle as a share of the budget, per cent."""
        return round(float(100 * self.forecast_usd.p50 / self.budget_usd), 1)

    def verdict(self) -> Refused | None:
        """Return why the job does not fit and what would; None when it fits."""
        if self.feasible:
            return None
        best = next((option for option in self.options if option.fits_budget), None)
        return Refused(
            reason=RefusalReason.BUDGET,
            gap_usd=self.quote.hold_usd - self.budget_usd,
            message=(
                f"the forecast of {show_usd(self.forecast_usd.p50)} asks for a hold of "
                f"{show_usd(self.quote.hold_usd)}, the budget is {show_usd(self.budget_usd)}"
            ),
            remedy=(
                "raise the budget, or train less"
                if best is None
                else f"{best.why}: {show_usd(best.cost_usd.p50)}"
            ),
        )

    def document(self) -> dict[str, Any]:
        """Return the answer as the body of design §8's `check`."""
        return {
            "feasible": self.feasible,
            "budget_usd": plain_usd(self.budget_usd),
            "epochs": self.asked.epochs,
            "batch_size": self.asked.batch_size,
            "forecast_usd": plain_usd_range(self.forecast_usd),
            "over_usd": plain_usd(self.over_usd),
            "hold_usd": plain_usd(self.quote.hold_usd),
            "utilisation_pct": self.utilisation_pct,
            "calibrated": self.quote.time.calibrated,
            "based_on": self.quote.time.based_on,
            "reason": self.quote.time.explanation,
            "finish": _plain_moments(self.quote.finish),
            "options": [_plain_option(rank, one) for rank, one in enumerate(self.options, 1)],
        }


def check_training_budget(
    job: TrainingJob,
    *,
    budget_usd: Decimal,
    book: PriceBook,
    now: datetime,
    epochs: int | None = None,
    batch_size: int | None = None,
    history: Sequence[PastRun] = (),
) -> Check | Refused:
    """Say whether a job fits a budget, and what would.

    Args:
        job: What is to be trained.
        budget_usd: What there is, US dollars, > 0.
        book: The prices.
        now: Aware.
        epochs: Epochs to train, >= 1; None: the job's.
        batch_size: Samples in one step, >= 1; None: the job's.
        history: Past runs, newest first.

    Returns:
        The answer, or `Refused` when the time or the price is not known.

    Raises:
        BadInputError: the budget, the epochs or the batch size is no positive number, or the book
            does not have the flavor.
    """
    asked = Way(
        epochs=job.epochs if epochs is None else epochs,
        batch_size=job.batch_size if batch_size is None else batch_size,
    )
    _check_positive(budget_usd=budget_usd, epochs=asked.epochs, batch_size=asked.batch_size)
    known = unstarted(job, history=history)
    if isinstance(known, Refused):
        return known
    question = Question(job=job, book=book, now=now, known=known)
    try:
        return _answer(question, asked, budget_usd=budget_usd)
    except PriceUnknownError as error:
        return Refused(
            reason=RefusalReason.PRICE_UNKNOWN,
            message=error.message,
            remedy=error.remedy or "complete the price book",
        )


def _check_positive(**numbers: Decimal | int) -> None:
    for name, number in numbers.items():
        if not (Decimal(number).is_finite() and number > 0):
            msg = "nothing can be checked with it"
            raise BadInputError(
                msg, where=name, expected="> 0", got=str(number), remedy="give a positive number"
            )


def _answer(question: Question, asked: Way, *, budget_usd: Decimal) -> Check:
    base = question.quote_any_time(asked)
    options = [
        Option(
            way=way,
            quote=quote,
            flavor=question.job.resources.flavor,
            saves_usd=base.cost_usd.p50 - quote.cost_usd.p50,
            meets_deadline=_in_time(question.job, quote),
            fits_budget=quote.hold_usd <= budget_usd,
        )
        for way in other_ways(question, asked, budget_usd=budget_usd)
        if (quote := question.quote(way)) is not None
    ]
    return Check(
        budget_usd=budget_usd,
        asked=asked,
        quote=base,
        options=tuple(sorted(options, key=_order)),
    )


def _in_time(job: TrainingJob, quote: Quote) -> bool | None:
    return None if job.deadline is None else quote.finish.p90 <= job.deadline


def _order(option: Option) -> tuple[bool, bool, bool, Decimal]:
    return (
        not option.fits_budget,
        option.meets_deadline is False,
        option.way.changes_training,
        option.cost_usd.p50,
    )


def _plain_option(rank: int, option: Option) -> dict[str, Any]:
    return {
        "rank": rank,
        "kind": option.kind,
        "flavor": option.flavor,
        "capacity": option.way.capacity.value,
        "start": plain_moment(option.quote.start),
        "finish": _plain_moments(option.quote.finish),
        "cost_usd": plain_usd_range(option.cost_usd),
        "hold_usd": plain_usd(option.quote.hold_usd),
        "saves_usd": plain_usd(option.saves_usd),
        "meets_deadline": option.meets_deadline,
        "fits_budget": option.fits_budget,
        "why": option.why,
        "change": dict(option.change),
    }


def _plain_moments(moments: Moments) -> dict[str, str]:
    return {
        "p10": plain_moment(moments.p10),
        "p50": plain_moment(moments.p50),
        "p90": plain_moment(moments.p90),
    }
