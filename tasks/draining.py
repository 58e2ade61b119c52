"""SIGTERM (a worker's cancel, a container's stop) or Ctrl-C lets the requests under way come in and be kept, then ends the run.

Stages run in threads, and signals are heard by the main thread alone, where Prefect turns SIGTERM into an exception that leaves
the flow through its task runner (tasks/runner.py). There it is met: nothing is sent any more, and the threads get their time.
A signal handler of our own would do the same, but a worker that finds Prefect's replaced cannot tell the run why it is
stopped, and a cancelled run would first say Crashed. The next run finds every answer in the ledger.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.exceptions import TerminationSignal

from presel.errors import EndpointUnavailable
from presel.instruct.sharing import drain, drained
from tasks.announcing import withdraw_stopped
from tasks.board import close_stopped

GRACE_SECONDS = 25.0
"""Prefect's workers send SIGKILL 30 s after SIGTERM."""


def drain_if_stopped(error: BaseException | None) -> None:
    """Wait for what is under way if that is why the flow ends. A flow within a flow is left first, and has done it then."""
    if not isinstance(error, TerminationSignal | KeyboardInterrupt):
        return
    stopped = EndpointUnavailable("stopped by a signal", fix="run again: every answer so far is kept")
    stopped.retryable = False  # a task that was to be retried would sleep first, and the process could not end
    with _undisturbed():
        drain(stopped)
        drained(GRACE_SECONDS)
        close_stopped()
        withdraw_stopped()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second SIGTERM changes nothing; a second Ctrl-C does end it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
