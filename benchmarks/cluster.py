"""Legs on a real cluster beside the bare client and Prefect's own block, and a thousand at once.

    python -m benchmarks.cluster            ten real 5-second jobs, three ways
    python -m benchmarks.cluster --scale    100, then 1,000 jobs on pretended nodes, one supervisor

Each way runs in a process of its own, on the same cluster, one after another. Requests of the first are
counted by the API server (`apiserver_request_total`, jobs and pods, the controllers' own included), of
the second by the supervisor itself. Prefect's block is that of `prefect-kubernetes`, which the
development environment has.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks._cluster_peers import IMAGE, LASTS_S, NAMESPACE, Measured, measured
from blocks.cluster.connect import connect
from blocks.cluster.runner import KubernetesCluster
from infra.testcluster import launcher
from infra.testcluster.programs import LASTS, PRETENDED
from lowtide.legs import LegSpec
from lowtide.site import KubernetesSettings

ROOT = Path(__file__).parents[1]
JOBS = 10
NEAR = 1.3
RSS_MB_MAX = 500
NOTICED_S_MAX = 2.0
FAKE_LASTS = "120s"
# Its own server is slow to start, and answers 503 while its database is locked.
PEER_SETTINGS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "503",
    "PREFECT_CLIENT_MAX_RETRIES": "10",
}


def main() -> int:
    """Run what the arguments say, and say whether the lines are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", action="store_true", help="a thousand jobs instead of ten")
    parser.add_argument("--role", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        role, kubeconfig, jobs = options.role
        print(json.dumps(ROLES[role](Path(kubeconfig), int(jobs))))
        return 0
    return scale() if options.scale else side_by_side()


def side_by_side() -> int:
    """Run ten jobs three ways."""
    with bench() as bed:
        rows = {
            "bare client": bed.measure(("-m", "benchmarks._cluster_peers", "bare"), JOBS),
            "lowtide": bed.measure(("-m", "benchmarks.cluster", "--role", "lowtide"), JOBS),
            "prefect-kubernetes": bed.measure(
                ("-m", "benchmarks._cluster_peers", "prefect-kubernetes"), JOBS
            ),
        }
    print(f"{'':20}{'elapsed, s':>12}{'requests':>10}{'resident, MB':>14}")
    for who, row in rows.items():
        print(f"{who:20}{row['elapsed_s']:12.1f}{row['requests']:10.0f}{row['rss_mb']:14.0f}")
    bare, ours = rows["bare client"], rows["lowtide"]
    return verdicts(
        {
            f"{what} within {NEAR} of the bare client": ours[what] / bare[what] <= NEAR
            for what in ("elapsed_s", "requests")
        }
    )


def scale() -> int:
    """Supervise 100, then 1,000 jobs."""
    command = ("-m", "benchmarks.cluster", "--role", "supervise")
    with bench(kwok=True) as bed:
        bed.pretend_nodes(10)
        few, many = (bed.measure(command, count) for count in (100, 1_000))
    print(f"{'jobs':>6}{'resident, MB':>14}{'p50, s':>8}{'p99, s':>8}{'requests/job':>14}")
    for row in (few, many):
        print(
            f"{row['jobs']:6}{row['rss_mb']:14.0f}{row['noticed_s_p50']:8.2f}"
            f"{row['noticed_s_p99']:8.2f}{row['requests'] / row['jobs']:14.2f}"
        )
    many_each, few_each = (row["requests"] / row["jobs"] for row in (many, few))
    return verdicts(
        {
            f"resident under {RSS_MB_MAX} MB": many["rss_mb"] < RSS_MB_MAX,
            f"an end is noticed within {NOTICED_S_MAX} s (p99)": (
                many["noticed_s_p99"] <= NOTICED_S_MAX
            ),
            "requests per job no more at 1,000 than at 100": many_each <= few_each,
        }
    )


def verdicts(lines: Mapping[str, bool]) -> int:
    """Print each line with met or MISSED, and return the exit code."""
    for line, is_met in lines.items():
        print(f"{'met   ' if is_met else 'MISSED'}  {line}")
    return 0 if all(lines.values()) else 1


class Bed:
    """A cluster to measure on."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.api = connect(kubeconfig, None)

    def measure(self, command: tuple[str, ...], jobs: int) -> Measured:
        """Run one way in a process of its own, and add what the API server counted."""
        before = self._requests()
        with tempfile.TemporaryDirectory() as home:
            done = subprocess.run(
                [sys.executable, *command, str(self.kubeconfig), str(jobs)],
                capture_output=True,
                text=True,
                check=False,
                cwd=ROOT,
                env={
                    **os.environ,
                    "PREFECT_HOME": home,
                    **PEER_SETTINGS,
                },
            )
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
        row: Measured = json.loads(done.stdout.splitlines()[-1])
        row.setdefault("requests", self._requests() - before)
        self._clear()
        return row

    def pretend_nodes(self, count: int) -> None:
        """Add nodes that run nothing and say that they do."""
        amounts = {"cpu": "1000", "memory": "1000Gi", "pods": "500"}
        for number in range(count):
            metadata = {
                "name": f"pretended-{number}",
                "annotations": {PRETENDED: "fake"},
                "labels": {"pretended": "true"},
            }
            node = {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": metadata,
                "spec": {"taints": [{"key": "pretended", "effect": "NoSchedule"}]},
                "status": {"capacity": amounts, "allocatable": amounts},
            }
            self.api.create("/api/v1/nodes", node)

    def _requests(self) -> float:
        """Count the requests on jobs and pods that the API server has answered."""
        pattern = re.compile(r'^apiserver_request_total\{.*resource="(?:jobs|pods)".*\} (\S+)$')
        lines = self.api.text("/metrics").splitlines()
        return sum(float(found[1]) for line in lines if (found := pattern.match(line)))

    def _clear(self) -> None:
        path = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
        for job in self.api.get(path)["items"]:
            self.api.delete(f"{path}/{job['metadata']['name']}", uid=job["metadata"]["uid"])


@contextmanager
def bench(*, kwok: bool = False) -> Generator[Bed]:
    """Run a cluster for the length of a `with` block."""
    with launcher.cluster(f"bench-{os.getpid()}", kwok=kwok) as cluster:
        bed = Bed(cluster.kubeconfig)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        bed.api.create("/api/v1/namespaces", namespace)
        normal = {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "normal"},
            "value": 100,
        }
        bed.api.create("/apis/scheduling.k8s.io/v1/priorityclasses", normal)
        time.sleep(2)  # the namespace gets its service account
        yield bed


def run_lowtide(kubeconfig: Path, jobs: int) -> Measured:
    """Start the jobs as legs, follow them to their end, and settle them."""
    runner, specs = legs(kubeconfig, jobs, command=("sleep", str(LASTS_S)))
    started = time.monotonic()
    for spec in specs:
        runner.start(spec, now=datetime.now(UTC))
    waiting = list(specs)
    while waiting:
        waiting = [spec for spec in waiting if ended_at(runner, spec) is None]
        time.sleep(0.2)
    elapsed_s = time.monotonic() - started
    for spec in specs:
        runner.forget(spec.run, spec.leg)
    return measured(started, jobs) | {"elapsed_s": elapsed_s}


def run_supervisor(kubeconfig: Path, jobs: int) -> Measured:
    """Supervise legs on pretended nodes, and note how long after its end each is noticed."""
    template = {
        "metadata": {"annotations": {LASTS: FAKE_LASTS}},
        "spec": {
            "nodeSelector": {"pretended": "true"},
            "tolerations": [{"key": "pretended", "operator": "Exists"}],
        },
    }
    runner, specs = legs(kubeconfig, jobs, command=("train",), pod_template=template)
    requests = count_requests(runner)
    started = time.monotonic()
    for spec in specs:
        runner.start(spec, now=datetime.now(UTC))
    noticed_s: dict[str, float] = {}
    while len(noticed_s) < jobs:
        for spec in specs:
            if spec.run not in noticed_s and ended_at(runner, spec) is not None:
                now = datetime.now(UTC)
                # A pretended program's last words are the exact time of its end.
                (end,) = runner.state(spec.run, spec.leg, now=now).log_tail
                noticed_s[spec.run] = (now - datetime.fromisoformat(end)).total_seconds()
        time.sleep(0.5)
    for spec in specs:
        runner.forget(spec.run, spec.leg)
    ordered = sorted(noticed_s.values())
    return measured(started, jobs) | {
        "requests": requests(),
        "noticed_s_p50": ordered[len(ordered) // 2],
        "noticed_s_p99": ordered[int(len(ordered) * 0.99) - 1],
    }


def count_requests(runner: KubernetesCluster) -> Callable[[], int]:
    """Count this process' own requests from now on, watches included."""
    pool: Any = runner.api.pool
    ask, count = pool.request, 0

    def request(*arguments: object, **more: object) -> object:
        nonlocal count
        count += 1
        return ask(*arguments, **more)

    pool.request = request
    return lambda: count


def legs(
    kubeconfig: Path,
    jobs: int,
    *,
    command: tuple[str, ...],
    pod_template: Mapping[str, Any] | None = None,
) -> tuple[KubernetesCluster, list[LegSpec]]:
    """Return a runner, and the legs to run."""
    runner = KubernetesCluster(
        namespace=NAMESPACE,
        queue=None,
        background_queue=None,
        kubeconfig=kubeconfig,
        pod_template=dict(pod_template or {}),
    )
    settings = KubernetesSettings(image=IMAGE, cpus="0.05", memory_gib="0.03").document()
    start_by = datetime.now(UTC) + timedelta(hours=1)
    return runner, [
        LegSpec(
            run=f"r-{jobs:06x}{number:06x}",
            leg=1,
            command=command,
            env={},
            checkpoint_dir="/checkpoints",
            limit_s=3600,
            start_by=start_by,
            grace_s=5,
            settings=settings,
        )
        for number in range(jobs)
    ]


def ended_at(runner: KubernetesCluster, spec: LegSpec) -> datetime | None:
    """Return when a leg ended; None while it has not."""
    status = runner.status(spec.run, spec.leg, now=datetime.now(UTC))
    return status.ended_at if status.phase == "ended" else None


ROLES: Mapping[str, Callable[[Path, int], Measured]] = {
    "lowtide": run_lowtide,
    "supervise": run_supervisor,
}

if __name__ == "__main__":
    sys.exit(main())
