"""Who is who: a run's id comes from its caller's key, a spec's hash from its content.

An id that the caller can compute again makes every later step repeatable: the flow that is killed
and started anew finds its run, its hold and its legs by name, with no index to consult.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

RUN_ID_PATTERN = r"^r-[0-9a-f]{12}$"


def run_id(key: str) -> str:
    """Return the id of the run that belongs to a caller's key.

    Source:
        Design §4, "Identity".

    Examples:
        >>> run_id("nightly/2026-11-23T22:00:00Z")
        'r-22be2a7c2553'
    """
    return f"r-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def scheduled_key(deployment: str, scheduled_at: str) -> str:
    """Return the key of a scheduled run, the same however often the schedule fires it.

    Examples:
        >>> scheduled_key("train-nightly", "2026-11-23T22:00:00+00:00")
        'schedule:train-nightly:2026-11-23T22:00:00+00:00'
    """
    return f"schedule:{deployment}:{scheduled_at}"


def digest(document: Mapping[str, Any]) -> str:
    """Return the content hash of a JSON document, the same for any order of its keys.

    Examples:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def leg_name(run: str, leg: int) -> str:
    """Return a leg's name, usable as a folder and as a Kubernetes object's name.

    Examples:
        >>> leg_name("r-22be2a7c2553", 2)
        'r-22be2a7c2553-leg-2'
    """
    return f"{run}-leg-{leg}"
