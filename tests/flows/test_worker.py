"""A run that was killed and retried: the worker that still holds its place lets it wait."""

from __future__ import annotations

import asyncio
import logging
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.logging.handlers import APILogHandler
from prefect.utilities.dispatch import lookup_type
from prefect.workers.base import BaseWorker

from deployments.worker import Worker, of_the_run


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


@pytest.mark.parametrize(
    ("name", "level", "shown"),
    [
        ("prefect.flow_runs.worker", logging.INFO, False),
        ("prefect.flow_runs.runner", logging.INFO, False),
        ("prefect.flow_runs.runner", logging.ERROR, True),
        ("prefect.flow_runs", logging.INFO, True),
        ("presel.stages.ingest", logging.INFO, True),
    ],
)
def test_the_log_of_a_run_has_what_the_run_does_and_not_what_a_worker_does_for_each(
    name: str, level: int, shown: bool
) -> None:
    assert of_the_run(logging.LogRecord(name, level, "", 0, "words", (), None)) is shown


def test_the_worker_keeps_its_own_lines_out_of_the_logs_of_runs(pool: str) -> None:
    Worker(work_pool_name=pool)
    handlers = [one for one in logging.getLogger("prefect.flow_runs").handlers if isinstance(one, APILogHandler)]
    assert handlers
    assert all(of_the_run in handler.filters for handler in handlers)
