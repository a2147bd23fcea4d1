"""The table of what a leg can be: one row for each story that a cluster can tell."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from lowtide.leg_state import Evidence, LegState, State, leg_state
from lowtide.legs import LegEnd
from tests.lowtide.kube import (
    GRACE_S,
    LIMIT_S,
    START,
    at,
    events,
    job,
    pod,
    terminated,
    workload,
)
from tests.lowtide.leg_endings import ENDED
from tests.lowtide.leg_stories import (
    BACKOFF,
    EXCEEDED,
    MAX_EXEC,
    NEVER_STARTED,
    PENDING,
    PREEMPTED,
    RUNNING,
    WAITING,
    WITHOUT_TRACE,
    Case,
    ran,
)

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
