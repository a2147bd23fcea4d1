"""What to change next time: every kind of advice asked about one run, priced and put in order.

Savings overlap (a run that is half as long saves half as much by moving to the night), so they do
not add up. What all of them save together is found by changing the run in all these ways at once
and pricing that.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial, reduce
from typing import Any, Literal, TypeAlias

from lowtide.advice import AdviceKind, Recommendation
from lowtide.forecast import PastRun
from lowtide.money import UsdRange, quantize_usd
from lowtide.plain import plain, plain_usd, plain_usd_range
from lowtide.prices import PriceBook
from lowtide.progress import Fault, fault_message
from lowtide.recommend import (
    batch_size,
    checkpointing,
    early_stopping,
    efficiency,
    off_peak,
    priority,
    right_sizing,
    spot,
)
from lowtide.recommend.case import LEAST_SHARE, Case, Change, Proposal
from lowtide.recommend.checkpointing import BestInterval
from lowtide.recommend.record import RunRecord

_Case: TypeAlias = Literal["cautious", "likely", "hopeful"]

# What changes the work comes before what cuts it short, then the request, the capacity, the time.
_ORDER = (
    AdviceKind.CHECKPOINTING,
    AdviceKind.TRAINING_EFFICIENCY,
    AdviceKind.BATCH_SIZE,
    AdviceKind.EARLY_STOPPING,
    AdviceKind.RIGHT_SIZING,
    AdviceKind.PRIORITY,
    AdviceKind.SPOT,
    AdviceKind.OFF_PEAK,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to change next time.

    Attributes:
        run: Id of the run.
        cost_usd: What it cost by the book, US dollars.
        recommendations: The one that likely saves most first.
        combined_saving_usd: What the changes would have saved together, US dollars.
        faults: What is wrong with its logged epochs; what rests on them is left out.
        notes: The same for a person, and what was assumed.
    """

    run: str
    cost_usd: Decimal
    recommendations: tuple[Recommendation, ...]
    combined_saving_usd: UsdRange
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return the advice as the body of design §8's `recommend`."""
        return {
            "run": self.run,
            "cost_usd": plain_usd(self.cost_usd),
            "recommendations": [plain_recommendation(item) for item in self.recommendations],
            "combined_saving_usd": plain_usd_range(self.combined_saving_usd),
            "notes": list(self.notes),
        }


def recommend(
    record: RunRecord,
    *,
    book: PriceBook,
    best_interval_s: BestInterval,
    history: Sequence[PastRun] = (),
) -> Advice:
    """Say what would have made a run cheaper.

    Args:
        record: The run.
        book: The prices, pinned to the version that the run was billed by.
        best_interval_s: The best checkpoint interval by save and lifetime.
        history: Past runs, newest first.

    Returns:
        The advice.

    Raises:
        BadInputError: the run has not ended, failed, or never ran.
        PriceUnknownError: a part of its time has no price.
    """
    record.refuse_unfinished()
    case = Case(record=record, book=book, history=tuple(history))
    priced = [
        (proposal, saving)
        for proposal in _proposals(case, best_interval_s)
        if _worth(proposal, saving := _saving(case, [proposal]), case)
    ]
    priced.sort(key=lambda pair: -pair[1].p50)
    return Advice(
        run=record.run,
        cost_usd=quantize_usd(case.cost_usd),
        recommendations=tuple(
            _recommendation(case, proposal, saving) for proposal, saving in priced
        ),
        combined_saving_usd=_combined(case, [proposal for proposal, _ in priced]),
        faults=record.progress.faults,
        notes=tuple(_notes(record)),
    )


def plain_recommendation(item: Recommendation) -> dict[str, Any]:
    """Return a recommendation as an entry of design §8's `recommend`."""
    return {
        "kind": item.kind.value,
        "description": item.description,
        "saving_usd": plain_usd_range(item.saving_usd),
        "saving_pct": item.saving_pct,
        "confidence": item.confidence,
        "confidence_reason": item.confidence_reason,
        "evidence": {key: plain(value) for key, value in item.evidence.items()},
        "risk": item.risk,
        "action": item.action,
    }


def _proposals(case: Case, best_interval_s: BestInterval) -> Iterator[Proposal]:
    kinds: tuple[Callable[[Case], Iterator[Proposal]], ...] = (
        batch_size.propose,
        efficiency.propose,
        off_peak.propose,
        spot.propose,
        early_stopping.propose,
        partial(checkpointing.propose, best_interval_s=best_interval_s),
        right_sizing.propose,
        priority.propose,
    )
    for propose in kinds:
        yield from propose(case)


def _saving(case: Case, proposals: Sequence[Proposal]) -> UsdRange:
    """Return what changes save together, US dollars: the run's price minus the changed run's."""
    ordered = sorted(proposals, key=lambda proposal: _ORDER.index(proposal.kind))

    def saved_usd(how: _Case) -> Decimal:
        changes: list[Change] = [getattr(proposal, how) for proposal in ordered]
        changed = reduce(lambda shape, change: change(shape), changes, case.shape)
        return quantize_usd(case.cost_usd - changed.cost_usd(case.book))

    low, middle, high = sorted(map(saved_usd, ("cautious", "likely", "hopeful")))
    return UsdRange(p10=low, p50=middle, p90=high)


def _worth(proposal: Proposal, saving: UsdRange, case: Case) -> bool:
    if proposal.saves_unknown:
        return saving.p50 >= 0
    return saving.p50 > 0 and saving.p50 >= case.cost_usd * Fraction(LEAST_SHARE)


def _combined(case: Case, proposals: Sequence[Proposal]) -> UsdRange:
    """Return what the best selection saves: spot and off-peak may do better without the other."""
    selections = (
        [proposal for proposal in proposals if proposal.kind not in left_out]
        for left_out in (
            set[AdviceKind](),
            {AdviceKind.SPOT},
            {AdviceKind.OFF_PEAK},
            {AdviceKind.SPOT, AdviceKind.OFF_PEAK},
        )
    )
    return max((_saving(case, selection) for selection in selections), key=lambda usd: usd.p50)


def _recommendation(case: Case, proposal: Proposal, saving: UsdRange) -> Recommendation:
    cost_usd = case.cost_usd
    assumed = sorted(case.record.assumed)
    return Recommendation(
        kind=proposal.kind,
        description=proposal.description,
        saving_usd=saving,
        saving_pct=round(100 * float(Fraction(saving.p50) / cost_usd), 1) if cost_usd else 0.0,
        confidence="low" if assumed else proposal.confidence,
        confidence_reason=proposal.confidence_reason
        + (f"; assumed, since nobody told: {', '.join(assumed)}" if assumed else ""),
        evidence=proposal.evidence,
        risk=proposal.risk,
        action=proposal.action,
    )


def _notes(record: RunRecord) -> Iterator[str]:
    for fault in record.progress.faults:
        yield fault_message(fault)
    if record.assumed:
        yield f"nobody told these parts of the job, they are assumed: {sorted(record.assumed)}"
