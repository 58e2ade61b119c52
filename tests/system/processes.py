"""Processes as an operator sees them: what belongs to one, how it is ended, how long to wait for something."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def until(done: Callable[[], Any], seconds: float, every: float = 0.5) -> Any:
    """The first truthy answer. Fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = done()
        if answer:
            return answer
        time.sleep(every)
    raise AssertionError(f"not within {seconds:.0f} s")


def descendants(pid: int) -> list[int]:
    """A worker starts flows in sessions of their own, so its process group is not all of it."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += [*descendants(int(child)), int(child)]
    return found


def runs_a_flow(pid: int) -> bool:
    """Whether this process of a worker is the one in which a flow runs."""
    with suppress(FileNotFoundError, ProcessLookupError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"prefect.flow_engine" in command or b"prefect.engine" in command
    return False


def kill(*processes: subprocess.Popen[Any]) -> None:
    """The processes and everything they have started, all within a moment: a power cut, as far as they can tell."""
    whole = [pid for process in processes for pid in [*descendants(process.pid), process.pid]]
    for pid in whole:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for process in processes:
        process.wait(120)
