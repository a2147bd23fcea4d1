"""How much of a real cluster is free, and "ten of these at once?"."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from apps.cli.main import run
from blocks.cluster.quota import read_elsewhere, read_pools
from lowtide.forecast.ranges import Range
from lowtide.job import Priority
from lowtide.leg_state import State
from lowtide.quota import OneJob, QuotaAnswer, answer_quota, tightest
from tests.cluster.sandbox import Sandbox, moved, open_sandbox, shipped, wait_for, with_queues

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.usefixtures("pods", "kueue")]

FOUR_H = 4 * 3600.0
LLM = OneJob(
    demand={"gpus": Decimal(1), "memory_gib": Decimal("0.0625")},
    time_s=Range(p10=FOUR_H, p50=FOUR_H, p90=FOUR_H),
    price=lambda _start, time_s: Fraction(time_s) / 3600 / 4,
)


@pytest.fixture
def quota(sandbox: Sandbox) -> Sandbox:
    """A namespace with the shipped queues and quotas."""
    sandbox.apply(*moved(shipped("kubernetes/quotas.yaml"), to=sandbox.namespace))
    return with_queues(sandbox)


def free(sandbox: Sandbox, priority: Priority = Priority.NORMAL) -> dict[str, Decimal]:
    rows = tightest(read_pools(sandbox.runner(), priority))
    return {row.name: row.amount.free for row in rows}


def test_ten_models_at_once_in_a_namespace_of_two_gpus(quota: Sandbox) -> None:
    pools = wait_for(
        lambda: read_pools(quota.runner(), Priority.NORMAL), lambda found: len(found) == 2
    )

    found = answer_quota(pools, LLM, asked=10, now=datetime.now(UTC))

    assert isinstance(found, QuotaAnswer)
    assert (found.now, found.waiting, found.short) == (2, 8, "gpus")
    assert (found.cost_usd.p50, found.now_cost_usd.p50) == (Decimal(10), Decimal(2))


def test_the_command_answers_from_the_cluster_s_own_books(
    quota: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path))
    monkeypatch.setenv("LOWTIDE_NAMESPACE", quota.namespace)
    monkeypatch.setenv("LOWTIDE_CLUSTER", json.dumps({"kubeconfig": str(quota.bed.kubeconfig)}))
    wait_for(lambda: free(quota), lambda found: found.get("gpus") == 2)
    ask = ["--set", "where=kubernetes", "--set", "image=r/i:1"]

    code = run(["quota", "--jobs", "10", "examples/llm/four-gpu-hours.yaml", *ask, "--json"])
    found = json.loads(capsys.readouterr().out)

    assert code == 0
    assert (found["answer"]["now"], found["answer"]["waiting"]) == (2, 8)
    assert found["answer"]["cost_usd"]["p50"] == "10.000000"
    assert "ResourceQuota training, ClusterQueue" in found["based_on"]


def test_what_runs_and_what_waits_is_counted(quota: Sandbox) -> None:
    legs = [quota.start(gpus=1) for _ in range(2)]
    for leg in legs:
        quota.until(leg, State.RUNNING)
    waiting = quota.start(gpus=1)
    quota.until(waiting, State.QUEUED)

    pools = {pool.name: pool for pool in read_pools(quota.runner(), Priority.NORMAL)}
    (kueue,) = [pool for name, pool in pools.items() if name.startswith("ClusterQueue")]

    assert free(quota)["gpus"] == 0
    assert pools["ResourceQuota training"].amounts["gpus"].used == 2
    assert (kueue.amounts["gpus"].used, kueue.amounts["gpus"].queued) == (2, 1)


def test_background_jobs_have_less(quota: Sandbox) -> None:
    wait_for(lambda: free(quota), lambda found: found.get("gpus") == 2)

    assert free(quota, Priority.BACKGROUND)["gpus"] == 1


def test_another_namespace_with_room_is_named(quota: Sandbox) -> None:
    with open_sandbox(quota.bed) as spare:
        spare.apply(*moved(shipped("kubernetes/quotas.yaml"), to=spare.namespace)[:1])
        runner = quota.runner()

        places = wait_for(
            lambda: {
                place.name: place.fits
                for place in read_elsewhere(runner, Priority.NORMAL, LLM.demand)
            },
            lambda found: spare.namespace in found,
        )

    assert places[spare.namespace] == 2
    assert quota.namespace not in places
