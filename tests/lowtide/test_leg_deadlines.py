"""When the cluster ends a leg: its run-time limit as the Job's deadline, moved and never raised."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from lowtide.legs import StopCause
from lowtide.manifest import (
    HOPELESS_ANNOTATION,
    LIMIT_ANNOTATION,
    QUEUE_LABEL,
    STOP_ANNOTATION,
    deadline_s,
    due_deadline_s,
    stop_patch,
    terms_in_force,
    withdrawn,
)
from tests.lowtide.test_manifest import NOW, SPEC, build


@given(limit_s=st.floats(1, 1e7), after_s=st.integers(0, 10_000))
def test_a_deadline_never_gives_the_program_more_than_its_limit(
    limit_s: float, after_s: int
) -> None:
    due_s = deadline_s(limit_s, started_after_s=after_s)

    assert limit_s - 1 < due_s - after_s <= limit_s


@given(
    limit_s=st.floats(0.1, 1e6),
    used_s=st.floats(0, 1e6),
    after_s=st.integers(0, 1_000),
)
def test_a_new_limit_is_kept_but_for_the_time_that_is_used_already(
    limit_s: float, used_s: float, after_s: int
) -> None:
    due_s, in_force_s = terms_in_force(limit_s, used_s=used_s, started_after_s=after_s)

    ends_at_s = max(used_s, due_s - after_s)  # the cluster ends no leg in the past
    assert used_s <= in_force_s <= max(limit_s, used_s)
    assert in_force_s == ends_at_s or due_s == 1  # Kubernetes takes no less than a second


def started_job(*, limit_s: float, deadline: int, **notes: str) -> dict[str, Any]:
    job = build(replace(SPEC, limit_s=limit_s))
    job["metadata"]["annotations"] |= notes
    job["spec"]["activeDeadlineSeconds"] = deadline
    job["status"] = {"startTime": "2026-11-23T20:00:00Z"}
    return job


def test_once_the_program_has_started_its_deadline_counts_from_there() -> None:
    job = started_job(limit_s=600, deadline=600)

    due_s = due_deadline_s(job, started_at=NOW + timedelta(seconds=42), now=NOW)

    assert due_s == 642


def test_a_moment_less_of_a_long_leg_is_not_worth_a_request() -> None:
    job = started_job(limit_s=36_000, deadline=36_000)

    assert due_deadline_s(job, started_at=NOW + timedelta(seconds=42), now=NOW) == 36_000
    # But never more than it may have.
    job["spec"]["activeDeadlineSeconds"] = 36_050
    assert due_deadline_s(job, started_at=NOW + timedelta(seconds=42), now=NOW) == 36_042


def test_a_start_that_came_too_late_is_not_given_more_time() -> None:
    job = started_job(limit_s=600, deadline=600)
    late = SPEC.start_by + timedelta(seconds=1)

    assert due_deadline_s(job, started_at=late, now=late) == 600


def test_while_the_image_is_pulled_the_deadline_moves_along_in_time() -> None:
    job = started_job(limit_s=100, deadline=100)

    def due_s(after_s: float) -> int:
        return due_deadline_s(job, started_at=None, now=NOW + timedelta(seconds=after_s))

    assert due_s(40) == 100
    assert due_s(70) == 171


def test_a_stopped_leg_gets_no_more_time_and_a_queued_one_needs_none() -> None:
    stopped = started_job(limit_s=600, deadline=1, **{STOP_ANNOTATION: "stop"})
    queued = build()

    assert due_deadline_s(stopped, started_at=NOW, now=NOW) == 1
    assert due_deadline_s(queued, started_at=None, now=NOW) == 600


@pytest.mark.parametrize("cause", ["stop", "preempt", "start-by", "limit"])
@pytest.mark.parametrize("present_s", [1, 600])
def test_a_stop_changes_the_spec_once_and_only_if_nobody_else_did(
    cause: StopCause, present_s: int
) -> None:
    job = started_job(limit_s=600, deadline=present_s)
    job["metadata"]["resourceVersion"] = "42"

    patch = stop_patch(job, cause)

    # The changed spec is the seal: unchanged, a queued Job could still be started.
    assert patch["spec"]["activeDeadlineSeconds"] not in {present_s, None}
    assert patch["spec"]["activeDeadlineSeconds"] <= 2
    assert patch["metadata"]["resourceVersion"] == "42"
    assert patch["metadata"]["annotations"] == {STOP_ANNOTATION: cause}


def test_a_stop_writes_down_what_the_kubelet_will_forget() -> None:
    job = started_job(limit_s=600, deadline=600)
    job["metadata"]["resourceVersion"] = "42"

    patch = stop_patch(job, "start-by", hopeless="image-error: no such image")

    assert patch["metadata"]["annotations"][HOPELESS_ANNOTATION] == "image-error: no such image"


def test_a_job_withdrawn_before_it_is_made_waits_in_no_queue_and_never_starts() -> None:
    record = withdrawn(build(), "start-by")

    assert record["spec"]["suspend"] is True
    assert QUEUE_LABEL not in record["metadata"]["labels"]
    assert record["metadata"]["annotations"][STOP_ANNOTATION] == "start-by"
    assert record["metadata"]["annotations"][LIMIT_ANNOTATION] == "600.5"
