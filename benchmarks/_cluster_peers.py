"""The peers of `benchmarks.cluster`: the bare client, and Prefect's own block for Kubernetes Jobs.

Run by it as `python -m benchmarks._cluster_peers WHO KUBECONFIG JOBS`, possibly with another interpreter:
nothing of lowtide is imported, so each process is as large as its own way makes it.
"""

import asyncio
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

NAMESPACE = "bench"
IMAGE = "lowtide.test/busybox:1"
LASTS_S = 5
Measured = dict[str, Any]


def run_bare(kubeconfig: Path, jobs: int) -> Measured:
    """Create the jobs with the official client and follow them with one watch."""
    client, config, watch = (
        library(f"kubernetes.{name}") for name in ("client", "config", "watch")
    )
    config.load_kube_config(str(kubeconfig))
    batch = client.BatchV1Api()
    started = time.monotonic()
    for number in range(jobs):
        batch.create_namespaced_job(NAMESPACE, plain_job(f"bare-{number}"))
    open_jobs = {f"bare-{number}" for number in range(jobs)}
    for event in watch.Watch().stream(batch.list_namespaced_job, NAMESPACE):
        job = event["object"]
        if any(found.type == "Complete" for found in job.status.conditions or ()):
            open_jobs.discard(job.metadata.name)
        if not open_jobs:
            break
    return measured(started, jobs)


def run_peer(kubeconfig: Path, jobs: int) -> Measured:
    """Run the jobs with Prefect's own block, ten subflows in one flow."""
    prefect, kubernetes = library("prefect"), library("prefect_kubernetes")
    config = library("prefect_kubernetes.credentials").KubernetesClusterConfig
    run_job = library("prefect_kubernetes.flows").run_namespaced_job_async
    credentials = kubernetes.KubernetesCredentials(cluster_config=config.from_file(kubeconfig))
    blocks = [
        kubernetes.KubernetesJob(
            v1_job=plain_job(f"peer-{number}"),
            namespace=NAMESPACE,
            credentials=credentials,
            delete_after_completion=False,
        )
        for number in range(jobs)
    ]

    async def warm() -> None:
        """Start the ephemeral server before the time is taken."""

    async def ten() -> None:
        await asyncio.gather(*(run_job(block) for block in blocks))

    asyncio.run(prefect.flow(warm)())
    started = time.monotonic()
    asyncio.run(prefect.flow(ten)())
    return measured(started, jobs)


def library(name: str) -> Any:  # noqa: ANN401 - typed by nobody, and perhaps not installed here
    """Return a library of one of the peers, imported only where it is measured."""
    return importlib.import_module(name)


def plain_job(name: str) -> dict[str, Any]:
    """Return the Job of the peers: the same program, nothing of ours."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [
                        {
                            "name": "train",
                            "image": IMAGE,
                            "command": ["sleep", str(LASTS_S)],
                            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}},
                        }
                    ],
                }
            },
        },
    }


def measured(started: float, jobs: int) -> Measured:
    """Return what every way reports."""
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"elapsed_s": time.monotonic() - started, "rss_mb": rss_mb, "jobs": jobs}


WAYS: Mapping[str, Callable[[Path, int], Measured]] = {
    "bare": run_bare,
    "prefect-kubernetes": run_peer,
}

if __name__ == "__main__":
    print(json.dumps(WAYS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))))
