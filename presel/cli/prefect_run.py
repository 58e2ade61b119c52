"""Running a flow from the command line: the same flow that a worker runs, quietly, with progress on the screen.

With `PREFECT_API_URL` set the run appears on that server. Without it Prefect starts a private server for the length of
the run, which is most of the start-up time (8 to 11 s on two cores).
"""

from __future__ import annotations

import importlib
import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

from presel import run_record, summary
from presel.cli.console import complaints
from presel.cli.live import Live
from presel.config import RefreshConfig
from presel.errors import ConfigError, EndpointUnavailable
from presel.progress import listening
from presel.run_record import RunRecord

if TYPE_CHECKING:
    from prefect import Flow

_QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the terminal has bars and one last word; the UI has the log
    "PREFECT_LOGGING_EXTRA_LOGGERS": "presel",
    "PREFECT_LOGGING_ROOT_LEVEL": "INFO",
    "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    "OMP_WAIT_POLICY": "PASSIVE",
}
# A private server lives for one run: nobody opens its UI, schedules on it, or waits for its automations. Saves 3 s of start.
_PRIVATE_SERVER = {
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
}


def quiet(private: bool | None = None) -> None:
    """Prefect's settings for a command line, unless the user chose others. Call before prefect is imported.

    `private`: whether the server is one of our own for one run; by default, whether no other is named.
    """
    alone = "PREFECT_API_URL" not in os.environ if private is None else private
    for name, value in {**_QUIET, **(_PRIVATE_SERVER if alone else {})}.items():
        os.environ.setdefault(name, value)


class Finished(NamedTuple):
    """A flow that ran to its end: what it made, what it spent (US dollars), how long it took."""

    record: RunRecord
    spent_usd: float
    seconds: float
    flow_run_id: str


def run_flow(name: Literal["plan", "refresh"], config: RefreshConfig) -> Finished:
    """Run the flow to its end. Errors of stages come out as they are."""
    quiet()
    flow = _flow(name)
    from tasks.results import results_in

    started = time.time()
    with Live(complaints) as live, listening(live):
        state = flow.with_options(result_storage=results_in(config.store))(config, return_state=True)
    state.result()  # raises what a stage raised
    record = run_record.latest(config.store, config.dataset.name)
    spent = summary.spent_since(record, started)
    return Finished(record, spent, time.time() - started, str(state.state_details.flow_run_id))


def _flow(name: str) -> Flow[[RefreshConfig], object]:
    """The flow of that name. Raises ConfigError where only the library is installed."""
    try:
        module = importlib.import_module(f"flows.{name}")
    except ModuleNotFoundError as error:
        if error.name not in ("flows", f"flows.{name}"):
            raise
        fix = "run it from the checkout, installed with `pip install -e .`; the wheel ships the library alone"
        raise ConfigError(f"the flow `{name}` is not here", where="flows", fix=fix) from error
    flow: Flow[[RefreshConfig], object] = getattr(module, name)
    return flow


def cancel_runs(dataset: str) -> list[str]:
    """Ask the server to cancel the unfinished runs of a dataset; their names. Raises ConfigError without a server.

    A worker then sends its process SIGTERM, on which the run drains (tasks/draining.py). A run that no worker owns
    (`presel run`) is stopped by Ctrl-C or SIGTERM instead.
    """
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
    names = {f"refresh {dataset}", f"plan {dataset}"}
    with get_client(sync_client=True) as client:
        runs = [run for run in client.read_flow_runs(flow_run_filter=unfinished, limit=200) if run.name in names]
        for run in runs:
            if run.parent_task_run_id is None:  # a plan within a refresh goes with it
                client.set_flow_run_state(run.id, Cancelling())
    return sorted(str(run.name) for run in runs if run.parent_task_run_id is None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, seconds: float = 120.0) -> None:
    """Until a server answers. Raises EndpointUnavailable when it does not in time."""
    import httpx

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5).is_success:
                return
        time.sleep(0.3)
    raise EndpointUnavailable(f"no answer within {seconds:.0f} s", where=url, fix="look at the server's own log")
