"""A flow run says on the store that it has begun and that it has ended, so that `gc` removes nothing beneath it.

Hooks of every flow. A killed process does not say that it has ended. Its retry does; without a retry, the announcement goes
out of date (presel.runs.housekeeping.under_way).
"""

from __future__ import annotations

import logging
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State

from presel.errors import PreselError
from presel.runs.housekeeping import under_way

log = logging.getLogger("presel.announcing")  # below `presel`, whose lines go to the UI

_begun: dict[str, str] = {}
"""Flow runs of this process that have begun, with their store."""


def announce(flow: Flow[..., object], flow_run: FlowRun, _state: State) -> None:
    """`on_running`. Housekeeping itself needs nothing that it could remove."""
    config: Any = flow_run.parameters.get("config")
    store = config.get("store") if isinstance(config, dict) else None
    if flow.name == "housekeeping" or not store:
        return
    try:
        under_way.announce(store, str(flow_run.id))
    except PreselError as error:  # if the store is not there, the run will fail at that in words of its own
        log.warning("this run is not announced on the store: %s", error)
    else:
        _begun[str(flow_run.id)] = store


def withdraw(_flow: Flow[..., object], flow_run: FlowRun, _state: State) -> None:
    """`on_completion` and `on_failure`."""
    _withdraw(str(flow_run.id))


def withdraw_stopped() -> None:
    """A signal ends this process, and no hook is called for its flow run."""
    for run in list(_begun):
        _withdraw(run)


def _withdraw(run: str) -> None:
    store = _begun.pop(run, None)
    if store is not None:
        try:
            under_way.withdraw(store, run)
        except PreselError as error:
            log.warning("this run is still announced on the store, which holds removals back for six days: %s", error)
