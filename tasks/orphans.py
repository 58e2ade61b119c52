"""What killed runs left behind: Prefect never closes their task runs, and the graph would draw the bars for ever; and their
board says that they are still under way.

A hook of every flow (`on_running`), so no flow has a line for it. The next run of a flow closes what is left of any run of it
that is marked as crashed, and a retry what is left of its own earlier attempts. If there is nothing it costs two requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowFilter,
    FlowFilterId,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType, TaskRun
from prefect.states import Crashed

from tasks.board import BOARD, UNDER_WAY

_WHY = "left behind by a run that was killed"
_KILLED = "Killed: its process or its machine is gone"
_OPEN = TaskRunFilter(
    state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING]))
)
_CRASHED = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CRASHED])))
_PAGE = 200


def close_orphans(_flow: Flow[..., object], flow_run: FlowRun, _state: State) -> None:
    """Mark what earlier attempts of this run and crashed runs of this flow left unfinished as crashed."""
    with get_client(sync_client=True) as client:
        attempt = client.read_flow_run(flow_run.id).run_count
        this_run = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run.id]))
        own = [task for task in _open_tasks(client, flow_run, this_run) if task.flow_run_run_count < attempt]
        others = list(_open_tasks(client, flow_run, _CRASHED))
        for task in own + others:
            client.set_task_run_state(task.id, Crashed(message=_WHY), force=True)
        dead = {task.flow_run_id for task in others if task.flow_run_id} | ({flow_run.id} if attempt > 1 else set())
        if dead:
            _close_boards(client, sorted(dead))


def _open_tasks(client: SyncPrefectClient, flow_run: FlowRun, of_runs: FlowRunFilter) -> Iterator[TaskRun]:
    seen = 0
    flow = FlowFilter(id=FlowFilterId(any_=[flow_run.flow_id]))
    while page := client.read_task_runs(
        flow_filter=flow, flow_run_filter=of_runs, task_run_filter=_OPEN, limit=_PAGE, offset=seen
    ):
        yield from page
        seen += len(page)


def _close_boards(client: SyncPrefectClient, runs: list[UUID]) -> None:
    boards = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=runs), key=ArtifactFilterKey(like_=f"%-{BOARD}"))
    for board in client.read_artifacts(artifact_filter=boards):
        page, still = str(board.data), f", {UNDER_WAY}"
        if still in page:
            _headline, _, rest = page.replace(still, "").partition("\n")
            words = ArtifactUpdate(data=f"## {_KILLED}\n{rest}", description=f"{_KILLED}. {board.description}")
            client.update_artifact(board.id, words)
