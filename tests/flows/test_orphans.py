"""A flow run that was killed and is tried again leaves nothing behind that says Running."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL
from prefect.states import AwaitingRetry, Crashed

ROOT = Path(__file__).parents[2]


def states(client, run_id) -> dict[str, list[str]]:
    inner = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run_id]))
    )
    ids = [run_id, *(run.id for run in inner)]
    tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": ids}))
    return {
        "flows": sorted(run.state.name for run in inner),
        "tasks": sorted(task.state.name for task in tasks if task.state),
    }


def test_a_killed_attempt_leaves_no_task_running_once_the_next_has_begun():
    from tests.flows.killed_flow import killed

    environment = {**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value()}
    process = subprocess.run([sys.executable, "-m", "tests.flows.killed_flow"], cwd=ROOT, env=environment, timeout=120)
    assert process.returncode == -9
    with get_client(sync_client=True) as client:
        [run] = client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=["killed flow"])))
        assert run.state.is_running()
        client.set_flow_run_state(run.id, Crashed(), force=True)
        client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
        assert run_flow(killed, flow_run=client.read_flow_run(run.id)) == 2
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = states(client, run.id)
            if "Running" not in str(found) and "Pending" not in str(found) and "Completed" in found["tasks"]:
                break
            time.sleep(0.5)
    assert found["flows"] == ["Completed", "Crashed"]
    assert set(found["tasks"]) <= {"Completed", "Crashed"}
