"""The three queues: strict priority, and the order of submission inside a class."""

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import anyio.abc
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed, Running, Scheduled
from prefect.workers.base import (
    BaseJobConfiguration,
    BaseVariables,
    BaseWorker,
    BaseWorkerResult,
)
from typing_extensions import override

from blocks.prefect_setup import QUEUES, ensure_pool
from flows.train import train
from lowtide.job import Priority

pytestmark = pytest.mark.stack

EACH = 10
LIMIT = 3
# A worker that is only asked for its order: a flow run is over as soon as it has begun.
_RUN_S = 0.2


class InstantWorker(BaseWorker[BaseJobConfiguration, BaseVariables, BaseWorkerResult]):
    """Prefect's own worker, whose infrastructure is none."""

    type: str = "instant"
    job_configuration = BaseJobConfiguration

    @override
    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> BaseWorkerResult:
        if task_status is not None:
            task_status.started(0)
        await self.client.set_flow_run_state(flow_run.id, Running(), force=True)
        await asyncio.sleep(_RUN_S)
        await self.client.set_flow_run_state(flow_run.id, Completed(), force=True)
        return BaseWorkerResult(identifier=str(flow_run.id), status_code=0)


@pytest.fixture
def pool(client: SyncPrefectClient) -> Iterator[str]:
    """A pool of the test's own, with the queues and the limit that `lowtide up` gives."""
    name = f"order-{time.time_ns()}"
    template = InstantWorker.get_default_base_job_template()
    client.create_work_pool(
        WorkPoolCreate(name=name, type=InstantWorker.type, base_job_template=template)
    )
    ensure_pool(client, name=name, flow_runs_max=LIMIT)
    yield name
    client.delete_work_pool(name)


def submit(client: SyncPrefectClient, pool: str, priority: Priority) -> list[UUID]:
    deployment = client.create_deployment(
        client.create_flow(train),
        name=f"{pool}-{priority.value}",
        work_pool_name=pool,
        work_queue_name=priority.value,
    )
    made: list[UUID] = []
    for _ in range(EACH):
        flow_run = client.create_flow_run_from_deployment(deployment, state=Scheduled())
        made.append(flow_run.id)
    return made


async def serve(pool: str, runs: list[UUID]) -> None:
    """Work the pool off, as `lowtide up`'s worker does: the pool's limit alone, until all is over."""
    give_up = time.monotonic() + 300
    async with InstantWorker(pool, create_pool_if_not_found=False) as worker:
        await worker.sync_with_backend()
        while time.monotonic() < give_up:
            await worker.get_and_submit_flow_runs()
            await asyncio.sleep(_RUN_S)
            states = [(await worker.client.read_flow_run(run)).state_type for run in runs[:EACH]]
            if all(state == "COMPLETED" for state in states):
                return
    pytest.fail("the queues were not worked off")


def picked_up_at(client: SyncPrefectClient, run: UUID) -> datetime:
    """When the worker took the run: the time of its first `Pending` state."""
    states: list[Any] = client.read_flow_run_states(run)
    return min(state.timestamp for state in states if state.name == "Pending")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_thirty_runs_submitted_in_reverse_are_picked_up_by_class_and_then_in_order(
    client: SyncPrefectClient, pool: str
) -> None:
    submitted = {priority: submit(client, pool, priority) for priority in reversed(QUEUES)}
    expected = [run for priority in QUEUES for run in submitted[priority]]

    asyncio.run(serve(pool, list(reversed(expected))))

    picked_up = sorted(expected, key=lambda run: picked_up_at(client, run))
    displaced = {place: abs(picked_up.index(run) - place) for place, run in enumerate(expected)}
    assert max(displaced.values()) <= 2, displaced
    last_urgent = max(picked_up_at(client, run) for run in submitted[Priority.URGENT])
    first_background = min(picked_up_at(client, run) for run in submitted[Priority.BACKGROUND])
    assert first_background > last_urgent
