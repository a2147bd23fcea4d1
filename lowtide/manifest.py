"""A leg as a Kubernetes Job: the manifest, built from what was asked and from how the site is.

The one hard idea: the Job must be safe when nobody watches it. It starts one pod at most, once
(`backoffLimit: 0`, a disruption fails it, an admission policy refuses a second start); it ends by
itself (`activeDeadlineSeconds`, counted from the Job's start, so the program never gets more than its
hold pays for, only less until a runner has seen its real start); and its pod stays readable until it
is billed (the finalizer `lowtide.dev/settle`).
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from lowtide.errors import BadInputError
from lowtide.legs import LegSpec, StopCause
from lowtide.merge import strategic_merge
from lowtide.objects import Document, part, time_of
from lowtide.site import KubernetesSettings, Site

RUN_LABEL = "lowtide.dev/run"
LEG_LABEL = "lowtide.dev/leg"
SETTLED_LABEL = "lowtide.dev/settled"
DIGEST_ANNOTATION = "lowtide.dev/work-digest"
LIMIT_ANNOTATION = "lowtide.dev/limit-s"
GRACE_ANNOTATION = "lowtide.dev/grace-s"
START_BY_ANNOTATION = "lowtide.dev/start-by"
STOP_ANNOTATION = "lowtide.dev/stop"
HOPELESS_ANNOTATION = "lowtide.dev/hopeless"
FINALIZER = "lowtide.dev/settle"

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
WORKLOAD_PRIORITY_LABEL = "kueue.x-k8s.io/priority-class"
MAX_EXEC_LABEL = "kueue.x-k8s.io/max-exec-time-seconds"

ONCE_POLICY = "lowtide-leg-starts-once"
"""Admission policy that refuses to start a Job a second time."""
IN_TIME_POLICY = "lowtide-leg-starts-in-time"
"""Admission policy that refuses a leg's pod after its `start_by`."""

CONTAINER = "train"
USER = 65532
"""Neither root nor anybody: what a `restricted` namespace accepts of any image."""

POD_CHECKPOINTS = "/checkpoints"
"""Where a pod finds its run's checkpoints."""

_VOLUME = "checkpoints"
# The user has no home in most images, and libraries keep their caches there.
_HOME = {"HOME": "/tmp"}  # noqa: S108 - the container's own
_TAG_PREFIX = "tag.lowtide.dev/"


def build_job(
    spec: LegSpec, settings: KubernetesSettings, site: Site, *, work_digest: str
) -> dict[str, Any]:
    """Return the Job of a leg.

    Args:
        spec: What runs.
        settings: What it asks of the cluster.
        site: How the cluster is.
        work_digest: Content hash of the work, by which a second start knows its Job again.

    Returns:
        The manifest.

    Raises:
        BadInputError: a pod template changes what keeps the leg within its hold.
    """
    queue = site.queue_of(settings.priority)
    labels = {RUN_LABEL: spec.run, LEG_LABEL: str(spec.leg)}
    kueue = {} if queue is None else _kueue_labels(queue, settings)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": spec.name,
            "namespace": site.namespace,
            "labels": {**labels, **kueue},
            "annotations": {
                **{f"{_TAG_PREFIX}{name}": value for name, value in settings.tags.items()},
                DIGEST_ANNOTATION: work_digest,
                LIMIT_ANNOTATION: f"{spec.limit_s:g}",
                GRACE_ANNOTATION: f"{spec.grace_s:g}",
                START_BY_ANNOTATION: spec.start_by.isoformat(),
            },
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": deadline_s(spec.limit_s),
            # A disruption must be told from the program's failure, and must not start a second pod.
            "podFailurePolicy": {
                "rules": [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget"}]}]
            },
            # Kueue lets it go; without Kueue it must wait for ever rather than start unqueued.
            "suspend": queue is not None,
            "template": _pod_template(spec, settings, site, labels=labels),
        },
    }


def deadline_s(limit_s: float, *, started_after_s: float = 0.0) -> int:
    """Return the Job's `activeDeadlineSeconds` for a limit, which counts from the Job's start.

    Rounded down, so that the program never gets more than its limit; at least 1, the least that
    Kubernetes takes.

    Args:
        limit_s: Seconds that the program may run.
        started_after_s: Seconds from the Job's start to the program's.

    Examples:
        >>> deadline_s(60.9), deadline_s(60.9, started_after_s=4), deadline_s(0.2)
        (60, 64, 1)
    """
    return max(1, math.floor(limit_s + started_after_s))


