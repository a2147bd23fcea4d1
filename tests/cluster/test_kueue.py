"""Legs in Kueue's queue: never more than the quota, the urgent first, and no leg ever started twice."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from blocks.cluster.doctor import findings
from blocks.cluster.view import close_view, workloads_path
from lowtide.errors import BadInputError
from lowtide.leg_state import State
from lowtide.legs import LegEnd, LegSpec
from lowtide.objects import condition, part
from tests.cluster.sandbox import (
    HEEDS,
    UNTIL_RELEASED,
    Sandbox,
    moved,
    shipped,
    wait_for,
    with_queues,
)

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.usefixtures("pods", "kueue")]

GPUS = 2


@pytest.fixture
def queued(sandbox: Sandbox, tmp_path: Path) -> Sandbox:
    """A namespace with the shipped queues and quotas, and a folder from which legs are released."""
    tmp_path.chmod(0o777)
    return replace(with_queues(sandbox), folder=tmp_path)


def running(sandbox: Sandbox, legs: Sequence[LegSpec]) -> set[str]:
    return {leg.run for leg in legs if sandbox.state(leg).state is State.RUNNING}


def states(sandbox: Sandbox, legs: Sequence[LegSpec]) -> list[State]:
    return [sandbox.state(leg).state for leg in legs]


def test_of_six_jobs_two_run_at_a_time_and_an_urgent_one_that_comes_last_runs_first(
    queued: Sandbox,
) -> None:
    legs = [queued.start(UNTIL_RELEASED, gpus=1) for _ in range(5)]
    wait_for(lambda: len(running(queued, legs)), lambda count: count == GPUS)
    urgent = queued.start(UNTIL_RELEASED, gpus=1, priority="urgent")
    queued.until(urgent, State.RUNNING)
    when_urgent_runs = wait_for(
        lambda: states(queued, legs), lambda found: found.count(State.RUNNING) < GPUS
    )

    at_once: list[int] = []

    def ends() -> list[LegEnd | None]:
        found = [queued.state(leg) for leg in (urgent, *legs)]
        at_once.append(sum(state.phase == "running" for state in found))
        return [state.end for state in found]

    queued.release(urgent, *legs)
    ended = wait_for(ends, lambda found: None not in found)

    # It took the place of one; the three that waited before it wait on.
    assert when_urgent_runs.count(State.QUEUED) == 3
    assert ended == [LegEnd.COMPLETED, *ended[1:]]
    assert (ended.count(LegEnd.PREEMPTED), ended.count(LegEnd.COMPLETED)) == (1, 5)
    # Where one gives way, it may still be ending while the next one begins.
    assert max(at_once) <= GPUS + 1


def test_inside_a_class_the_first_to_come_is_the_first_to_run(queued: Sandbox) -> None:
    holders = [queued.start(gpus=1) for _ in range(GPUS)]
    wait_for(lambda: len(running(queued, holders)), lambda count: count == GPUS)
    waiters: list[LegSpec] = []
    for place in (1, 2, 3):
        waiters.append(queued.start("true", gpus=1))
        # Kueue makes the Workload a moment later, and orders them by whole seconds of that.
        wait_for(
            lambda: queued.state(waiters[-1]).position, lambda found, place=place: found == place
        )
        time.sleep(2.1)

    queued.runner().stop(holders[0].run, 1)
    starts = [queued.until(leg).started_at for leg in waiters]

    assert None not in starts
    assert starts == sorted(starts, key=str)


def go_on(sandbox: Sandbox, legs: list[LegSpec], completed: set[str]) -> bool:
    """Do what flows do: a leg that gave way is followed by the next one; true when all is done."""
    for index, leg in enumerate(legs):
        end = sandbox.state(leg).end
        if end is LegEnd.COMPLETED:
            completed.add(leg.run)
        elif end is not None:
            assert end in {LegEnd.PREEMPTED, LegEnd.WITHDRAWN}
            legs[index] = replace(leg, leg=leg.leg + 1)
            sandbox.runner().start(legs[index], now=datetime.now(UTC))
    return len(completed) == len(legs)


def test_normal_and_background_jobs_share_the_quota_and_every_admitted_one_gets_its_pod(
    queued: Sandbox,
) -> None:
    queued.apply(*moved(shipped("kubernetes/quotas.yaml"), to=queued.namespace))
    works = HEEDS + "sleep 3 & wait $!"

    normal = [queued.start(works, gpus=1) for _ in range(2)]
    background = [queued.start(works, gpus=1, priority="background") for _ in range(2)]
    legs, completed, at_once = [*normal, *background], set[str](), set[int]()

    def all_done() -> bool:
        at_once.add(len(running(queued, legs[2:])))
        return go_on(queued, legs, completed)

    wait_for(all_done, bool)
    events = queued.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}").stdout

    assert "FailedCreate" not in events
    assert max(at_once) == 1


def test_background_jobs_give_way_to_normal_ones_and_complete_in_the_end(
    queued: Sandbox,
) -> None:
    queued.apply(*moved(shipped("kubernetes/quotas.yaml"), to=queued.namespace))
    background = [queued.start(UNTIL_RELEASED, gpus=1, priority="background") for _ in range(2)]
    wait_for(lambda: len(running(queued, background)), lambda count: count == 1)

    normal = [queued.start(UNTIL_RELEASED, gpus=1) for _ in range(2)]
    wait_for(lambda: len(running(queued, normal)), lambda count: count == GPUS)
    queued.release(*normal, *background)
    legs, completed = [*normal, *background], set[str]()
    wait_for(lambda: go_on(queued, legs, completed), bool)

    assert [leg.leg for leg in legs[:2]] == [1, 1]
    assert max(leg.leg for leg in legs[2:]) > 1


def test_a_preempted_leg_is_never_started_again_though_its_quota_is_free(
    queued: Sandbox,
) -> None:
    legs = [queued.start(gpus=1, limit_s=600) for _ in range(GPUS)]
    wait_for(lambda: len(running(queued, legs)), lambda count: count == GPUS)
    urgent = queued.start(HEEDS + "sleep 1 & wait $!", gpus=1, priority="urgent")
    # From here on nothing of ours is alive: only the API server is asked, by the test.
    wait_for(
        lambda: [queued.job(leg) for leg in legs],
        lambda jobs: any(part(job, "spec")["suspend"] for job in jobs),
    )
    wait_for(lambda: queued.job(urgent), lambda job: bool(condition(job, "Complete")))
    time.sleep(5)  # Kueue would have resumed it by now: it tries, and is refused

    (victim,) = [leg for leg in legs if part(queued.job(leg), "spec")["suspend"]]
    assert len(queued.pods_of(victim)) == 1
    close_view(queued.api, queued.namespace)  # a new process looks, as `reconcile` would
    found = queued.until(victim)
    assert (found.end, found.exit_code, found.measured) == (LegEnd.PREEMPTED, 143, True)
    # It gives its place back, so that others are not kept waiting by it.
    workloads = wait_for(
        lambda: queued.api.get(workloads_path(queued.namespace))["items"],
        lambda items: any(not part(item, "spec").get("active", True) for item in items),
    )
    assert len(workloads) == 3


def test_kueue_itself_frees_the_quota_of_a_leg_that_nobody_watches(queued: Sandbox) -> None:
    leg = queued.start(gpus=1, bound_s=20)

    found = queued.until(leg)

    assert (found.state, found.end, found.measured) == (State.DEADLINE, LegEnd.DEADLINE, True)


def test_a_queued_leg_is_withdrawn_when_it_is_stopped_lowered_or_too_late(
    queued: Sandbox,
) -> None:
    holders = [queued.start(gpus=1) for _ in range(GPUS)]
    wait_for(lambda: len(running(queued, holders)), lambda count: count == GPUS)
    soon = datetime.now(UTC) + timedelta(seconds=2)
    late = queued.start(gpus=1, start_by=soon)
    stopped, lowered, raised = (queued.start(gpus=1, limit_s=60) for _ in range(3))
    runner = queued.runner()
    for leg in (stopped, lowered, raised):
        queued.until(leg, State.QUEUED)

    runner.stop(stopped.run, 1)
    in_force_s = [
        runner.set_limit(leg.run, 1, limit_s=s) for leg, s in ((lowered, 5), (raised, 90))
    ]
    ends = [queued.until(leg).end for leg in (stopped, lowered, late)]
    pods = [queued.pods_of(leg) for leg in (stopped, lowered, late)]
    # As a flow settles them: one withdrawn before Kueue saw it would else still wait for its turn.
    for leg in (stopped, lowered, late):
        runner.forget(leg.run, 1)
    for holder in holders:
        runner.stop(holder.run, 1)
    queued.until(raised, State.RUNNING)

    assert in_force_s == [0.0, 90]
    assert ends == [LegEnd.WITHDRAWN] * 3
    assert pods == [[], [], []]
    # The raised limit is put in force as soon as it may be: when the leg has started.
    queued.until(raised, State.RUNNING)
    assert 90 <= part(queued.job(raised), "spec")["activeDeadlineSeconds"] < 100


def test_a_queued_leg_whose_job_somebody_changes_may_not_start_any_more(
    queued: Sandbox,
) -> None:
    holders = [queued.start(gpus=1) for _ in range(GPUS)]
    wait_for(lambda: len(running(queued, holders)), lambda count: count == GPUS)
    leg = queued.start(gpus=1)
    queued.until(leg, State.QUEUED)

    patch = '{"spec": {"activeDeadlineSeconds": 99999}}'
    queued.kubectl("patch", "job", leg.name, "-p", patch)
    found = queued.until(leg)

    assert (found.end, found.started_at) == (LegEnd.WITHDRAWN, None)


def test_a_leg_for_a_queue_that_is_not_there_is_refused(queued: Sandbox) -> None:
    runner = queued.runner(queue="nowhere")

    with pytest.raises(BadInputError, match="no such LocalQueue"):
        runner.start(queued.spec(), now=datetime.now(UTC))

    assert runner.legs() == ()


@pytest.mark.parametrize("policy", ["lowtide-leg-starts-once", "lowtide-leg-starts-in-time"])
def test_a_leg_is_not_queued_where_the_cluster_might_start_it_twice_or_too_late(
    queued: Sandbox, policy: str
) -> None:
    runner = queued.runner(admission_policies=(f"{policy}-missing",))

    with pytest.raises(BadInputError, match="there is no such policy"):
        runner.start(queued.spec(), now=datetime.now(UTC))

    assert runner.legs() == ()


def test_nobody_resumes_a_leg_that_was_suspended_while_it_ran(queued: Sandbox) -> None:
    leg = queued.start(gpus=1)
    queued.until(leg, State.RUNNING)

    suspended = queued.kubectl("patch", "job", leg.name, "-p", '{"spec": {"suspend": true}}')
    resumed = queued.kubectl("patch", "job", leg.name, "-p", '{"spec": {"suspend": false}}')

    assert suspended.returncode == 0
    assert "a lowtide leg starts once" in resumed.stderr


def test_the_doctor_finds_nothing_wrong_here_and_names_what_is_missing_elsewhere(
    queued: Sandbox,
) -> None:
    well = findings(queued.runner())
    ill = findings(queued.runner(queue="nowhere", admission_policies=("none",)))

    assert well == ()
    assert len(ill) == 2
    assert "no such LocalQueue" in ill[0]
    assert "no such policy" in ill[1]
