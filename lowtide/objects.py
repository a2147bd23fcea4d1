"""Reading Kubernetes objects: plain documents in which absent, null and empty mean the same."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

Document: TypeAlias = Mapping[str, Any]

NOTHING: Document = {}
"""The empty part."""


def part(document: Document | None, *path: str) -> Document:
    """Return a part of an object, empty where there is none.

    Examples:
        >>> part({"status": {"capacity": {"cpu": "2"}}}, "status", "capacity")
        {'cpu': '2'}
        >>> part({"status": None}, "status", "capacity")
        {}
    """
    found: Document = document or NOTHING
    for name in path:
        found = found.get(name) or NOTHING
    return found


def parts(document: Document | None, *path: str) -> Sequence[Document]:
    """Return a list within an object, empty where there is none.

    Examples:
        >>> parts({"spec": {"volumes": [{"name": "a"}]}}, "spec", "volumes")
        [{'name': 'a'}]
    """
    *folders, name = path
    found: Sequence[Document] = part(document, *folders).get(name) or ()
    return found


def any_condition(document: Document | None, kind: str) -> Document:
    """Return an object's condition of a kind, true or not; empty where it has none."""
    conditions = parts(document, "status", "conditions")
    return next((found for found in conditions if found.get("type") == kind), NOTHING)


def condition(document: Document | None, kind: str) -> Document:
    """Return an object's condition of a kind if it is true, else an empty one.

    Examples:
        >>> job = {"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "R"}]}}
        >>> condition(job, "Failed")["reason"], condition(job, "Complete")
        ('R', {})
    """
    found = any_condition(document, kind)
    return found if found.get("status") == "True" else NOTHING


def time_of(text: str | None) -> datetime | None:
    """Return a Kubernetes time.

    Examples:
        >>> time_of("2026-11-23T20:00:00Z")
        datetime.datetime(2026, 11, 23, 20, 0, tzinfo=datetime.timezone.utc)
    """
    return None if text is None else datetime.fromisoformat(text)


def changed_at(found: Document) -> datetime | None:
    """Return when a condition became what it is."""
    return time_of(found.get("lastTransitionTime"))