def terms_in_force(limit_s: float, *, used_s: float, started_after_s: float) -> tuple[int, float]:
    """Return the deadline of a running leg for a new limit, and the limit that it then has.

    No leg can be ended in the past: what it has used is the least that it can still be held to.

    Args:
        limit_s: Seconds that the program may run, as wished.
        used_s: Seconds that it has run.
        started_after_s: Seconds from the Job's start to the program's.

    Returns:
        The Job's `activeDeadlineSeconds`, and the seconds that the program may run with it: never
        more than wished or used, whichever is longer.

    Examples:
        >>> terms_in_force(60.9, used_s=20.0, started_after_s=4.0)
        (64, 60.0)
        >>> terms_in_force(0.1, used_s=0.5, started_after_s=1.0)
        (1, 0.5)
    """
    possible_s = max(limit_s, used_s)
    due_s = deadline_s(possible_s, started_after_s=started_after_s)
    return due_s, min(possible_s, max(used_s, due_s - started_after_s))


def _kueue_labels(queue: str, settings: KubernetesSettings) -> dict[str, str]:
    labels = {QUEUE_LABEL: queue}
    if settings.workload_priority is not None:
        labels[WORKLOAD_PRIORITY_LABEL] = settings.workload_priority
    if settings.bound_s is not None:
        labels[MAX_EXEC_LABEL] = str(math.ceil(settings.bound_s))
    return labels


def _pod_template(
    spec: LegSpec, settings: KubernetesSettings, site: Site, *, labels: Mapping[str, str]
) -> dict[str, Any]:
    selector, tolerations = site.nodes_of(spec.capacity)
    if settings.gpus:
        tolerations.append({"key": site.gpu, "operator": "Exists", "effect": "NoSchedule"})
    template: dict[str, Any] = {
        "metadata": {
            "labels": dict(labels),
            "annotations": {START_BY_ANNOTATION: spec.start_by.isoformat()},
            "finalizers": [FINALIZER],
        },
        "spec": {
            "restartPolicy": "Never",
            "priorityClassName": settings.priority.value,
            "terminationGracePeriodSeconds": math.ceil(spec.grace_s),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "nodeSelector": selector,
            "tolerations": tolerations,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,  # else a fresh volume could not be written to
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(spec, settings, site)],
            "volumes": [{"name": _VOLUME, **_volume(site)}],
        },
    }
    for patch in (site.pod_template, settings.pod_template):
        if patch:
            template = _customised(template, patch, where=f"leg {spec.name!r}: pod_template")
    return template


def _container(spec: LegSpec, settings: KubernetesSettings, site: Site) -> dict[str, Any]:
    variables = {**_HOME, **spec.env}
    env: list[dict[str, Any]] = [{"name": k, "value": v} for k, v in variables.items()]
    env += [
        {
            "name": secret.env,
            "valueFrom": {"secretKeyRef": {"name": secret.secret, "key": secret.key}},
        }
        for secret in settings.secrets
    ]
    # Limits are what is asked for, and so what is paid for.
    amounts = {"cpu": settings.cpus, "memory": f"{settings.memory_gib}Gi"}
    if settings.gpus:
        amounts[site.gpu] = str(settings.gpus)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": settings.image,
        "command": list(spec.command),
        "env": env,
        "resources": {"requests": amounts, "limits": dict(amounts)},
        # The last lines of a failed program are then in its pod's status, for free.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [_mount(spec, site)],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if spec.workdir is not None:
        container["workingDir"] = spec.workdir
    return container


def _mount(spec: LegSpec, site: Site) -> dict[str, str]:
    mount = {"name": _VOLUME, "mountPath": spec.checkpoint_dir}
    if site.claim is not None or site.host_path is not None:
        mount["subPath"] = spec.run  # a run sees its own checkpoints only
    return mount


def _volume(site: Site) -> dict[str, Any]:
    if site.claim is not None:
        return {"persistentVolumeClaim": {"claimName": site.claim}}
    if site.host_path is not None:
        return {"hostPath": {"path": site.host_path, "type": "DirectoryOrCreate"}}
    return {"emptyDir": {}}


def _customised(
    template: Mapping[str, Any], patch: Mapping[str, Any], *, where: str
) -> dict[str, Any]:
    """Apply a pod template, and refuse one that would let the leg cost more than its hold."""
    merged = strategic_merge(template, patch)
    for path, read in _KEPT.items():
        before, after = read(template), read(merged)
        if before != after:
            msg = "a pod template may not change this: it keeps the leg within its hold"
            raise BadInputError(
                msg,
                where=f"{where}: {path}",
                expected=repr(before),
                got=repr(after),
                remedy="remove it; resources, grace period and command are the job's own keys",
            )
    return merged


def _train(template: Mapping[str, Any]) -> Mapping[str, Any]:
    containers: list[Mapping[str, Any]] = template["spec"].get("containers", [])
    nothing: Mapping[str, Any] = {}
    return next((c for c in containers if c.get("name") == CONTAINER), nothing)


def _labels(template: Mapping[str, Any]) -> list[str | None]:
    labels: Mapping[str, str] = template["metadata"].get("labels", {})
    return [labels.get(name) for name in (RUN_LABEL, LEG_LABEL)]


