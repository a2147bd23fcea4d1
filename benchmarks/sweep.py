"""Thirty real trainings on money for twelve, beside all thirty to their end: `python -m benchmarks.sweep`.

First every configuration of the digits is trained to its last epoch, by a sweep without halving: that
says what all of them cost, and which is the best. Then the same thirty are asked for again, with twelve
thirtieths of that money and with successive halving. Lines: never over the money, the best of the second
within 1 % of the best of all, and at most 45 % of the money that all of them cost.

It starts a local stack of its own in a temporary folder, and ends it. Exit code 1 when a line is missed.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from prefect.settings import PREFECT_API_URL, temporary_settings

from apps import stack
from apps.books import prepare_ledger
from blocks.settings import Settings
from blocks.world import World, open_world
from flows.sweep import sweep
from lowtide.identity import run_id
from lowtide.ledger.records import LineKind
from lowtide.money import show_usd
from lowtide.sweep import SweepAsk

CONFIGS = [
    {"params": {"hidden": hidden}, "batch_size": batch_size}
    for hidden, batch_size in itertools.product((4, 8, 16, 32, 64, 128), (32, 64, 128, 256, 512))
]
PAID_FOR = 12
WITHIN = 0.99
SHARE_MAX = Decimal("0.45")
_ONCE = time.time_ns()
_MOVES = {LineKind.HOLD, LineKind.TOP_UP, LineKind.SHRINK, LineKind.RELEASE}


def main() -> int:
    """Run both sweeps, print what each cost and found, and return 1 if a line was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=81, help="epochs of each configuration")
    parser.add_argument("--copies", type=int, default=25, help="shifted copies of each image")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        prepare_ledger(settings, say=print).close()
        parts = stack.up(settings, say=print)
        api = stack.environment(settings, parts)["PREFECT_API_URL"]
        try:
            with temporary_settings({PREFECT_API_URL: api}):
                return compared(settings, epochs=asked.epochs, copies=asked.copies)
        finally:
            stack.down(settings, say=print)


def compared(settings: Settings, *, epochs: int, copies: int) -> int:
    """Run all thirty, then the thirty on the money of twelve, and judge the second."""
    world = open_world(settings)
    job = {
        "name": "digits-sweep",
        "command": ["python", "-m", "examples.digits.train"],
        "epochs": epochs,
        "expected_epoch_s": 0.5,
        "checkpoint": {"grace_s": 5},
        "params": {"copies": copies},
        "budget": {"name": "default"},
    }
    ask = {"job": job, "configs": CONFIGS, "max_parallel": 2}
    all_usd, best_of_all = swept(world, {**ask, "max_usd": 10}, key=f"all-{_ONCE}")
    limit_usd = (all_usd * PAID_FOR / len(CONFIGS)).quantize(Decimal("0.000001"))
    halved = {**ask, "max_usd": limit_usd, "halving": {}}
    some_usd, best = swept(world, halved, key=f"halved-{_ONCE}")
    most_usd = most_ever_held_usd(world, f"halved-{_ONCE}")
    world.close()
    share = some_usd / all_usd
    verdicts = [
        line(
            "never over",
            f"{show_usd(most_usd)} of {show_usd(limit_usd)} at the most",
            met=most_usd <= limit_usd,
        ),
        line(
            "best of all within 1 %",
            f"{best:.4f} beside {best_of_all:.4f}",
            met=best >= WITHIN * best_of_all,
        ),
        line("share of the money of all", f"{100 * share:.1f} %", met=share <= SHARE_MAX),
    ]
    return 0 if all(verdicts) else 1


def swept(world: World, ask: Mapping[str, object], *, key: str) -> tuple[Decimal, float]:
    """Run one sweep, and return what it was charged and the best metric of its trials."""
    started = time.perf_counter()
    sweep(SweepAsk.model_validate({**ask, "key": key}), world, return_state=True)  # ty: ignore[no-matching-overload] - ty loses Prefect's parameters here
    took_s = time.perf_counter() - started
    runs = [run_id(f"{key}/{index}") for index in range(len(CONFIGS))]
    rows = [row for row in map(world.ledger.run, runs) if row is not None]
    tracked = [row.mlflow_run_id for row in rows if row.mlflow_run_id is not None]
    histories = world.tracking.history(tracked, metric="val_accuracy")
    charged = [hold.charged_usd for run in runs for hold in world.ledger.holds(run)]
    charged_usd = sum(charged, Decimal(0))
    if not any(histories.values()):
        sys.exit(
            "no trial logged val_accuracy: does the example take these --epochs and --copies?"
        )
    best = max(point.value for points in histories.values() for point in points)
    states = sorted(row.state.value for row in rows)
    told = ", ".join(f"{len(list(those))} {state}" for state, those in itertools.groupby(states))
    print(
        f"{key.split('-', maxsplit=1)[0]}: {told}; {charged_usd} USD, best {best:.4f}, {took_s:.0f} s"
    )
    return charged_usd, best


def most_ever_held_usd(world: World, key: str) -> Decimal:
    """Return the most that a sweep's trials ever had held and charged, replayed from the journal."""
    total = most = Decimal(0)
    runs = {run_id(f"{key}/{index}") for index in range(len(CONFIGS))}
    lines = [one for run in runs for one in world.ledger.journal(run=run, limit=10_000)]
    for one in sorted(lines, key=lambda line: line.id):
        total += one.amount_usd if one.kind in _MOVES else Decimal(0)
        most = max(most, total)
    return most


def line(what: str, got: str, *, met: bool) -> bool:
    """Print one line's verdict, and return it."""
    print(f"  {'met   ' if met else 'MISSED'} {what}: {got}")
    return met


if __name__ == "__main__":
    sys.exit(main())
