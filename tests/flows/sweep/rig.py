"""Sweeps of scripted trainings on a clock that is moved, and what their journal says."""

from decimal import Decimal
from typing import Any, ClassVar

from typing_extensions import override

from blocks.world import World
from lowtide.ledger.records import LineKind
from lowtide.sweep import SweepAsk, TrialResult
from tasks.sweep import run_trials
from tests.blocks.local.rigs import HandClock
from tests.flows.jobs import digits

KEY = "a-sweep"
# What one trial costs from its first to its last epoch: nine minutes at 0.25 USD an hour.
EPOCHS = 9
FULL_USD = Decimal("0.0375")


def quality(run: str, epoch: int) -> float:
    """A curve for each run that climbs to its own height; the runs' numbers spread the heights."""
    height = 0.5 + int(run[-4:], 16) / 0x20000
    return height * (1 - 0.5**epoch)


class StridingClock(HandClock):
    """A clock that passes twenty seconds for each second that somebody waits.

    Trials run side by side on it: larger strides would pass the limit of one that waits its turn.
    """

    _block_type_slug: ClassVar[str | None] = "lowtide-striding-clock"

    @override
    def pause(self, duration_s: float) -> None:
        super().pause(20 * duration_s)


def asked(configs: int, **changes: Any) -> SweepAsk:
    job = digits(
        epochs=EPOCHS,
        expected_epoch_s=60,
        checkpoint={"grace_s": 5},
        budget={"name": "research/vision"},
    )
    document = {
        "job": job,
        "configs": [{"params": {"hidden": 8 + index}} for index in range(configs)],
        "max_usd": "10",
        **changes,
    }
    return SweepAsk.model_validate(document)


def swept(world: World, ask: SweepAsk) -> tuple[TrialResult, ...]:
    results = run_trials.fn(world, ask, key=KEY, flow_run="f-1")
    assert isinstance(results, tuple), results
    return results


def charged_usd(world: World) -> Decimal:
    lines = world.ledger.journal(limit=10_000)
    kinds = {LineKind.CHARGE, LineKind.CORRECTION, LineKind.OVERDRAFT}
    return sum((line.amount_usd for line in lines if line.kind in kinds), Decimal(0))


def most_ever_held_usd(world: World) -> Decimal:
    """Held and charged together, replayed line by line from the journal."""
    moves = {LineKind.HOLD, LineKind.TOP_UP, LineKind.SHRINK, LineKind.RELEASE}
    total = most = Decimal(0)
    for line in sorted(world.ledger.journal(limit=10_000), key=lambda line: line.id):
        total += line.amount_usd if line.kind in moves else Decimal(0)
        most = max(most, total)
    return most
