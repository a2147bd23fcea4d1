"""The table of what a leg can be: one row for each story that a cluster can tell."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from lowtide.leg_state import Evidence, LegState, State, leg_state
from lowtide.legs import LegEnd
from lowtide.manifest import HOPELESS_ANNOTATION, STOP_ANNOTATION
from tests.lowtide.kube import (
    GRACE_S,
    LIMIT_S,
    START,
    at,
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

ENDED = [
    Case(
        id="completed",
        evidence=ran(job(COMPLETE), pod(terminated(0, reason="Completed"), phase="Succeeded")),
        state=State.COMPLETED,
        end=LegEnd.COMPLETED,
        exit_code=0,
        used_s=60,
    ),
    Case(
        id="completed before its Job says so: nobody told it to end",
        evidence=ran(job(), pod(terminated(0, reason="Completed"))),
        state=State.COMPLETED,
        end=LegEnd.COMPLETED,
        exit_code=0,
    ),
    Case(
        id="failed by itself",
        evidence=ran(job(BACKOFF), pod(terminated(3, message="a\nb"), phase="Failed")),
        state=State.PROGRAM_FAILED,
        end=LegEnd.FAILED,
        exit_code=3,
    ),
    Case(
        id="failed by itself in the moment in which its limit passed",
        evidence=ran(job(DEADLINE), pod(terminated(3))),
        state=State.PROGRAM_FAILED,
        end=LegEnd.FAILED,
        exit_code=3,
    ),
    Case(
        id="out of memory",
        evidence=ran(job(BACKOFF), pod(terminated(137, reason="OOMKilled"), phase="Failed")),
        state=State.OUT_OF_MEMORY,
        end=LegEnd.FAILED,
        exit_code=-9,
    ),
    Case(
        id="at its limit",
        evidence=ran(job(DEADLINE), TOLD),
        state=State.DEADLINE,
        end=LegEnd.DEADLINE,
        exit_code=143,
        used_s=60,
    ),
    Case(
        id="at its limit, killed after its grace period",
        evidence=ran(job(DEADLINE), KILLED),
        state=State.DEADLINE,
        end=LegEnd.DEADLINE,
        exit_code=-9,
    ),
    Case(
        id="at its limit, with all its work done",
        evidence=ran(job(DEADLINE), pod(terminated(0), deleted_after_s=100)),
        state=State.COMPLETED,
        end=LegEnd.COMPLETED,
        exit_code=0,
    ),
    Case(
        id="at Kueue's own limit",
        evidence=ran(GONE_BY_KUEUE, TOLD, workload=workload(MAX_EXEC)),
        state=State.DEADLINE,
        end=LegEnd.DEADLINE,
        exit_code=143,
    ),
    Case(
        id="preempted by Kueue",
        evidence=ran(GONE_BY_KUEUE, TOLD, workload=workload(PREEMPTED)),
        state=State.PREEMPTED,
        end=LegEnd.PREEMPTED,
        exit_code=143,
    ),
    Case(
        id="preempted by Kueue, which has given it a place again since",
        evidence=ran(
            GONE_BY_KUEUE,
            TOLD,
            workload=workload(
                condition("Evicted", "QuotaReserved", "Previously: Preempted", status="False"),
                condition("QuotaReserved", "QuotaReserved"),
            ),
        ),
        state=State.PREEMPTED,
        end=LegEnd.PREEMPTED,
        exit_code=143,
    ),
    Case(
        id="preempted by Kueue, and deaf",
        evidence=ran(GONE_BY_KUEUE, KILLED, workload=workload(PREEMPTED)),
        state=State.PREEMPTED,
        end=LegEnd.PREEMPTED,
        exit_code=-9,
    ),
    *(
        Case(
            id=f"disrupted: {reason}",
            evidence=ran(
                job(DISRUPTED), pod(terminated(143), disruption(reason), deleted_after_s=100)
            ),
            state=state,
            end=LegEnd.PREEMPTED,
            exit_code=143,
        )
        for reason, state in {
            "PreemptionByScheduler": State.PREEMPTED,
            "EvictionByEvictionAPI": State.EVICTED,
            "TerminationByKubelet": State.EVICTED,
            "DeletionByTaintManager": State.NODE_LOST,
            "DeletionByPodGC": State.NODE_LOST,
            "SomethingNew": State.EVICTED,
        }.items()
    ),
    Case(
        id="its node is gone: the pod is failed by the garbage collector, its end unmeasured",
        evidence=ran(
            job(DISRUPTED),
            pod(running(), disruption("DeletionByPodGC"), phase="Failed", deleted_after_s=400),
        ),
        state=State.NODE_LOST,
        end=LegEnd.PREEMPTED,
        measured=False,
        used_s=390,
    ),
    Case(
        id="its node is gone: nobody ever answers, and the limit bounds what is charged",
        evidence=ran(job(), pod(running(), deleted_after_s=5_000)),
        state=State.NODE_LOST,
        end=LegEnd.PREEMPTED,
        measured=False,
        used_s=LIMIT_S + GRACE_S,
    ),
    Case(
        id="stopped by us",
        evidence=ran(job(DEADLINE, notes=stopped("stop")), TOLD),
        state=State.STOPPED,
        end=LegEnd.STOPPED,
        exit_code=143,
    ),
    Case(
        id="ended by us for its capacity",
        evidence=ran(job(DEADLINE, notes=stopped("preempt")), TOLD),
        state=State.EVICTED,
        end=LegEnd.PREEMPTED,
        exit_code=143,
    ),
    Case(
        id="withdrawn in the moment in which it started: it ran, and is paid for",
        evidence=ran(job(DEADLINE, notes=stopped("start-by")), TOLD),
        state=State.STOPPED,
        end=LegEnd.STOPPED,
        exit_code=143,
    ),
    Case(
        id="its Job was deleted by somebody",
        evidence=ran(None, TOLD),
        state=State.EVICTED,
        end=LegEnd.PREEMPTED,
        exit_code=143,
    ),
    Case(
        id="its Job is being deleted by somebody",
        evidence=ran(job(deleted_after_s=60), KILLED),
        state=State.EVICTED,
        end=LegEnd.PREEMPTED,
        exit_code=-9,
    ),
    Case(
        id="its Job was deleted while the program failed by itself",
        evidence=ran(None, pod(terminated(1), deleted_after_s=100)),
        state=State.PROGRAM_FAILED,
        end=LegEnd.FAILED,
        exit_code=1,
    ),
    Case(
        id="its pod was deleted by somebody",
        evidence=ran(job(BACKOFF), TOLD),
        state=State.EVICTED,
        end=LegEnd.PREEMPTED,
        exit_code=143,
    ),
    Case(
        id="two pods, which no cluster should run: both are paid for",
        evidence=ran(job(DEADLINE), pod(terminated(143, after_s=30)), TOLD),
        state=State.DEADLINE,
        end=LegEnd.DEADLINE,
        exit_code=143,
        used_s=60,
    ),
]

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

SOON = START + timedelta(seconds=75)
LATER = START + timedelta(days=2)


def look(case: Case) -> LegState:
    # Long enough after for a silent node to count as lost, soon enough for a watch to be late.
    is_lost = "nobody ever answers" in case.id
    return leg_state(case.evidence, now=LATER if is_lost else SOON)


@pytest.mark.parametrize("case", WAITING, ids=lambda case: case.id)
def test_a_leg_that_waits_says_for_what(case: Case) -> None:
    found = look(case)

    assert found.state is case.state
    assert found.phase == ("absent" if case.state is State.ABSENT else "waiting")
    assert (found.started_at, found.ended_at, found.end) == (None, None, None)
    assert found.reason


@pytest.mark.parametrize("case", RUNNING, ids=lambda case: case.id)
def test_a_leg_runs_until_its_end_is_known_and_explained(case: Case) -> None:
    found = look(case)

    assert (found.state, found.phase, found.end) == (State.RUNNING, "running", None)
    assert found.started_at == START + timedelta(seconds=10)


@pytest.mark.parametrize("case", ENDED, ids=lambda case: case.id)
def test_an_ended_program_is_judged_by_who_ended_it(case: Case) -> None:
    found = look(case)

    assert (found.state, found.end, found.phase) == (case.state, case.end, "ended")
    assert (found.exit_code, found.measured) == (case.exit_code, case.measured)
    assert found.started_at == START + timedelta(seconds=10)
    if case.used_s is not None:
        assert used_s(found) == case.used_s


@pytest.mark.parametrize("case", NEVER_STARTED, ids=lambda case: case.id)
def test_a_leg_that_never_started_has_no_times_and_costs_nothing(case: Case) -> None:
    found = look(case)

    assert (found.state, found.end, found.phase) == (case.state, case.end, "ended")
    assert (found.started_at, found.measured) == (None, True)


@pytest.mark.parametrize("case", WITHOUT_TRACE, ids=lambda case: case.id)
def test_times_that_are_gone_count_as_the_longest_possible_stretch(case: Case) -> None:
    found = look(case)

    assert (found.state, found.end, found.measured) == (case.state, case.end, False)
    assert found.exit_code == case.exit_code
    assert used_s(found) == case.used_s


@pytest.mark.parametrize(
    "case", [*ENDED, *NEVER_STARTED, *WITHOUT_TRACE], ids=lambda case: case.id
)
def test_what_was_said_about_an_end_stays_said(case: Case) -> None:
    assert leg_state(case.evidence, now=LATER) == look(case)


def test_an_end_that_nobody_explains_is_judged_without_an_explanation() -> None:
    unexplained = ran(job(), pod(terminated(143), deleted_after_s=100))

    found = leg_state(unexplained, now=START + timedelta(seconds=70 + 61))

    assert (found.state, found.end) == (State.EVICTED, LegEnd.PREEMPTED)


REASONS = {
    "in Kueue's queue": "number 3 in the queue: insufficient unused quota",
    "the namespace's quota is used up": (
        "quota 'training' has too little requests.nvidia.com/gpu: asked for 1, 2 of 2 in use"
    ),
    "no image": "ImagePullBackOff: no such image",
    "no node": "no node fits: 0/3 nodes are available",
    "running": "running on node-1",
    "failed by itself": "the program exited with 3: b",
    "out of memory": "the program used more memory than it asked for, and was killed",
    "at its limit": "its run-time limit is used up",
    "preempted by Kueue": "Kueue took it back: Preempted to accommodate a workload",
    "disrupted: EvictionByEvictionAPI": "its pod was evicted (EvictionByEvictionAPI)",
    "withdrawn from the queue": "it never started: it was not to start that late",
}


@pytest.mark.parametrize(("story", "reason"), REASONS.items())
def test_the_reason_is_a_sentence_for_a_person(story: str, reason: str) -> None:
    cases = {case.id: case for case in [*WAITING, *RUNNING, *ENDED, *NEVER_STARTED]}

    assert look(cases[story]).reason == reason


def test_the_place_in_the_queue_counts_from_one() -> None:
    queued = Evidence(job=job(suspend=True), workload=workload(PENDING), ahead=2)

    assert leg_state(queued, now=SOON).position == 3


def test_a_failed_program_leaves_its_last_words() -> None:
    lines = "\n".join(f"line {n}" for n in range(30))
    failed = ran(job(BACKOFF), pod(terminated(1, message=lines), phase="Failed"))

    found = leg_state(failed, now=SOON)

    assert len(found.log_tail) == 20
    assert found.log_tail[-1] == "line 29"


def test_a_shortage_names_the_resource_and_the_figures() -> None:
    short = Evidence(job=job(), events=events(("FailedCreate", EXCEEDED)))

    (shortage,) = leg_state(short, now=SOON).shortages

    assert (shortage.quota, shortage.resource) == ("training", "requests.nvidia.com/gpu")
    assert (shortage.asked, shortage.used, shortage.limit) == ("1", "2", "2")


JOBS = st.sampled_from(
    [None, *(case.evidence.job for case in [*WAITING, *ENDED, *NEVER_STARTED, *WITHOUT_TRACE])]
)
PODS = st.lists(
    st.sampled_from([pod for case in [*RUNNING, *ENDED, *WAITING] for pod in case.evidence.pods]),
    max_size=2,
)
WORKLOADS = st.sampled_from([None, workload(PENDING), workload(PREEMPTED), workload(MAX_EXEC)])


@given(job_=JOBS, pods=PODS, workload_=WORKLOADS, now_s=st.integers(0, 100_000))
def test_any_mixture_of_evidence_gives_one_consistent_answer(
    job_: dict[str, Any] | None,
    pods: list[dict[str, Any]],
    workload_: dict[str, Any] | None,
    now_s: int,
) -> None:
    evidence = Evidence(job=job_, pods=pods, workload=workload_)

    found = leg_state(evidence, now=START + timedelta(seconds=now_s))

    assert (found.end is not None) == (found.phase == "ended")
    if found.phase == "ended" and found.started_at is not None:
        assert found.ended_at is not None
        assert found.ended_at >= found.started_at
    if not found.measured and job_ is not None:
        assert used_s(found) <= LIMIT_S + GRACE_S
    if any("terminated" in str(pod) for pod in pods) and found.phase == "ended":
        # What ran is never forgotten: it has to be paid for.
        assert found.started_at is not None


def used_s(found: LegState) -> float:
    assert found.started_at is not None
    assert found.ended_at is not None
    return (found.ended_at - found.started_at).total_seconds()


def test_the_builders_write_times_as_kubernetes_does() -> None:
    assert at(60) == "2026-11-23T20:01:00Z"
