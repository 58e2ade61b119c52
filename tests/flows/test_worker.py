"""A run that was killed and retried: the worker that still holds its place lets it wait."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.utilities.dispatch import lookup_type
from prefect.workers.base import BaseWorker

from deployments.worker import Worker


@pytest.fixture(scope="module")
def pool() -> str:
    with get_client(sync_client=True) as client:
        return client.create_work_pool(WorkPoolCreate(name="killed", type="process")).name


def test_it_is_what_the_command_line_starts() -> None:
    assert lookup_type(BaseWorker, "process") is Worker


def found_again(pool: str) -> list[FlowRun]:
    """What a worker with one place does when it finds a run due whose earlier attempt still holds that place."""

    async def look() -> list[FlowRun]:
        async with Worker(work_pool_name=pool, limit=1) as worker:
            run = FlowRun(id=uuid4(), flow_id=uuid4(), name="retried")
            worker.limiter.acquire_on_behalf_of_nowait(run.id)
            due = WorkerFlowRunResponse(work_pool_id=uuid4(), work_queue_id=uuid4(), flow_run=run)
            return await worker._submit_scheduled_flow_runs([due])

    return asyncio.run(look())


def test_a_retried_run_waits_until_the_worker_has_let_go_of_it(pool: str) -> None:
    assert found_again(pool) == []
