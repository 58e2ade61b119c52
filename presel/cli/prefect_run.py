"""Running a flow from the command line: the same flow that a worker runs, quietly, with progress on the screen.

Where Prefect's settings name a server (`PREFECT_API_URL`) the run appears there. Without one a private server is started for
the length of the run (private_server.py), which is most of the start-up time (8 to 11 s on two cores).
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from presel import cli
from presel.cli import private_server, stopping
from presel.cli.console import complaints
from presel.cli.live import Live
from presel.concurrency.progress import listening
from presel.config import RefreshConfig, installed
from presel.dataset import versions
from presel.errors import ConfigError, EndpointUnavailable, __version__, require
from presel.runs import run_record
from presel.runs.run_record import RunRecord
from presel.storage import trust

if TYPE_CHECKING:
    from prefect import Flow

    from tasks.lanes import Lane
    from tasks.results import StoreResults

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
    # As in prefect.yaml: what the automation for crashed runs counts on, and how long a server may be away (tasks/patience.py).
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_CLIENT_MAX_RETRIES": "12",
    "OMP_WAIT_POLICY": "PASSIVE",
}
# A private server lives for one run: nobody opens its UI, schedules on it, or waits for its automations. Saves 3 s of start.
_PRIVATE_SERVER = {
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
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

    `private`: whether the server is one of our own for one run; by default, whether no other is named, in the environment, in
    a profile (`prefect config set`) or wherever else Prefect looks. Raises MissingExtra.
    """
    require("flows", "a command that runs a flow")
    directly_to_loopback()
    if file := trust.bundle():
        os.environ["SSL_CERT_FILE"] = file  # Prefect, httpx and OpenSSL look there, and nowhere else
    _unless_chosen(_QUIET)
    alone = server_address() is None if private is None else private
    _unless_chosen(_PRIVATE_SERVER if alone else {})
    if alone and (home := private_server.writable_home()):
        os.environ["PREFECT_HOME"] = home
    from prefect.context import refresh_global_settings_context

    refresh_global_settings_context()
    if alone:
        private_server.take_its_place()


def _unless_chosen(settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def server_address() -> str | None:
    """The Prefect server that is named anywhere that Prefect looks."""
    _unless_chosen(_QUIET)  # Prefect reads DO_NOT_TRACK, and has its say on it, when it is imported
    with warnings.catch_warnings(action="ignore"):  # of a home that cannot be written
        from prefect.settings.models.root import Settings

        return Settings().api.url or None


def directly_to_loopback() -> None:
    """No proxy of the environment is asked for this machine: it cannot know what listens here."""
    for name in ("NO_PROXY", "no_proxy"):
        exempt = [host.strip() for host in os.environ.get(name, "").split(",") if host.strip()]
        if "*" not in exempt:
            os.environ[name] = ",".join(dict.fromkeys([*exempt, "127.0.0.1", "localhost", "::1"]))


class Finished(NamedTuple):
    """A flow that ran to its end: what it made, what it spent (US dollars), how long it took since the command began, and the
    newest version before it."""

    record: RunRecord
    spent_usd: float
    seconds: float
    flow_run_id: str
    before: int | None


def run_flow(name: Literal["plan", "refresh"], config: RefreshConfig) -> Finished:
    """Run the flow to its end. Errors of stages come out as they are, a secret in an address before Prefect hears of it."""
    from presel.instruct.endpoint.client import resolved_base_url

    resolved_base_url(config.generator.base_url)
    if config.execution.approve and server_address() is None:
        raise ConfigError(
            "a run that waits for approval needs a Prefect server with pages to approve on",
            where="execution.approve",
            fix="set PREFECT_API_URL to one (`prefect server start`), or approve here: `presel plan` shows the price, and "
            "`presel run --set execution.approve=false` pays",
        )
    with _shown(name, config) as live:
        flow, storage = _flow(name), _first_asked(config.store)
        from presel.instruct.money.purse import paid_here
        from presel.storage import open_store

        store = open_store(config.store)
        before, version = paid_here(store), versions.latest(config.store, config.dataset.name)
        live.doing("")
        with listening(live):
            state = flow.with_options(result_storage=storage)(config, return_state=True)
    state.result()  # raises what a stage raised
    record = run_record.latest(config.store, config.dataset.name)
    spent, ready = paid_here(store) - before, time.time() - cli.BEGAN
    return Finished(record, spent, ready, str(state.state_details.flow_run_id), version.version if version else None)


def run_finetune(config: RefreshConfig, version: int | None, held_out: float, export: str | None = None) -> str:
    """Run the fine-tuning flow to its end; returns the tuned model's address. Errors of stages come out as they are."""
    with _shown("finetune", config) as live:
        flow: Flow[..., Any] = _flow("finetune")
        storage = _first_asked(config.store)
        live.doing("")
        with listening(live):
            return str(flow.with_options(result_storage=storage)(config, version, held_out, export))


@contextmanager
def _shown(name: str, config: RefreshConfig) -> Iterator[Live]:
    """The terminal's table, from before the first heavy import: nobody looks at an empty screen."""
    require("flows", "a command that runs a flow")
    headline = f"presel {__version__}  {name} {config.dataset.name}"
    with stopping.a_run(), Live(complaints, headline, _lanes) as live:
        live.doing("starting Prefect: with a private server it takes 5 to 20 s (PREFECT_API_URL names one that is up)")
        quiet()
        yield live


def _lanes() -> Sequence[Lane]:
    """The stages of the flow that runs here, once its modules are loaded."""
    board = sys.modules.get("tasks.board")
    return board.lanes() if board else []


def _first_asked(store: str) -> StoreResults:
    """Where Prefect keeps results: the first thing that asks the server, and starts a private one."""
    from tasks.results import results_in

    with first_contact():
        return results_in(store)


def _flow(name: str) -> Flow[[RefreshConfig], object]:
    """The flow of that name. Raises ConfigError, or MissingExtra, where it cannot be the one of this presel."""
    installed.check()
    module = importlib.import_module(f"flows.{name}")
    flow: Flow[[RefreshConfig], object] = getattr(module, name)
    return flow


@contextmanager
def first_contact() -> Iterator[None]:
    """Around the first request to the server: one that is not there is one line. Raises EndpointUnavailable."""
    import httpx

    try:
        yield
    except httpx.TransportError as error:
        raise EndpointUnavailable(
            f"the Prefect server does not answer ({type(error).__name__})",
            where=os.environ.get("PREFECT_API_URL", "PREFECT_API_URL"),
            fix="start it with `prefect server start`, or unset PREFECT_API_URL to use a private one",
        ) from error


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
