"""Runs a command, and fails where it leaves a process behind: `python -m tests.nothing_left pytest tests/system`.

Workers start flows in sessions of their own, and Ray and browsers have helpers of theirs, so neither the parent nor the process
group tells what a test run has started. On Linux a process can ask to become the parent of all orphans below it
(PR_SET_CHILD_SUBREAPER); this one does. What still runs 30 s after the command has ended is named, killed, and a failure.

SIGTERM, which ends pytest on the spot, is handed on as SIGINT, so that fixtures end what they have started. Where pytest has
been sent it as well (`timeout` signals the whole group), what it leaves is killed at once.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.system.processes import descendants

PR_SET_CHILD_SUBREAPER = 36
GRACE = 30.0
"""Seconds; Ray's and a browser's helpers notice within a few that they are alone."""
TESTS_FAILED = 1
"""Pytest's exit status. With any other but 0 it was stopped, and whoever stopped it does not wait."""


def main(command: list[str]) -> int:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # which a shell's background jobs ignore, and so would the command
    process = subprocess.Popen(command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal: the command hears it, too
    signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGINT))
    status = _wait_for(process.pid)
    left = _left(GRACE if status in (0, TESTS_FAILED) else 0)
    for pid, words in left.items():
        print(f"left behind: {pid} {words}", file=sys.stderr, flush=True)
    _end_all()
    return status or (1 if left else 0)


def _wait_for(pid: int) -> int:
    """Its exit status. Orphans that end meanwhile are waited for as well, or they would stay as zombies."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _left(seconds: float) -> dict[int, str]:
    """Process id -> command line of what runs below this process, once all have ended or the time is over."""
    deadline = time.monotonic() + seconds
    while (found := _below()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def _end_all() -> None:
    """Again and again: the one that is killed second may have started another meanwhile."""
    while found := _below():
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _below() -> dict[int, str]:
    """Process id -> command line of everything that this process or an orphan has started, zombies left out."""
    _reap()
    return {pid: words for pid in descendants(os.getpid()) if (words := _command(pid))}


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _command(pid: int) -> str:
    """Empty for a zombie."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
