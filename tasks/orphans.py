"""Task runs that a killed attempt left behind: Prefect never closes them, and the graph would draw their bars for ever.

A hook of every flow (`on_running`), so no flow has a line for it. On the first attempt it costs one request.
"""

from __future__ import annotations

from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Crashed

_OPEN = [StateType.RUNNING, StateType.PENDING]
_WHY = "left behind by an attempt that was killed"


def close_orphans(_flow: Flow[..., object], flow_run: FlowRun, _state: State) -> None:
    """Mark what earlier attempts of this flow run left unfinished as crashed, flows within it included."""
    with get_client(sync_client=True) as client:
        attempt = client.read_flow_run(flow_run.id).run_count
        if attempt > 1:
            _close_tasks(client, flow_run.id, before=attempt)
            _close_inner(client, flow_run.id)


def _close_inner(client: SyncPrefectClient, parent: UUID) -> None:
    """Flows within: this attempt has not started any yet, so all that are open are orphans."""
    inner = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[parent]))
    for run in client.read_flow_runs(flow_run_filter=inner):
        _close_tasks(client, run.id)
        if run.state is not None and not run.state.is_final():
            client.set_flow_run_state(run.id, Crashed(message=_WHY), force=True)


def _close_tasks(client: SyncPrefectClient, flow_run: UUID, before: int | None = None) -> None:
    unfinished = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=_OPEN)))
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
    for task in client.read_task_runs(flow_run_filter=of_run, task_run_filter=unfinished, limit=200):
        if before is None or task.flow_run_run_count < before:
            client.set_task_run_state(task.id, Crashed(message=_WHY), force=True)
