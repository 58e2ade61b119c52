"""Running a flow from the command line: the same flow that a worker runs, quietly, with progress on the screen.

With `PREFECT_API_URL` set the run appears on that server. Without it Prefect starts a private server for the length of
the run, which is most of the start-up time (8 to 11 s on two cores).
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from presel.cli.console import complaints
from presel.cli.live import Live
from presel.config import RefreshConfig
from presel.errors import EndpointUnavailable
from presel.progress import listening

if TYPE_CHECKING:
    from prefect import Flow

    from presel.run_record import RunRecord

_QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    "OMP_WAIT_POLICY": "PASSIVE",
}


def quiet() -> None:
    """Prefect's settings for a command line, unless the user chose others. Call before prefect is imported."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


def run_flow(name: Literal["plan", "refresh"], config: RefreshConfig) -> RunRecord:
    """Run the flow to its end and return its latest record. Errors of stages come out as they are."""
    quiet()
    from flows.plan import plan
    from flows.refresh import refresh
    from presel import run_record
    from tasks.results import results_in

    flow: Flow[[RefreshConfig], object] = {"plan": plan, "refresh": refresh}[name]  # type: ignore[assignment]
    with Live(complaints) as live, listening(live):
        flow.with_options(result_storage=results_in(config.store))(config)
    return run_record.latest(config.store, config.dataset.name)


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
