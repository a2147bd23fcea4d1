"""Stories that a cluster tells of legs that wait, run, never started, or left no trace."""

from dataclasses import dataclass
from typing import Any

from lowtide.leg_state import Evidence, State
from lowtide.legs import LegEnd
from lowtide.manifest import HOPELESS_ANNOTATION, STOP_ANNOTATION
from tests.lowtide.kube import (
    GRACE_S,
    LIMIT_S,
    condition,
    events,
    job,
    pod,
    running,
    terminated,
    waiting,
    workload,
)

DEADLINE = condition("FailureTarget", "DeadlineExceeded", "Job was active longer")
BACKOFF = condition("Failed", "BackoffLimitExceeded", "Job has reached the backoff limit")
DISRUPTED = condition("Failed", "PodFailurePolicy", "Container train failed with DisruptionTarget")
COMPLETE = condition("SuccessCriteriaMet", "CompletionsReached")
PREEMPTED = condition("Evicted", "Preempted", "Preempted to accommodate a workload")
MAX_EXEC = condition("Evicted", "DeactivatedDueToMaximumExecutionTimeExceeded", "exceeded")
PENDING = condition("QuotaReserved", "Pending", "insufficient unused quota", status="False")
EXCEEDED = (
    'pods "p" is forbidden: exceeded quota: training, requested: requests.nvidia.com/gpu=1, '
    "used: requests.nvidia.com/gpu=2, limited: requests.nvidia.com/gpu=2"
)
TOO_BIG = 'pods "p" is forbidden: maximum nvidia.com/gpu usage per Pod is 1, but limit is 3'
TOO_LATE = "ValidatingAdmissionPolicy 'lowtide-leg-starts-in-time' denied request"
NO_NODE = condition("PodScheduled", "Unschedulable", "0/3 nodes are available", status="False")


def disruption(reason: str) -> dict[str, str]:
    return condition("DisruptionTarget", reason)


def stopped(cause: str, **more: str) -> dict[str, str]:
    return {STOP_ANNOTATION: cause, **more}


@dataclass(frozen=True, kw_only=True)
class Case:
    id: str
    evidence: Evidence
    state: State
    end: LegEnd | None = None
    started: bool = False
    exit_code: int | None = None
    measured: bool = True
    used_s: float | None = None


WAITING = [
    Case(id="nothing there", evidence=Evidence(job=None), state=State.ABSENT),
    Case(id="a Job without a pod", evidence=Evidence(job=job()), state=State.STARTING),
    Case(
        id="its image is pulled",
        evidence=Evidence(job=job(), pods=[pod(waiting("ContainerCreating"), phase="Pending")]),
        state=State.STARTING,
    ),
    Case(
        id="no image",
        evidence=Evidence(job=job(), pods=[pod(waiting("ImagePullBackOff", "no such image"))]),
        state=State.IMAGE_ERROR,
    ),
    Case(
        id="no node",
        evidence=Evidence(job=job(), pods=[pod(None, NO_NODE, node=None)]),
        state=State.UNSCHEDULABLE,
    ),
    Case(
        id="the namespace's quota is used up",
        evidence=Evidence(job=job(), events=events(("FailedCreate", EXCEEDED))),
        state=State.WAITING_FOR_QUOTA,
    ),
    Case(
        id="its pod breaks a limit",
        evidence=Evidence(job=job(), events=events(("FailedCreate", TOO_BIG))),
        state=State.REFUSED,
    ),
    Case(
        id="its pod comes too late",
        evidence=Evidence(job=job(), events=events(("FailedCreate", TOO_LATE))),
        state=State.STARTING,
    ),
    Case(
        id="the quota was used up, but it has its pod now",
        evidence=Evidence(
            job=job(),
            pods=[pod(waiting("ContainerCreating"))],
            events=events(("FailedCreate", EXCEEDED)),
        ),
        state=State.STARTING,
    ),
    Case(id="not yet in Kueue", evidence=Evidence(job=job(suspend=True)), state=State.QUEUED),
    Case(
        id="in Kueue's queue",
        evidence=Evidence(job=job(suspend=True), workload=workload(PENDING), ahead=2),
        state=State.QUEUED,
    ),
]

