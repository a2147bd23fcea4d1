"""What the books hold: runs with their legs, holds, charges, journal lines, budget states.

Every record is a fact as it was when it was read. Amounts are dollars with six places, times are
aware UTC; `document()` gives a record in the shape that the command line and the tools print.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any, Literal, TypeAlias

from lowtide.legs import Capacity, LegEnd
from lowtide.money import ZERO_USD


class RunState(StrEnum):
    """Where a run is. The values are stored: never rename one."""

    CREATED = "created"
    HELD = "held"
    RUNNING = "running"
    AWAITING_APPROVAL = "awaiting-approval"
    """It holds nothing and waits for a person to say whether it may cost more."""
    DEFERRED = "deferred"
    COMPLETED = "completed"
    COMPLETED_EARLY = "completed-early"
    FAILED = "failed"
    REFUSED = "refused"
    STOPPED = "stopped"
    OVER_LIMIT = "over-limit"
    """Its run-time limit, and so its hold, was used up before the work was done."""
    LOST = "lost"

    @property
    def unfinished(self) -> bool:
        """Whether somebody still has to do something about the run."""
        return self in UNFINISHED


UNFINISHED = frozenset(
    {
        RunState.CREATED,
        RunState.AWAITING_APPROVAL,
        RunState.HELD,
        RunState.RUNNING,
        RunState.DEFERRED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One execution of a job.

    Attributes:
        run: Its id, `r-` and 12 hexadecimal digits.
        key: The caller's key that the id comes from.
        job: The job as a document.
        spec_hash: Content hash of the job.
        name: The job's name.
        budget: Name of the budget that pays.
        priority: The job's priority.
        flavor: The job's flavor.
        tags: The job's labels, for reports.
        mlflow_run_id: Its MLflow run, once there is one.
        state: Where it is.
        message: Why, one sentence for a person.
        created_at: When the row was made.
        changed_at: When its state was last set.
        owner: Who holds the lease, even if it has expired; None when nobody does.
        fencing: How often the lease has changed hands.
        lease_expires_at: When the lease ends unless it is renewed.
    """

    run: str
    key: str
    job: Mapping[str, Any]
    spec_hash: str
    name: str
    budget: str
    priority: str
    flavor: str
    tags: Mapping[str, str]
    mlflow_run_id: str | None
    state: RunState
    message: str
    created_at: datetime
    changed_at: datetime
    owner: str | None
    fencing: int
    lease_expires_at: datetime | None

    def live_owner(self, *, now: datetime) -> str | None:
        """Return the owner whose lease is still good, if there is one."""
        expires_at = self.lease_expires_at
        return self.owner if expires_at is not None and expires_at > now else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to act for a run, until it expires.

    Attributes:
        run: The run.
        owner: Who has the right.
        fencing: Number that rises each time the lease changes hands; an older one is stale.
        expires_at: When somebody else may take it.
    """

    run: str
    owner: str
    fencing: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseHeld:
    """Somebody else acts for the run.

    Attributes:
        run: The run.
        owner: Who.
        expires_at: Until when at least.
    """

    run: str
    owner: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LegRow:
    """One leg as the books know it.

    Attributes:
        run: The run.
        leg: Its number within the run, from 1.
        fencing: Fencing number under which it was opened.
        where: What runs it.
        flavor: Kind of capacity.
        capacity: On which terms.
        price_version: Price-book version that it is billed by.
        limit_s: Seconds after the program's start at which the runner ends it.
        start_by: Latest start.
        opened_at: When the row was made, before anything was started.
        handle: How its runner finds it, once submitted.
        started_at: Start of the program.
        ended_at: End of the program.
        exit_code: Its exit code.
        end: How it ended.
        reason: Why, one sentence.
        measured: False when `ended_at` is a bound and not a measurement.
        settled_at: When its charge became final.
        metered_until: Time up to which it was charged.
        charged_usd: What was charged for it.
    """

    run: str
    leg: int
    fencing: int
    where: str
    flavor: str
    capacity: Capacity
    price_version: str
    limit_s: float
    start_by: datetime
    opened_at: datetime
    handle: str | None
    started_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None
    end: LegEnd | None
    reason: str
    measured: bool
    settled_at: datetime | None
    metered_until: datetime | None
    charged_usd: Decimal

    def queued_s(self, *, now: datetime) -> float:
        """Return the seconds that it stood in a queue, up to `now` while it still does; at least 0.

        A cluster tells starts in whole seconds, by its own clock: a leg that was started within the
        second in which it was opened seems to have started before.

        Args:
            now: The time up to which a leg that neither started nor ended has waited.
        """
        return max(
            0.0, ((self.started_at or self.ended_at or now) - self.opened_at).total_seconds()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something worth remembering about a run: a decision, a forecast, a note.

    Attributes:
        run: The run.
        kind: What it is.
        key: Its name within the run; a repeat with the same key is ignored.
        at: When.
        body: The facts, a JSON document.
    """

    run: str
    kind: str
    key: str
    at: datetime
    body: Mapping[str, Any]


