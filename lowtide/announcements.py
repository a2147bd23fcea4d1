"""What lowtide tells the world: Prefect events with names and ids that anybody can compute again.

An announcement's id follows from what happened, not from who tells it. So a flow that is killed
and run again, or two that notice the same thing, tell it under one id, and an automation that was
triggered by the first is not triggered by the second.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from lowtide.ledger.states import Crossing

_NAMESPACE = UUID("9d0f7f0e-5a43-4f0a-9a3c-5f6f0c1c7a11")


class EventName(StrEnum):
    """What happened. The values are a contract: automations match them."""

    BUDGET_THRESHOLD = "lowtide.budget.threshold"
    """A budget's charges, or its forecast, reached a watched percentage of its limit."""
    RUN_REFUSED = "lowtide.run.refused"
    """A run may not start; the body says what is short."""
    RUN_DEFERRED = "lowtide.run.deferred"
    """A run was put off; the body says until when."""
    RUN_SETTLED = "lowtide.run.settled"
    """A run has ended and its money is settled."""
    LEG_PREEMPTED = "lowtide.leg.preempted"
    """A leg's capacity was taken away; the run goes on with another one."""
    FORECAST_UPDATED = "lowtide.forecast.updated"
    """A run's forecast moved."""
    FORECAST_BREACH = "lowtide.forecast.breach"
    """A run will probably need more money than it was given."""
    RUN_LATE = "lowtide.run.late"
    """A run's upper forecast ends after its deadline; the body says what would still save it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One thing that happened.

    Attributes:
        event: What.
        resource: What it is about: `lowtide.run.ID` or `lowtide.budget.NAME`.
        occurrence: Which occurrence of it; with event and resource it names the thing for good.
        at: When.
        body: The facts, a JSON document.
        labels: Short facts about the resource that an automation can match.
        related: Further resources, by role.

    Examples:
        >>> from datetime import UTC, datetime
        >>> def refused(second: int) -> Announcement:
        ...     return about_run(
        ...         EventName.RUN_REFUSED,
        ...         run="r-22be2a7c2553",
        ...         budget="research",
        ...         occurrence="1",
        ...         at=datetime(2026, 11, 23, 12, 0, second, tzinfo=UTC),
        ...     )
        >>> refused(0).id == refused(59).id
        True
    """

    event: EventName
    resource: str
    occurrence: str
    at: datetime
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    related: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def id(self) -> UUID:
        """The event's id: the same whoever tells it, however often."""
        return uuid5(_NAMESPACE, f"{self.event.value} {self.resource} {self.occurrence}")


def about_run(
    event: EventName,
    *,
    run: str,
    budget: str,
    occurrence: str,
    at: datetime,
    body: Mapping[str, Any] | None = None,
) -> Announcement:
    """Return an announcement about a run.

    Args:
        event: What happened.
        run: Id of the run.
        budget: The budget that pays.
        occurrence: Which occurrence within the run, as `leg-2`.
        at: When.
        body: The facts, a JSON document.

    Returns:
        The announcement; its body names run and budget too.
    """
    return Announcement(
        event=event,
        resource=f"lowtide.run.{run}",
        occurrence=occurrence,
        at=at,
        body={"run": run, "budget": budget, **(body or {})},
        labels={"lowtide.run": run, "lowtide.budget": budget},
        related={"budget": f"lowtide.budget.{budget}"},
    )


def about_crossing(crossing: Crossing) -> Announcement:
    """Return the announcement of a crossed threshold.

    Args:
        crossing: The threshold, as the books noted it.

    Returns:
        The announcement; its labels `lowtide.percent` and `lowtide.of` can be matched.
    """
    period = crossing.period_start.isoformat()
    return Announcement(
        event=EventName.BUDGET_THRESHOLD,
        resource=f"lowtide.budget.{crossing.budget}",
        occurrence=f"{period} {crossing.percent} {crossing.of.value}",
        at=crossing.at,
        body={
            "budget": crossing.budget,
            "period_start": period,
            "percent": crossing.percent,
            "of": crossing.of.value,
            "amount_usd": str(crossing.amount_usd),
            "limit_usd": str(crossing.limit_usd),
        },
        labels={
            "lowtide.budget": crossing.budget,
            "lowtide.percent": str(crossing.percent),
            "lowtide.of": crossing.of.value,
        },
    )