def _other_resources(template: Mapping[str, Any]) -> list[object]:
    spec: Mapping[str, Any] = template["spec"]
    every = [*spec.get("containers", []), *spec.get("initContainers", [])]
    return [c.get("resources") for c in every if c.get("name") != CONTAINER and "resources" in c]


_KEPT: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "metadata.finalizers": lambda template: template["metadata"].get("finalizers"),
    "metadata.labels": _labels,
    "spec.restartPolicy": lambda template: template["spec"].get("restartPolicy"),
    "spec.terminationGracePeriodSeconds": (
        lambda template: template["spec"].get("terminationGracePeriodSeconds")
    ),
    "spec.containers.train.command": lambda template: _train(template).get("command"),
    "spec.containers.train.resources": lambda template: _train(template).get("resources"),
    "spec.containers.resources": _other_resources,  # nothing pays for a further container
}


def due_deadline_s(job: Document, *, started_at: datetime | None, now: datetime) -> int:
    """Return the `activeDeadlineSeconds` that gives a started Job's program its whole limit.

    Kubernetes counts from the Job's start, a leg's limit from its program's. While the image is
    pulled nothing is billed, so the end is moved along; once the program has started it is fixed.
    Nobody need do this for the money to be safe: without it the program only gets less.

    Args:
        job: The Job, not suspended.
        started_at: When its program started; None while it has not.
        now: The time.

    Returns:
        Whole seconds; the present value where nothing is to change.

    Examples:
        >>> job = {
        ...     "metadata": {
        ...         "annotations": {
        ...             "lowtide.dev/limit-s": "600",
        ...             "lowtide.dev/start-by": "2026-11-23T22:00:00+00:00",
        ...         }
        ...     },
        ...     "spec": {"activeDeadlineSeconds": 600},
        ...     "status": {"startTime": "2026-11-23T20:00:00Z"},
        ... }
        >>> started_at = datetime.fromisoformat("2026-11-23T20:01:00+00:00")
        >>> due_deadline_s(job, started_at=started_at, now=started_at)
        660
    """
    present_s = int(part(job, "spec").get("activeDeadlineSeconds", 0))
    annotations = part(job, "metadata", "annotations")
    job_start = time_of(part(job, "status").get("startTime"))
    if job_start is None or STOP_ANNOTATION in annotations:
        return present_s
    limit_s = limit_of(job)
    if started_at is not None:
        # The hold was priced for a start by then; a later one needs a price of its own.
        if started_at > start_by_of(job):
            return present_s
        due_s = deadline_s(limit_s, started_after_s=(started_at - job_start).total_seconds())
        # A moment less of a long leg is not worth a request for each of a thousand legs.
        is_near = 0 <= due_s - present_s <= limit_s * _SLACK
        return present_s if is_near else due_s
    passed_s = max(0.0, (now - job_start).total_seconds())
    if present_s - passed_s >= max(limit_s / 2, _MARGIN_S):
        return present_s
    return max(present_s, deadline_s(limit_s, started_after_s=passed_s) + 1)


_MARGIN_S = 5.0
_SLACK = 0.01


def start_by_of(job: Document) -> datetime:
    """Return the moment after which a Job may not start its program."""
    return datetime.fromisoformat(part(job, "metadata", "annotations")[START_BY_ANNOTATION])


def limit_of(job: Document) -> float:
    """Return the limit that a leg's Job was given last, seconds."""
    return float(part(job, "metadata", "annotations")[LIMIT_ANNOTATION])


def stop_patch(job: Document, cause: StopCause, *, hopeless: str | None = None) -> dict[str, Any]:
    """Return the merge patch that ends a leg, whether it runs or waits.

    One patch says why and does it. A running Job's deadline passes at once: its pod is told to end, and
    the Job stays as the record. A waiting one is sealed by the change itself: once its spec has
    changed, the admission policy never lets it start.

    Args:
        job: The Job as it was read; the patch is refused if it has changed since.
        cause: Why.
        hopeless: Why its program could never start, as `STATE: SENTENCE`. It is written down because
            the kubelet forgets it in the moment in which the pod is told to end.

    Returns:
        The patch.
    """
    notes = {STOP_ANNOTATION: cause} | ({HOPELESS_ANNOTATION: hopeless} if hopeless else {})
    present_s = part(job, "spec").get("activeDeadlineSeconds")
    return {
        "metadata": {
            "resourceVersion": part(job, "metadata")["resourceVersion"],
            "annotations": notes,
        },
        "spec": {"activeDeadlineSeconds": 2 if present_s == 1 else 1},
    }


def withdrawn(job: Document, cause: StopCause) -> dict[str, Any]:
    """Return a Job that is only a record: it is stopped before it is made, and never starts."""
    metadata = dict(job["metadata"])
    metadata["annotations"] = {**metadata["annotations"], STOP_ANNOTATION: cause}
    metadata["labels"] = {k: v for k, v in metadata["labels"].items() if k != QUEUE_LABEL}
    return {**job, "metadata": metadata, "spec": {**job["spec"], "suspend": True}}
