"""Kubernetes objects as the API server returns them, cut down to what matters.

Written after recordings of a real cluster (Kubernetes 1.35, Kueue 0.14); `tests/cluster` plays the same
stories on the real thing.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from lowtide.manifest import (
    CONTAINER,
    FINALIZER,
    GRACE_ANNOTATION,
    LEG_LABEL,
    LIMIT_ANNOTATION,
    RUN_LABEL,
    START_BY_ANNOTATION,
)

RUN = "r-0123456789ab"
START = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
LIMIT_S, GRACE_S = 600, 30


def at(after_s: float = 0) -> str:
    """A moment as Kubernetes writes it, counted from the Job's start."""
    return (START + timedelta(seconds=after_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(
    kind: str, reason: str = "", message: str = "", *, after_s: float = 60, status: str = "True"
) -> dict[str, str]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": at(after_s),
    }


def job(
    *conditions: Mapping[str, str],
    suspend: bool = False,
    generation: int = 1,
    notes: Mapping[str, str] | None = None,
    deleted_after_s: float | None = None,
    **status: Any,
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": f"{RUN}-leg-1",
        "uid": "job-1",
        "generation": generation,
        "creationTimestamp": at(-5),
        "resourceVersion": "7",
        "labels": {RUN_LABEL: RUN, LEG_LABEL: "1"},
        "annotations": {
            LIMIT_ANNOTATION: str(LIMIT_S),
            GRACE_ANNOTATION: str(GRACE_S),
            START_BY_ANNOTATION: (START + timedelta(hours=1)).isoformat(),
            **(notes or {}),
        },
    }
    if deleted_after_s is not None:
        metadata["deletionTimestamp"] = at(deleted_after_s)
    started = {} if suspend else {"startTime": at()}
    return {
        "metadata": metadata,
        "spec": {"suspend": suspend, "activeDeadlineSeconds": LIMIT_S},
        "status": {**started, "conditions": list(conditions), **status},
    }


def pod(
    state: Mapping[str, Any] | None = None,
    *conditions: Mapping[str, str],
    phase: str = "Running",
    deleted_after_s: float | None = None,
    node: str | None = "node-1",
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": f"{RUN}-leg-1-abcde",
        "uid": "pod-1",
        "labels": {RUN_LABEL: RUN, LEG_LABEL: "1"},
        "finalizers": [FINALIZER],
    }
    if deleted_after_s is not None:
        metadata["deletionTimestamp"] = at(deleted_after_s)
    statuses = [{"name": "sidecar", "state": {"running": {"startedAt": at(1)}}}]
    if state is not None:
        statuses.append({"name": CONTAINER, "state": dict(state)})
    return {
        "metadata": metadata,
        "spec": {"nodeName": node} if node else {},
        "status": {
            "phase": phase,
            "conditions": list(conditions),
            "containerStatuses": statuses,
        },
    }


def running(after_s: float = 10) -> dict[str, Any]:
    return {"running": {"startedAt": at(after_s)}}


def terminated(
    exit_code: int, *, after_s: float = 70, reason: str = "Error", message: str = ""
) -> dict[str, Any]:
    times = {"startedAt": at(10), "finishedAt": at(after_s)}
    return {"terminated": {"exitCode": exit_code, "reason": reason, "message": message, **times}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def workload(
    *conditions: Mapping[str, str],
    uid: str = "w-1",
    priority: int = 100,
    queue: str = "training",
    created_after_s: float = -5,
    active: bool = True,
    gpus: str = "1",
) -> dict[str, Any]:
    requests = {"nvidia.com/gpu": gpus, "cpu": "500m", "memory": "1Gi"}
    return {
        "metadata": {"name": uid, "uid": uid, "creationTimestamp": at(created_after_s)},
        "spec": {
            "queueName": queue,
            "priority": priority,
            "active": active,
            "podSets": [
                {
                    "count": 1,
                    "template": {"spec": {"containers": [{"resources": {"requests": requests}}]}},
                }
            ],
        },
        "status": {"conditions": list(conditions)},
    }


def events(*reasons: tuple[str, str]) -> Sequence[dict[str, str]]:
    return [{"reason": reason, "message": message} for reason, message in reasons]
