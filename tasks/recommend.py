"""What to change next time, written down beside the run."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from blocks.world import World
from lowtide.advice import AdviceKind, Recommendation
from lowtide.events import EventKind
from lowtide.money import UsdRange
from tasks.claim import Owned
from tasks.effect import effect


@effect(name="recommend")
def recommend(world: World, owned: Owned) -> tuple[Recommendation, ...]:
    """Work out what would make the next run cheaper, and write it down."""
    found: tuple[Recommendation, ...] = ()
    world.ledger.log(
        owned.run,
        kind=EventKind.RECOMMENDED,
        key=EventKind.RECOMMENDED,
        body={"recommendations": [_document(item) for item in found]},
        now=world.now(),
    )
    return found


def read_recommendations(body: Mapping[str, Any]) -> tuple[Recommendation, ...]:
    """Return the recommendations that were written down."""
    return tuple(_read(item) for item in body["recommendations"])


def _read(item: Mapping[str, Any]) -> Recommendation:
    saving = {name: Decimal(value) for name, value in item["saving_usd"].items()}
    return Recommendation(
        kind=AdviceKind(item["kind"]),
        description=item["description"],
        saving_usd=UsdRange(**saving),
        saving_pct=item["saving_pct"],
        confidence=item["confidence"],
        confidence_reason=item["confidence_reason"],
        evidence=item["evidence"],
        risk=item["risk"],
        action=item["action"],
    )


def _document(item: Recommendation) -> dict[str, Any]:
    saving = item.saving_usd
    return {
        "kind": item.kind.value,
        "description": item.description,
        "saving_usd": {"p10": str(saving.p10), "p50": str(saving.p50), "p90": str(saving.p90)},
        "saving_pct": item.saving_pct,
        "confidence": item.confidence,
        "confidence_reason": item.confidence_reason,
        "evidence": dict(item.evidence),
        "risk": item.risk,
        "action": item.action,
    }
