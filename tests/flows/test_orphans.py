"""A flow run that was killed leaves nothing behind that says Running, whoever goes on: its retry or the flow's next run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
)
from prefect.client.schemas.sorting import FlowRunSort
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL
from prefect.states import AwaitingRetry, Crashed

from tasks import orphans
from tests.flows.killed_flow import killed

ROOT = Path(__file__).parents[2]


def tasks_of(client: SyncPrefectClient, run: UUID) -> list[str]:
    found = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [run]}))
    return [task.state.name for task in found if task.state]


def dead_run(client: SyncPrefectClient) -> UUID:
    """A run whose process was killed, as the server is told by a worker or an automation."""
    environment = {**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value()}
    process = subprocess.run([sys.executable, "-m", "tests.flows.killed_flow"], cwd=ROOT, env=environment, timeout=120)
    assert process.returncode == -9
    named = FlowFilter(name=FlowFilterName(any_=["killed flow"]))
    run = client.read_flow_runs(flow_filter=named, sort=FlowRunSort.START_TIME_DESC, limit=1)[0]
    client.set_flow_run_state(run.id, Crashed(), force=True)
    assert tasks_of(client, run.id) == ["Running"] * 3
    return run.id


@pytest.mark.parametrize("goes_on", ["its retry", "the next run"])
def test_a_killed_run_leaves_nothing_running_once_it_goes_on(goes_on: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "_PAGE", 2)
    with get_client(sync_client=True) as client:
        run = dead_run(client)
        if goes_on == "its retry":
            client.set_flow_run_state(run, AwaitingRetry(), force=True)
            run_flow(killed, flow_run=client.read_flow_run(run))
        else:
            killed(False)
        assert tasks_of(client, run) == ["Crashed"] * 3
        boards = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run])))
    assert [board.data.split(":")[0] for board in boards] == ["## Killed"]
    assert "still under way" not in boards[0].data
    assert boards[0].description.startswith(
        "Killed: its process or its machine is gone. Running. working: 0 of 3 tasks"
    )
