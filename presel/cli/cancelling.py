"""Which runs of a dataset a Prefect server can stop, and asking it to.

A worker that is asked sends its process SIGTERM, on which the run drains (tasks/draining.py). A run that no worker has started
(`presel run`) hears nothing of what the server is asked: it would say Cancelling until its end, so it is named instead.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from presel.cli.prefect_run import first_contact, quiet
from presel.config import DatasetConfig, RefreshConfig, without_slash
from presel.errors import ConfigError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.objects import FlowRun


class Cancelled(NamedTuple):
    """Names of runs: those the server was asked to cancel, and those that only Ctrl-C or SIGTERM stops."""

    asked: list[str]
    by_hand: list[str]


def cancel_runs(settings: RefreshConfig) -> Cancelled:
    """Ask for a dataset's unfinished runs, of a schedule's only those that are due. Raises ConfigError without a server."""
    quiet()
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType
    from prefect.settings import PREFECT_API_URL
    from prefect.states import Cancelling

    if not PREFECT_API_URL.value():
        raise ConfigError("no Prefect server is configured", where="PREFECT_API_URL", fix="export PREFECT_API_URL=...")
    kinds = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED]
    unfinished = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=kinds)))
    asked, by_hand = [], []
    with get_client(sync_client=True) as client:
        with first_contact():
            runs = _all(client, unfinished)
        for run in runs:
            if not _is_of(run, settings):
                continue
            if run.deployment_id is None:
                by_hand.append(run.name)
            else:
                client.set_flow_run_state(run.id, Cancelling())
                asked.append(run.name)
    return Cancelled(sorted(asked), sorted(by_hand))


def _all(client: SyncPrefectClient, wanted: FlowRunFilter) -> list[FlowRun]:
    """Page by page: a server with other people's schedules has more unfinished runs than one answer holds."""
    found: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=wanted, limit=200, offset=len(found)):
        found += page
    return found


def _is_of(run: FlowRun, settings: RefreshConfig) -> bool:
    """Of this store and dataset, due, and not a flow within another, which goes with it."""
    config: Any = run.parameters.get("config")
    if not isinstance(config, dict) or run.parent_task_run_id is not None:
        return False
    due = run.next_scheduled_start_time is None or run.next_scheduled_start_time <= datetime.now(UTC)
    dataset = config.get("dataset", {}).get("name", DatasetConfig().name)
    return due and without_slash(str(config.get("store"))) == settings.store and dataset == settings.dataset.name
