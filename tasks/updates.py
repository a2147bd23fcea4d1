"""Tells what changed when an epoch has ended: in MLflow, in Prefect, to whoever listens."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from blocks.ledger import Hold, LegRow
from blocks.world import World
from lowtide.announcements import EventName
from lowtide.errors import LowtideError
from lowtide.forecast import Standing, worth_telling
from lowtide.ledger.states import path_to
from lowtide.money import ZERO_USD, quantize_usd
from lowtide.plain import plain_range, plain_usd, plain_usd_range
from lowtide.progress import Progress
from tasks import log, show
from tasks.announce import announce
from tasks.bill import Bill
from tasks.claim import Owned
from tasks.forecast import Outlook

TAG = "lowtide.forecast"


@dataclass(slots=True, kw_only=True)
class Updates:
    """One run's forecast as it moves, and what of it was told last.

    What was told can be lost with the process: then the next one tells it once more.
    """

    world: World
    owned: Owned
    told: Standing | None = None

    def tell(self, row: LegRow, progress: Progress, ahead: Outlook, *, hold: Hold | None) -> None:
        """Write the forecast down where people look; announce it if it changed.

        Args:
            row: The leg that runs.
            progress: The run's epochs.
            ahead: What is still to come.
            hold: The run's hold; None: it has none any more.
        """
        if hold is None:
            return
        standing = standing_of(self.world, self.owned, row, ahead, hold=hold)
        body = _body(progress, ahead, standing)
        self._tag(body)
        is_news = worth_telling(self.told, standing)
        if not is_news and progress.epochs_done < self.owned.job.epochs:
            return
        show.forecast_table(self.owned.run, ahead, hold=hold)
        if not is_news:
            return
        occurrence = f"leg-{row.leg}/epoch-{progress.epochs_done}"
        announce(
            self.world, self.owned, EventName.FORECAST_UPDATED, occurrence=occurrence, body=body
        )
        if standing.breaches and (self.told is None or not self.told.breaches):
            announce(
                self.world, self.owned, EventName.FORECAST_BREACH, occurrence=occurrence, body=body
            )
        self.told = standing

    def _tag(self, body: dict[str, Any]) -> None:
        row = self.world.ledger.run(self.owned.run)
        if row is None or row.mlflow_run_id is None:
            return
        tags = {
            f"{TAG}.{key}": str(body[key])
            for key in ("epochs_done", "breach_probability", "calibrated")
        }
        for key in ("time_remaining_s", "cost_usd", "total_usd"):
            tags |= {f"{TAG}.{key}.{name}": str(value) for name, value in body[key].items()}
        try:
            self.world.tracking.set_tags(row.mlflow_run_id, tags)
        except LowtideError as error:
            # A tag that is missing costs nobody anything; the training goes on.
            log.warn(f"the forecast is not in MLflow: {error}")


def standing_of(
    world: World, owned: Owned, row: LegRow, ahead: Outlook, *, hold: Hold
) -> Standing:
    """Return where a run stands against its money.

    Args:
        world: The outside world.
        owned: The run.
        row: The leg that runs.
        ahead: What is still to come.
        hold: The run's hold.
    """
    limit_usd, limited_by = _limit(world, owned, hold=hold, now=ahead.at)
    return Standing(
        spent_usd=_spent_usd(world, owned, row, hold=hold, now=ahead.at),
        to_come_usd=ahead.cost_usd,
        limit_usd=limit_usd,
        limited_by=limited_by,
    )


def _spent_usd(world: World, owned: Owned, row: LegRow, *, hold: Hold, now: datetime) -> Decimal:
    """Return what earlier legs were charged and what this one has used, metered or not."""
    before_usd = hold.charged_usd - row.charged_usd
    if row.started_at is None:
        return before_usd
    end = min(now, row.ended_at or now)
    cost = Bill(world, owned.job, row).cost(start=row.started_at, end=max(end, row.started_at))
    return before_usd + quantize_usd(cost)


def _limit(world: World, owned: Owned, *, hold: Hold, now: datetime) -> tuple[Decimal, str]:
    """Return the most that the run can cost, and whose limit that is."""
    budget = owned.job.budget
    limits = [
        (hold.amount_usd + max(state.available_usd, ZERO_USD), f"budget {state.name}")
        for state in path_to(world.ledger.budgets(now), budget.name)
    ]
    if budget.max_usd is not None:
        limits.append((budget.max_usd, "the job's budget.max_usd"))
    if owned.shared is not None:
        limits.append((hold.amount_usd + owned.shared.left_usd(), f"{owned.shared.whose} money"))
    return min(limits, default=(hold.amount_usd, "its hold"))


def _body(progress: Progress, ahead: Outlook, standing: Standing) -> dict[str, Any]:
    return {
        "epochs_done": progress.epochs_done,
        "epochs_remaining": ahead.time.epochs_remaining,
        "time_remaining_s": plain_range(ahead.time.time_remaining_s),
        "cost_usd": plain_usd_range(ahead.cost_usd),
        "total_usd": plain_usd_range(standing.total_usd),
        "limit_usd": plain_usd(standing.limit_usd),
        "limited_by": standing.limited_by,
        "breach_probability": round(standing.breach_probability, 4),
        "breaches": standing.breaches,
        "calibrated": ahead.time.calibrated,
        "based_on": ahead.time.based_on,
        "explanation": ahead.time.explanation,
    }