RUNNING = [
    Case(
        id="running",
        evidence=Evidence(job=job(), pods=[pod(running())]),
        state=State.RUNNING,
        started=True,
    ),
    Case(
        id="at its limit, and still in its grace period",
        evidence=Evidence(job=job(DEADLINE), pods=[pod(running(), deleted_after_s=90)]),
        state=State.RUNNING,
        started=True,
    ),
    Case(
        id="ended by somebody, and nobody has said by whom",
        evidence=Evidence(job=job(), pods=[pod(terminated(143), deleted_after_s=100)]),
        state=State.RUNNING,
        started=True,
    ),
    Case(
        id="suspended by Kueue, whose reason is on its way",
        evidence=Evidence(
            job=job(suspend=True, generation=3),
            workload=workload(),
            pods=[pod(terminated(143), deleted_after_s=100)],
        ),
        state=State.RUNNING,
        started=True,
    ),
]


def ran(job_: dict[str, Any] | None, *pods: dict[str, Any], **more: Any) -> Evidence:
    return Evidence(job=job_, pods=pods, **more)


GONE_BY_KUEUE = job(suspend=True, generation=3)
TOLD = pod(terminated(143), deleted_after_s=100)
KILLED = pod(terminated(137), deleted_after_s=100)

NEVER_STARTED = [
    Case(
        id="withdrawn from the queue",
        evidence=Evidence(
            job=job(suspend=True, generation=2, notes=stopped("start-by")), workload=workload()
        ),
        state=State.WITHDRAWN,
        end=LegEnd.WITHDRAWN,
    ),
    Case(
        id="withdrawn while it waited for a node",
        evidence=ran(job(DEADLINE, notes=stopped("start-by")), pod(None, NO_NODE, node=None)),
        state=State.WITHDRAWN,
        end=LegEnd.WITHDRAWN,
    ),
    Case(
        id="at its limit before it ever started",
        evidence=ran(job(DEADLINE), pod(waiting("ContainerCreating"), deleted_after_s=100)),
        state=State.WITHDRAWN,
        end=LegEnd.WITHDRAWN,
    ),
    Case(
        id="evicted before it ever started",
        evidence=ran(
            job(), pod(waiting("ContainerCreating"), disruption("EvictionByEvictionAPI"))
        ),
        state=State.WITHDRAWN,
        end=LegEnd.WITHDRAWN,
    ),
    Case(
        id="preempted by Kueue before it got its pod",
        evidence=Evidence(
            job=GONE_BY_KUEUE, workload=workload(PREEMPTED), events=events(("Suspended", ""))
        ),
        state=State.WITHDRAWN,
        end=LegEnd.WITHDRAWN,
    ),
    Case(
        id="changed by somebody while it was queued: it may not start any more",
        evidence=Evidence(
            job=job(suspend=True, generation=2),
            workload=workload(),
            events=events(("Suspended", "")),
        ),
        state=State.WITHDRAWN,
        end=LegEnd.WITHDRAWN,
    ),
    Case(
        id="given up, because its image is not there",
        evidence=ran(
            job(
                DEADLINE,
                notes=stopped(
                    "start-by", **{HOPELESS_ANNOTATION: "image-error: ErrImagePull: no"}
                ),
            ),
            pod(waiting("ContainerCreating"), deleted_after_s=100),
        ),
        state=State.IMAGE_ERROR,
        end=LegEnd.FAILED,
    ),
]

WITHOUT_TRACE = [
    Case(
        id="failed, and its pod is gone with its times",
        evidence=Evidence(job=job(condition("Failed", "BackoffLimitExceeded"), failed=1)),
        state=State.GONE,
        end=LegEnd.LOST,
        measured=False,
        used_s=60,
    ),
    Case(
        id="at its limit, and its pod is gone with its times",
        evidence=Evidence(
            job=job(condition("Failed", "DeadlineExceeded", after_s=5_000), failed=1)
        ),
        state=State.DEADLINE,
        end=LegEnd.DEADLINE,
        measured=False,
        used_s=LIMIT_S + GRACE_S,
    ),
    Case(
        id="completed, and its pod is gone with its times",
        evidence=Evidence(job=job(condition("Complete", "CompletionsReached"), succeeded=1)),
        state=State.COMPLETED,
        end=LegEnd.COMPLETED,
        exit_code=0,
        measured=False,
        used_s=60,
    ),
    Case(
        id="preempted by Kueue, and nothing tells whether it ever had a pod",
        evidence=Evidence(job=GONE_BY_KUEUE, workload=workload(PREEMPTED)),
        state=State.PREEMPTED,
        end=LegEnd.PREEMPTED,
        measured=False,
        used_s=65,
    ),
    Case(
        id="preempted by Kueue after it had a pod",
        evidence=Evidence(
            job=GONE_BY_KUEUE,
            workload=workload(PREEMPTED),
            events=events(("SuccessfulCreate", "Created pod")),
        ),
        state=State.PREEMPTED,
        end=LegEnd.PREEMPTED,
        measured=False,
        used_s=65,
    ),
]
