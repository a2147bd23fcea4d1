"""Legs on a real cluster that is hard to reach: one program, the right end, whatever fails."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from blocks.cluster.doctor import findings
from blocks.cluster.mirror import Pace
from blocks.cluster.runner import KubernetesCluster
from blocks.cluster.view import close_view, pods_path
from lowtide.errors import BadInputError, UnavailableError
from lowtide.legs import LegEnd, LegStatus
from tests.cluster.proxy import Proxy, proxied
from tests.cluster.sandbox import FOR_EVER, Sandbox, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.usefixtures("pods")]

# What a test waits for is faster than in life; what must not happen meanwhile is slower.
SCALED = Pace(
    watch_s=10, silence_s_max=2, backoff_s=0.02, backoff_s_max=0.2, trusted_s=120, first_s=120
)
# A minute without an API server is some seconds here.
IMPATIENT = replace(SCALED, trusted_s=0.3, first_s=5)


@pytest.fixture
def proxy(sandbox: Sandbox) -> Iterator[Proxy]:
    """What stands between the runner and the API server."""
    with proxied(sandbox.api) as running:
        yield running


@pytest.fixture
def runner(sandbox: Sandbox, proxy: Proxy, tmp_path: Path) -> Iterator[KubernetesCluster]:
    """A runner that reaches the cluster through the proxy only."""
    found = sandbox.runner(kubeconfig=proxy.kubeconfig(tmp_path / "kubeconfig")).at_pace(SCALED)
    yield found
    close_view(found.api, sandbox.namespace)


@pytest.fixture
def impatient(runner: KubernetesCluster) -> KubernetesCluster:
    """The same runner, which soon says that contact is lost."""
    return runner.at_pace(IMPATIENT)


def status_of(runner: KubernetesCluster, run: str) -> Callable[[], LegStatus]:
    """Ask as a flow does: no answer is no news."""
    last = LegStatus(phase="absent")

    def look() -> LegStatus:
        nonlocal last
        with suppress(UnavailableError):
            last = runner.status(run, 1, now=datetime.now(UTC))
        return last

    return look


def ended(status: LegStatus) -> bool:
    return status.phase == "ended"


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_leg_is_started_though_the_first_answers_are_errors(
    sandbox: Sandbox, proxy: Proxy, runner: KubernetesCluster, code: int
) -> None:
    runner.legs()
    proxy.faults.codes.extend([code] * 2)
    leg = sandbox.spec("exit 0")

    runner.start(leg, now=datetime.now(UTC))

    assert wait_for(status_of(runner, leg.run), ended).end is LegEnd.COMPLETED


@pytest.mark.parametrize("code", [500, 504])
def test_a_lost_answer_is_asked_for_again_and_the_program_starts_once(
    sandbox: Sandbox, proxy: Proxy, runner: KubernetesCluster, code: int
) -> None:
    proxy.faults.after.append(code)
    leg = sandbox.spec("exit 0")

    runner.start(leg, now=datetime.now(UTC))
    found = wait_for(status_of(runner, leg.run), ended)

    assert found.end is LegEnd.COMPLETED
    assert proxy.faults.seen.count(f"POST /apis/batch/v1/namespaces/{sandbox.namespace}/jobs") == 2
    assert len(sandbox.pods_of(leg)) == 1


def test_a_leg_is_followed_by_watches_that_are_cut_all_the_time(
    sandbox: Sandbox, proxy: Proxy, runner: KubernetesCluster
) -> None:
    proxy.faults.cut_after_s = 0.3
    leg = sandbox.spec("sleep 2")
    runner.start(leg, now=datetime.now(UTC))

    found = wait_for(status_of(runner, leg.run), ended)

    assert (found.end, found.measured) == (LegEnd.COMPLETED, True)
    watches = [seen for seen in proxy.faults.seen if seen.startswith("WATCH")]
    lists = [seen for seen in proxy.faults.seen if seen.endswith("/pods") and "GET" in seen]
    assert len(watches) > 3  # more than one for each kind
    assert len(lists) == 1


def test_a_forgotten_history_is_listed_again(
    sandbox: Sandbox, proxy: Proxy, runner: KubernetesCluster
) -> None:
    leg = sandbox.spec(FOR_EVER)
    runner.start(leg, now=datetime.now(UTC))
    wait_for(status_of(runner, leg.run), lambda status: status.phase == "running")
    lists = f"GET {pods_path(sandbox.namespace)}"
    before = proxy.faults.seen.count(lists)

    # Each kind has a watch of its own: the pods' next one, begun when this one falls silent.
    proxy.faults.gone.add("pods")
    wait_for(lambda: proxy.faults.seen.count(lists), lambda count: count > before)
    runner.stop(leg.run, 1)

    assert wait_for(status_of(runner, leg.run), ended).end is LegEnd.STOPPED
    assert not proxy.faults.gone


def test_while_the_api_server_is_gone_a_leg_goes_on_and_its_end_is_found_afterwards(
    sandbox: Sandbox, proxy: Proxy, impatient: KubernetesCluster
) -> None:
    runner = impatient
    leg = sandbox.spec("sleep 2")
    runner.start(leg, now=datetime.now(UTC))
    wait_for(status_of(runner, leg.run), lambda status: status.phase == "running")

    proxy.faults.is_down = True
    with pytest.raises(UnavailableError):  # noqa: PT012 - it may take a moment to be noticed
        while True:
            runner.status(leg.run, 1, now=datetime.now(UTC))
    wait_for(lambda: sandbox.job(leg), lambda job: "Complete" in str(job["status"]))
    proxy.faults.is_down = False

    found = wait_for(status_of(runner, leg.run), ended)
    assert (found.end, found.measured) == (LegEnd.COMPLETED, True)


def test_without_an_api_server_nothing_is_started_and_the_caller_is_told(
    sandbox: Sandbox, proxy: Proxy, impatient: KubernetesCluster
) -> None:
    runner = impatient
    proxy.faults.is_down = True
    leg = sandbox.spec()

    with pytest.raises(UnavailableError):
        runner.start(leg, now=datetime.now(UTC))

    assert sandbox.pods_of(leg) == []


def test_a_stop_that_meets_somebody_else_s_change_is_done_all_the_same(
    sandbox: Sandbox, proxy: Proxy, runner: KubernetesCluster
) -> None:
    leg = sandbox.spec(FOR_EVER)
    runner.start(leg, now=datetime.now(UTC))
    wait_for(status_of(runner, leg.run), lambda status: status.phase == "running")
    # The watches are cut: what the runner knows of the Job is older than the change.
    proxy.faults.cut_after_s = 0.05
    sandbox.kubectl("annotate", "job", leg.name, "somebody=else")

    runner.stop(leg.run, 1)

    assert wait_for(status_of(runner, leg.run), ended).end is LegEnd.STOPPED


def test_a_missing_right_is_told_as_such_and_not_waited_for(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "nobody", "namespace": sandbox.namespace},
    }
    sandbox.apply(account)
    token = sandbox.kubectl("create", "token", "nobody").stdout.strip()
    config = sandbox.kubectl("config", "view", "--raw", "--minify").stdout
    path = tmp_path / "kubeconfig"
    path.write_text(_with_token(config, token))
    runner = sandbox.runner(kubeconfig=path).at_pace(SCALED)

    with pytest.raises(Exception, match="cannot list resource") as caught:
        runner.status("r-0123456789ab", 1, now=datetime.now(UTC))

    close_view(runner.api, sandbox.namespace)
    assert not isinstance(caught.value, UnavailableError | BadInputError)
    assert "infra/kubernetes/flows.yaml" in str(caught.value)


def _with_token(config: str, token: str) -> str:
    document = yaml.safe_load(config)
    document["users"][0]["user"] = {"token": token}
    return yaml.safe_dump(document)


def test_the_doctor_says_what_an_account_may_not_do_and_that_nobody_answers(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "nobody", "namespace": sandbox.namespace},
    }
    sandbox.apply(account)
    token = sandbox.kubectl("create", "token", "nobody").stdout.strip()
    config = sandbox.kubectl("config", "view", "--raw", "--minify").stdout
    path = tmp_path / "kubeconfig"
    path.write_text(_with_token(config, token))
    unreachable = tmp_path / "unreachable"
    unreachable.write_text(_elsewhere(config))

    (denied,) = findings(sandbox.runner(kubeconfig=path))
    (silent,) = findings(sandbox.runner(kubeconfig=unreachable))

    assert "we may not create jobs" in denied
    assert "does not answer" in silent


def _elsewhere(config: str) -> str:
    document = yaml.safe_load(config)
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    text: str = yaml.safe_dump(document)
    return text
