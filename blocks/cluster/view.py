"""What one process knows of one namespace: three copies, shared by everybody who asks.

However many flows a process runs, it lists and watches a namespace once. Objects are selected by our
own label and looked up by leg; Kueue's Workloads by the Job they stand for.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from blocks.cluster.api import Api
from blocks.cluster.mirror import Mirror, Pace
from lowtide.leg_state import Evidence, LegState
from lowtide.manifest import LEG_LABEL, RUN_LABEL, SETTLED_LABEL
from lowtide.objects import Document
from lowtide.pools import queue_places

Leg: TypeAlias = tuple[str, int]

OURS = f"{LEG_LABEL},!{SETTLED_LABEL}"
_JOB_UID = "kueue.x-k8s.io/job-uid"


def jobs_path(namespace: str) -> str:
    """Return where the Jobs of a namespace are."""
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def pods_path(namespace: str) -> str:
    """Return where the pods of a namespace are."""
    return f"/api/v1/namespaces/{namespace}/pods"


def workloads_path(namespace: str) -> str:
    """Return where Kueue's Workloads of a namespace are."""
    return f"/apis/kueue.x-k8s.io/v1beta1/namespaces/{namespace}/workloads"


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """What this process saw of a leg.

    Attributes:
        state: Its state.
        at: When that was.
        longest: Its limit and grace period as they were then.
    """

    state: LegState
    at: datetime
    longest: timedelta


@dataclass(slots=True, kw_only=True)
class View:
    """The copies of one namespace, and what one process remembers of its legs.

    Attributes:
        jobs: Our Jobs.
        pods: Their pods.
        workloads: Kueue's Workloads, other people's too: they stand in the same queue.
        witnessed: What was last seen of each leg here, should all trace of it vanish.
        events: A Job's events and when they were asked for, by its uid.
    """

    jobs: Mirror
    pods: Mirror
    workloads: Mirror
    witnessed: dict[Leg, Witness] = field(default_factory=dict[Leg, Witness])
    events: dict[str, tuple[float, tuple[Document, ...]]] = field(
        default_factory=dict[str, tuple[float, tuple[Document, ...]]]
    )
    _places: Mapping[str, int] = field(default_factory=dict[str, int])
    _places_of: int = -1

    def evidence(self, leg: Leg) -> Evidence:
        """Return what is known of a leg, events apart.

        Raises:
            UnavailableError: contact is lost.
        """
        job = next(iter(self.jobs.of(leg)), None)
        workload = None if job is None else self._workload(job)
        return Evidence(
            job=job,
            pods=self.pods.of(leg),
            workload=workload,
            ahead=None if workload is None else self._ahead(workload),
        )

    def legs(self) -> tuple[Leg, ...]:
        """Return all legs of which there is a trace."""
        found = {leg_of(document) for document in (*self.jobs.all(), *self.pods.all())}
        return tuple(sorted(leg for leg in found if leg is not None))

    def forget(self, leg: Leg) -> None:
        """Let go of what is remembered of a leg."""
        self.witnessed.pop(leg, None)

    def stop(self) -> None:
        """End the copying."""
        for mirror in (self.jobs, self.pods, self.workloads):
            mirror.stop()

    def _workload(self, job: Document) -> Document | None:
        return next(iter(self.workloads.of(job["metadata"]["uid"])), None)

    def _ahead(self, workload: Document) -> int | None:
        # One sorting serves all legs until a Workload changes.
        changes = self.workloads.changes
        if changes != self._places_of:
            self._places, self._places_of = queue_places(self.workloads.all()), changes
        return self._places.get(workload["metadata"]["uid"])


_VIEWS: dict[tuple[int, str], View] = {}
_VIEWS_LOCK = threading.Lock()


def view_of(api: Api, namespace: str, *, pace: Pace) -> View:
    """Return this process' view of a namespace, made at the first call and kept.

    Args:
        api: The client.
        namespace: The namespace.
        pace: How the copies are kept fresh; the first caller's counts.

    Returns:
        The view, its copies being filled.
    """
    with _VIEWS_LOCK:
        view = _VIEWS.get((id(api), namespace))
        if view is None:
            view = _VIEWS[id(api), namespace] = _make_view(api, namespace, pace=pace)
        return view


def close_view(api: Api, namespace: str) -> None:
    """Forget a namespace; the next call of `view_of` begins anew."""
    with _VIEWS_LOCK:
        view = _VIEWS.pop((id(api), namespace), None)
    if view is not None:
        view.stop()


def _make_view(api: Api, namespace: str, *, pace: Pace) -> View:
    view = View(
        jobs=Mirror(
            api=api,
            path=jobs_path(namespace),
            selector=OURS,
            trim=trim_job,
            group=leg_of,
            pace=pace,
        ),
        pods=Mirror(
            api=api,
            path=pods_path(namespace),
            selector=OURS,
            trim=trim_pod,
            group=leg_of,
            pace=pace,
        ),
        workloads=Mirror(
            api=api,
            path=workloads_path(namespace),
            selector=_JOB_UID,
            trim=trim_workload,
            group=_job_uid,
            pace=pace,
            is_optional=True,  # no Kueue, no queue
        ),
    )
    for mirror in (view.jobs, view.pods, view.workloads):
        mirror.start()
    return view


def leg_of(document: Document) -> Leg | None:
    """Return the leg to which an object belongs, by its labels; None for a stranger."""
    labels = document["metadata"].get("labels", {})
    run, leg = labels.get(RUN_LABEL), str(labels.get(LEG_LABEL, ""))
    return (run, int(leg)) if run and leg.isdecimal() else None


def _job_uid(document: Document) -> str:
    return str(document["metadata"]["labels"].get(_JOB_UID, ""))


# What is kept of an object. The rest (templates, managed fields) is most of its size.


def trim_job(document: Document) -> Document:
    """Keep of a Job what a leg's state follows from."""
    spec = _only(document["spec"], "activeDeadlineSeconds", "suspend")
    return {**_head(document), "spec": spec, "status": document.get("status", {})}


def trim_pod(document: Document) -> Document:
    """Keep of a pod what a leg's state follows from."""
    status = _only(document.get("status", {}), "phase", "conditions", "containerStatuses")
    return {**_head(document), "spec": _only(document["spec"], "nodeName"), "status": status}


def trim_workload(document: Document) -> Document:
    """Keep of a Workload its place in the queue and its conditions."""
    spec = _only(document["spec"], "queueName", "priority", "active")
    status = _only(document.get("status", {}), "conditions")
    return {**_head(document), "spec": spec, "status": status}


def _head(document: Document) -> Document:
    metadata = dict(document["metadata"])
    metadata.pop("managedFields", None)
    return {"metadata": metadata}


def _only(document: Document, *names: str) -> Document:
    return {name: document[name] for name in names if name in document}
