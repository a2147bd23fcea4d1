"""Single legs on a real cluster: how each ends, what is measured, what is kept until it is billed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from blocks.cluster.errors import MissingError
from blocks.cluster.view import close_view, jobs_path
from lowtide.errors import ConflictError
from lowtide.leg_state import State
from lowtide.legs import Capacity, LegEnd
from lowtide.manifest import FINALIZER
from tests.cluster.sandbox import (
    FOR_EVER,
    HEEDS,
    Sandbox,
    moved,
    open_bed,
    open_sandbox,
    shipped,
    wait_for,
)

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.usefixtures("pods")]


def evict(sandbox: Sandbox, run: str) -> None:
    (name,) = [
        pod["metadata"]["name"]
        for pod in sandbox.api.get(
            f"/api/v1/namespaces/{sandbox.namespace}/pods", labelSelector=f"lowtide.dev/run={run}"
        )["items"]
    ]
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": sandbox.namespace},
    }
    sandbox.api.create(f"/api/v1/namespaces/{sandbox.namespace}/pods/{name}/eviction", body)


def test_an_evicted_leg_is_preempted_saves_its_state_and_keeps_its_times(
    sandbox: Sandbox,
) -> None:
    leg = sandbox.start("trap 'echo saved; exit 143' TERM; echo began; sleep 1000 & wait")
    sandbox.until(leg, State.RUNNING)
    wait_for(lambda: sandbox.runner().logs(leg.run, 1), lambda lines: lines == ("began",))

    evict(sandbox, leg.run)
    found = sandbox.until(leg)

    assert (found.state, found.end) == (State.EVICTED, LegEnd.PREEMPTED)
    assert (found.exit_code, found.measured) == (143, True)
    assert sandbox.runner().logs(leg.run, 1) == ("began", "saved")
    assert len(sandbox.pods_of(leg)) == 1


def test_a_pod_that_somebody_deletes_counts_as_taken_away_and_its_times_stay(
    sandbox: Sandbox,
) -> None:
    leg = sandbox.start()
    sandbox.until(leg, State.RUNNING)

    sandbox.kubectl("delete", "pods", "--all", "--wait=false")
    found = sandbox.until(leg)

    assert (found.end, found.reason) == (LegEnd.PREEMPTED, "somebody deleted its pod")
    assert found.measured


def test_a_job_that_somebody_deletes_leaves_the_times_and_starts_no_second_program(
    sandbox: Sandbox,
) -> None:
    leg = sandbox.start()
    sandbox.until(leg, State.RUNNING)

    sandbox.kubectl("delete", "jobs", "--all", "--wait=false")
    found = sandbox.until(leg)
    sandbox.runner().start(leg, now=datetime.now(UTC))

    assert (found.end, found.measured) == (LegEnd.PREEMPTED, True)
    with pytest.raises(MissingError):
        sandbox.job(leg)
    assert len(sandbox.pods_of(leg)) == 1


def test_a_program_that_needs_more_memory_than_it_asked_for_has_failed(sandbox: Sandbox) -> None:
    leg = sandbox.start("x=a; while :; do x=$x$x; done", memory_gib="0.03")

    found = sandbox.until(leg)

    assert (found.state, found.end) == (State.OUT_OF_MEMORY, LegEnd.FAILED)


def test_a_failed_program_leaves_its_exit_code_and_its_last_words(sandbox: Sandbox) -> None:
    leg = sandbox.start("echo no such data set >&2; exit 3")

    found = sandbox.until(leg)

    assert (found.end, found.exit_code) == (LegEnd.FAILED, 3)
    assert found.reason == "the program exited with 3: no such data set"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"image": "127.0.0.1:1/none:1"}, "ErrImagePull"),
        ({"secrets": [{"env": "A", "secret": "none", "key": "k"}]}, "CreateContainerConfigError"),
    ],
    ids=["image", "secret"],
)
def test_a_leg_that_cannot_start_is_given_up_as_the_job_s_own_failure_and_costs_nothing(
    sandbox: Sandbox, changes: dict[str, Any], word: str
) -> None:
    runner = sandbox.runner(hopeless_after_s=2)
    leg = sandbox.spec("true", **changes)
    runner.start(leg, now=datetime.now(UTC))

    wait_for(
        lambda: runner.status(leg.run, 1, now=datetime.now(UTC)),
        lambda status: status.phase == "ended",
    )
    close_view(sandbox.api, sandbox.namespace)  # another process, which saw nothing of it
    found = runner.status(leg.run, 1, now=datetime.now(UTC))

    assert (found.end, found.started_at, found.measured) == (LegEnd.FAILED, None, True)
    assert word in found.reason


def test_a_leg_that_asks_for_more_than_a_pod_may_have_is_given_up_and_costs_nothing(
    sandbox: Sandbox,
) -> None:
    sandbox.apply(*moved(shipped("kubernetes/limit-range.yaml"), to=sandbox.namespace))
    runner = sandbox.runner(hopeless_after_s=2)
    leg = sandbox.spec("true", gpus=3)
    runner.start(leg, now=datetime.now(UTC))

    found = wait_for(
        lambda: runner.status(leg.run, 1, now=datetime.now(UTC)),
        lambda status: status.phase == "ended",
    )

    assert (found.end, found.started_at, found.measured) == (LegEnd.FAILED, None, True)
    assert "maximum nvidia.com/gpu usage per Pod is 1" in found.reason


def test_a_running_leg_whose_deadline_somebody_moves_is_given_its_own_back(
    sandbox: Sandbox,
) -> None:
    leg = sandbox.start()
    sandbox.until(leg, State.RUNNING)

    sandbox.kubectl("patch", "job", leg.name, "-p", '{"spec": {"activeDeadlineSeconds": 99999}}')
    wait_for(
        lambda: (sandbox.state(leg), sandbox.job(leg))[1],
        lambda job: job["spec"]["activeDeadlineSeconds"] < leg.limit_s + 120,
    )

    assert sandbox.state(leg).state is State.RUNNING


def test_a_leg_without_a_node_waits_for_one_and_withdraws_when_it_is_too_late(
    sandbox: Sandbox,
) -> None:
    start_by = datetime.now(UTC) + timedelta(seconds=20)
    leg = sandbox.start("true", capacity=Capacity.SPOT, start_by=start_by)

    waiting = wait_for(
        lambda: sandbox.runner().status(leg.run, 1, now=datetime.now(UTC)),
        lambda status: status.no_node or status.phase == "ended",
    )
    found = sandbox.until(leg)

    assert (waiting.phase, waiting.no_node) == ("waiting", True)
    assert "no node fits" in waiting.reason
    assert (found.end, found.started_at) == (LegEnd.WITHDRAWN, None)


def test_the_cluster_itself_starts_no_leg_too_late(sandbox: Sandbox) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": sandbox.namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    sandbox.apply(quota)
    start_by = datetime.now(UTC) + timedelta(seconds=2)
    leg = sandbox.start("true", start_by=start_by, limit_s=600)
    wait_for(lambda: datetime.now(UTC), lambda now: now > start_by)

    # Nobody looks after the leg: only the quota is lifted, and the Job's controller tries again.
    sandbox.kubectl("delete", "resourcequota", "none")
    events = wait_for(
        lambda: sandbox.kubectl("get", "events", "-o", "jsonpath={.items[*].message}").stdout,
        lambda text: "not to start that late" in text,
        within_s=90,
    )

    assert sandbox.pods_of(leg) == []
    assert "lowtide-leg-starts-in-time" in events


def test_a_leg_waits_for_the_namespace_s_quota_and_says_for_what(sandbox: Sandbox) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "one", "namespace": sandbox.namespace},
        "spec": {"hard": {"requests.nvidia.com/gpu": "1"}},
    }
    sandbox.apply(quota)
    first = sandbox.start(gpus=1)
    sandbox.until(first, State.RUNNING)
    second = sandbox.start("true", gpus=1)

    waiting = sandbox.until(second, State.WAITING_FOR_QUOTA)

    (shortage,) = waiting.shortages
    assert (shortage.resource, shortage.used) == ("requests.nvidia.com/gpu", "1")
    sandbox.runner().stop(first.run, 1)
    assert sandbox.until(second).end is LegEnd.COMPLETED


def test_a_job_that_outlives_its_hold_is_ended_by_the_cluster_alone(sandbox: Sandbox) -> None:
    leg = sandbox.start(HEEDS + "sleep 1000 & wait", limit_s=4)
    # From here on nothing of ours is alive: only the API server is asked, by the test.

    job = wait_for(
        lambda: sandbox.job(leg), lambda job: "Failed" in str(job["status"].get("conditions"))
    )
    (pod,) = sandbox.pods_of(leg)
    found = sandbox.until(leg)

    assert "DeadlineExceeded" in str(job["status"])
    assert FINALIZER in pod["metadata"]["finalizers"]
    assert found.started_at is not None
    assert found.ended_at is not None
    assert (found.end, found.measured) == (LegEnd.DEADLINE, True)
    # Without anybody to see its real start, its start-up counts against it, never for it.
    assert (found.ended_at - found.started_at).total_seconds() <= leg.limit_s


def test_a_leg_s_pod_goes_once_it_is_forgotten_and_its_log_stays_for_a_while(
    sandbox: Sandbox,
) -> None:
    leg = sandbox.start("echo done")
    sandbox.until(leg)
    runner = sandbox.runner()

    runner.forget(leg.run, 1)

    (pod,) = sandbox.pods_of(leg)
    assert FINALIZER not in pod["metadata"].get("finalizers", [])
    assert sandbox.job(leg)["spec"]["ttlSecondsAfterFinished"] == 86_400
    assert runner.legs() == ()
    assert runner.logs(leg.run, 1) == ("done",)
    # Asked for again after all that, it still starts no second program.
    runner.start(leg, now=datetime.now(UTC))
    assert len(sandbox.pods_of(leg)) == 1


def test_the_same_leg_with_other_work_is_refused_also_by_a_process_that_never_saw_it(
    sandbox: Sandbox,
) -> None:
    leg = sandbox.start()
    other = sandbox.spec("echo other", run=leg.run)
    close_view(sandbox.api, sandbox.namespace)

    with pytest.raises(ConflictError, match="something else"):
        sandbox.runner().start(other, now=datetime.now(UTC))


def test_a_namespace_with_a_leg_that_nobody_settled_can_be_deleted_once_it_is(
    sandbox: Sandbox,
) -> None:
    leg = sandbox.start()
    sandbox.until(leg, State.RUNNING)
    sandbox.bed.kubectl("delete", "namespace", sandbox.namespace, "--wait=false")
    found = sandbox.until(leg)

    sandbox.runner().forget(leg.run, 1)

    assert (found.end, found.measured) == (LegEnd.PREEMPTED, True)
    wait_for(
        lambda: sandbox.bed.kubectl("get", "namespace", sandbox.namespace).returncode,
        lambda code: code != 0,
    )


def test_the_default_pod_runs_in_a_restricted_namespace(sandbox: Sandbox) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with open_sandbox(sandbox.bed, labels=labels) as restricted:
        leg = restricted.start("id -u")

        found = restricted.until(leg)

        assert found.end is LegEnd.COMPLETED
        assert restricted.runner().logs(leg.run, 1) == ("65532",)


def test_checkpoints_outlive_the_leg_in_the_run_s_own_folder(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("checkpoints")
    folder.chmod(0o777)
    runner = sandbox.runner(checkpoint_folder=str(folder))
    leg = sandbox.spec("echo epoch-3 > /checkpoints/latest")

    runner.start(leg, now=datetime.now(UTC))
    sandbox.until(leg)

    assert (folder / leg.run / "latest").read_text() == "epoch-3\n"


def test_a_leg_of_which_all_trace_is_gone_is_lost_and_counts_for_as_long_as_it_can_have_run(
    sandbox: Sandbox,
) -> None:
    leg = sandbox.start(limit_s=600)
    seen = sandbox.until(leg, State.RUNNING)
    sandbox.kubectl("delete", "jobs", "--all", "--wait=false", "--cascade=orphan")
    strip = '[{"op": "remove", "path": "/metadata/finalizers"}]'
    for pod in sandbox.pods_of(leg):
        sandbox.kubectl("patch", "pod", pod["metadata"]["name"], "--type=json", "-p", strip)
    sandbox.kubectl("delete", "pods", "--all", "--grace-period=1")

    found = sandbox.until(leg)

    assert (found.state, found.end, found.measured) == (State.GONE, LegEnd.LOST, False)
    assert found.started_at == seen.started_at
    assert found.ended_at is not None
    assert found.ended_at <= datetime.now(UTC)
    # Said once, it stays; and it is forgotten like any other.
    assert sandbox.state(leg) == found
    sandbox.runner().forget(leg.run, 1)
    assert sandbox.state(leg).state is State.ABSENT


def test_what_the_bed_says_about_itself_is_so(sandbox: Sandbox) -> None:
    bed = open_bed(sandbox.bed.kubeconfig, is_own=sandbox.bed.is_own)

    assert bed.why_no_pods is None
    assert sandbox.api.get(jobs_path(sandbox.namespace))["items"] == []
    assert FOR_EVER.startswith(HEEDS)
