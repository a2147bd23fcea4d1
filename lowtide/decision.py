"""Decisions: what to do now, from a closed set, always with a reason."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Action(StrEnum):
    """The closed set of things a policy can decide. The values are stored: never rename one."""

    RUN_SPOT = "run-spot"
    RUN_ON_DEMAND = "run-on-demand"
    WAIT = "wait"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do now.

    Attributes:
        action: One of the closed set.
        reason: One sentence that a person can check.
        until: Look again at this moment at the latest; None: at the next change.
        latched: Whether the safety net has decided; the next observation hands it back, so that
            the run stays on demand until a new forecast frees it.
    """

    action: Action
    reason: str
    until: datetime | None = None
    latched: bool = False
