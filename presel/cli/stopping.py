"""How a command ends when it is told to: by Ctrl-C, which a terminal sends to all that run in it, or by SIGTERM.

The first lets what is under way come in and be kept (tasks/draining.py). A second Ctrl-C ends the process at once. A second
SIGTERM does not: `timeout` sends two. Either way the exit code is 130.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
LONGEST = 60.0
"""Seconds after which a command that was told to end does so, whatever a thread of it still computes."""
_ONE_PRESS = 0.5
"""Seconds: `uv run`, `make` and other parents pass on what the terminal has sent already."""


class Stopping:
    """Hears signals. The first is KeyboardInterrupt in the main thread, as Python's own handler has it."""

    def __init__(self) -> None:
        self._first: float | None = None
        self.words = b""

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now
            last = threading.Timer(LONGEST, os._exit, (INTERRUPTED,))
            last.daemon = True
            last.start()
            os.write(2, self.words)  # a console may be in the middle of a line of its own
            raise KeyboardInterrupt
        if number == signal.SIGINT and now - self._first > _ONE_PRESS:
            os._exit(INTERRUPTED)  # a private server sees that and ends, too


_stopping = Stopping()


def listen() -> None:
    """From now on. A signal that was ignored from the start (`nohup`, a script's `&`) stays ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stopping)


@contextmanager
def a_run() -> Iterator[None]:
    """While one is under way, a person who presses Ctrl-C is told what they wait for."""
    _stopping.words = b"\nstopping: what is under way comes in and is kept; Ctrl-C again ends at once\n"
    yield
    _stopping.words = b""
