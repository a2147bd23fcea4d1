"""What to change next time, written down beside the run."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from blocks.history import past_runs
from blocks.world import World
from lowtide.advice import AdviceKind, Recommendation
from lowtide.checkpointing import best_interval_s
from lowtide.errors import LowtideError
from lowtide.events import EventKind
from lowtide.job import TrainingJob
from lowtide.money import UsdRange
from lowtide.recommend import Advice, recommend as work_out
from tasks import log, show
from tasks.advise import advise
from tasks.claim import Owned
from tasks.effect import effect
from tasks.record import record_of


@effect(name="recommend")
def recommend(world: World, owned: Owned) -> tuple[Recommendation, ...]:
    """Work out what would have made the run cheaper, write it down, and show it."""
    advice = _advice(world, owned)
    body: dict[str, Any] = {"recommendations": [], "notes": ["nothing is known of its epochs"]}
    if advice is not None:
        body = advice.document()
        show.advice_table(owned.run, advice)
    world.ledger.log(
        owned.run,
        kind=EventKind.RECOMMENDED,
        key=EventKind.RECOMMENDED,
        body=body,
        now=world.now(),
    )
    return () if advice is None else advice.recommendations


def _advice(world: World, owned: Owned) -> Advice | None:
    record = record_of(world, owned.run, owned.job)
    holds = world.ledger.holds(owned.run)
    if record is None or not holds:
        return None
    try:
        return work_out(
            record,
            book=world.prices.book().pinned(holds[-1].price_version),
            best_interval_s=best_interval_s,
            history=past_runs(world.ledger, owned.job),
        )
    except LowtideError as error:
        # A run that failed, or was stopped before its first epoch, teaches nothing about money.
        log.say(f"no recommendations: {error}")
        return None


@effect(name="recommend")
def advise_run(world: World, run: str, *, job: TrainingJob | None = None) -> Advice:
    """Work out what would have made any run cheaper, and show it.

    Args:
        world: The outside world.
        run: A run's id, a job's name, or the id of any MLflow run.
        job: What an MLflow run is a run of; None: what it logged tells.
    """
    advice = advise(world, run, job=job)
    show.advice_table(advice.run, advice)
    return advice


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
