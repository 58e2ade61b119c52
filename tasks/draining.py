"""SIGTERM (a worker's cancel, a container's stop) lets the requests under way come in and be kept, then ends the run.

Stages run in threads, and signals are heard by the main thread alone, so it is the flow that listens: a hook (`on_running`)
puts the handler in place. The next run finds every answer in the ledger.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State

from presel.errors import EndpointUnavailable
from presel.instruct.sharing import drain, drained

GRACE_SECONDS = 25.0
"""Prefect's workers send SIGKILL 30 s after SIGTERM."""


def drain_on_sigterm(_flow: Flow[..., object], flow_run: FlowRun, _state: State) -> None:
    """From now on SIGTERM drains first, and then does what it did before. A flow within a flow changes nothing."""
    if flow_run.parent_task_run_id is not None or threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGTERM)

    def hear(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, before)
        drain(EndpointUnavailable("stopped by SIGTERM", fix="run again: every answer so far is kept"))
        drained(GRACE_SECONDS)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, hear)