HoldEnding: TypeAlias = Literal["released", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Money set aside for a run.

    While it is open, `amount_usd == charged_usd + left_usd`; when it has ended,
    `amount_usd == charged_usd + released_usd`.

    Attributes:
        run: The run.
        key: The caller's key.
        budget: The budget that pays, and with it every budget above.
        amount_usd: All that was ever set aside, top-ups added, shrinks taken off.
        charged_usd: The part that was spent.
        overdraft_usd: What was spent beyond it; every such charge has a line of its own.
        released_usd: What was given back when it ended.
        expires_at: When the sweeper may look at it.
        price_version: Price-book version that the run is billed by.
        opened_at: When it was taken.
        ended_at: When it ended; None while it is open.
        ending: How it ended.
    """

    run: str
    key: str
    budget: str
    amount_usd: Decimal
    charged_usd: Decimal
    overdraft_usd: Decimal
    released_usd: Decimal
    expires_at: datetime
    price_version: str
    opened_at: datetime
    ended_at: datetime | None
    ending: HoldEnding | None

    @property
    def is_open(self) -> bool:
        """Whether it still sets money aside."""
        return self.ended_at is None

    @property
    def left_usd(self) -> Decimal:
        """What it still sets aside."""
        return self.amount_usd - self.charged_usd - self.released_usd if self.is_open else ZERO_USD


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A stretch of used time at one price.

    Attributes:
        start: When it begins, aware UTC.
        end: When it ends, aware UTC, after `start`.
        amount_usd: What it costs, exact, >= 0.
        window: Tariff window in which it lies.
    """

    start: datetime
    end: datetime
    amount_usd: Decimal | Fraction
    window: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one metering or settlement posted.

    Attributes:
        run: The run.
        leg: The leg.
        amount_usd: What was posted, the overdraft included; a correction may be negative.
        overdraft_usd: The part beyond the hold.
        hold_left_usd: What the hold still sets aside.
        metered_until: Time up to which the leg is now charged.
    """

    run: str
    leg: int
    amount_usd: Decimal
    overdraft_usd: Decimal
    hold_left_usd: Decimal
    metered_until: datetime | None


class LineKind(StrEnum):
    """What a journal line does. The values are stored: never rename one."""

    HOLD = "hold"
    TOP_UP = "top-up"
    SHRINK = "shrink"
    CHARGE = "charge"
    OVERDRAFT = "overdraft"
    """A charge beyond the hold."""
    SETTLE = "settle"
    """A leg's charges were compared with its measured time; corrections follow, if any."""
    CORRECTION = "correction"
    RELEASE = "release"
    EXPIRE = "expire"
    ADJUST = "adjust"
    OVERRIDE = "override"
    LIMIT = "limit"
    """A budget was set; the amount is the change of its limit."""
    CLOSE = "close"
    """A period was closed; the amount is what it was charged in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalLine:
    """One line of the append-only journal.

    Attributes:
        id: Number of the line.
        at: When it was written.
        kind: What it does.
        budget: The budget that pays; the budgets above it move by the same amount.
        run: The run, if it is about one.
        leg: The leg, if it is about one.
        amount_usd: How much; given back is negative.
        price_version: Price-book version that made the price.
        window: Tariff window of the used time.
        used_from: Start of the used time of a charge.
        used_to: End of it.
        actor: Who did it.
        reason: Why.
        key: Idempotency key, unique.
        measured: False for a charge that rests on a bound and not on a measurement.
    """

    id: int
    at: datetime
    kind: LineKind
    budget: str
    run: str | None
    leg: int | None
    amount_usd: Decimal
    price_version: str | None
    window: str | None
    used_from: datetime | None
    used_to: datetime | None
    actor: str
    reason: str
    key: str
    measured: bool

    def document(self) -> dict[str, Any]:
        """Return the line as an entry of `lines` in `lowtide budget journal --json`."""
        return {
            "id": self.id,
            "at": self.at.isoformat(),
            "kind": self.kind.value,
            "budget": self.budget,
            "run": self.run,
            "leg": self.leg,
            "amount_usd": str(self.amount_usd),
            "price_version": self.price_version,
            "window": self.window,
            "used_from": self.used_from and self.used_from.isoformat(),
            "used_to": self.used_to and self.used_to.isoformat(),
            "actor": self.actor,
            "reason": self.reason,
            "key": self.key,
            "measured": self.measured,
        }
