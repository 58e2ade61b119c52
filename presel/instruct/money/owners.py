"""Which worker holds money, and is it still alive?

Every engine writes a heartbeat object and rewrites it while it lives. Two ways to know that an owner is dead: on the
same machine (same boot, same process-id space) its process is gone, which is known at once; anywhere else, its
heartbeat has not changed while *we* watched it for 90 s by our own clock, so no two clocks are ever compared. An
owner that was merely paused (a laptop's lid, a frozen container) notices that its own last beat is old and starts no
request under the leases it had.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from presel.errors import NotFound, StorageError
from presel.storage import Store

FOLDER = "ledger/workers"
BEAT_EVERY = 10.0
TRUST_OWN_BEAT = 45.0
DEAD_AFTER = 90.0


class Owner:
    """This engine, as others see it."""

    def __init__(self, store: Store) -> None:
        self.id = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._store = store
        self._count = 0
        self._last = -float("inf")

    def beat(self) -> None:
        """Say that we live. A store that fails for a moment only makes the beat old."""
        self._count += 1
        started = _clock()
        with suppress(StorageError):
            document = {**_machine(), "pid": os.getpid(), "started": _started(os.getpid()), "beat": self._count}
            self._store.write(f"{FOLDER}/{self.id}.json", json.dumps(document).encode())
            self._last = started

    @property
    def trusted(self) -> bool:
        """Whether nobody can have declared us dead yet."""
        return _clock() - self._last < TRUST_OWN_BEAT

    def leave(self) -> None:
        with suppress(StorageError):
            self._store.delete(f"{FOLDER}/{self.id}.json")


class Watch:
    """What this process knows of other owners."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[str, tuple[int, float]] = {}

    def dead(self, owner: str) -> bool:
        """Whether an owner is certainly gone. Says no until it is sure."""
        try:
            document = json.loads(self._store.read(f"{FOLDER}/{owner}.json"))
        except NotFound:
            return self._unchanged(owner, -1)  # it left, or has not written its first beat yet
        here = all(document.get(name) == value for name, value in _machine().items())
        if here and _started(document["pid"]) != document["started"]:
            return True
        return self._unchanged(owner, document["beat"])

    def bury(self, owner: str) -> None:
        """Remove the heartbeat of an owner whose leases are settled."""
        with suppress(StorageError):
            self._store.delete(f"{FOLDER}/{owner}.json")

    def _unchanged(self, owner: str, beat: int) -> bool:
        seen, since = self._seen.get(owner, (None, 0.0))
        if seen != beat:
            self._seen[owner] = (beat, _clock())
            return False
        return _clock() - since > DEAD_AFTER


def _machine() -> dict[str, Any]:
    """What must be equal for a process id to mean the same process. Where there is no /proc, the host's name must do."""
    known: dict[str, Any] = {"host": socket.gethostname(), "boot": "", "space": ""}
    with suppress(OSError):
        known["boot"] = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        known["space"] = str(Path("/proc/self/ns/pid").readlink())
    return known


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks, which tells a reused id from the old one; empty if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "" if Path("/proc/self").exists() or not _exists(pid) else "unknown"
    return "" if fields[0] == "Z" else fields[19]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def _clock() -> float:
    """Seconds that also pass while the machine sleeps, where the system can tell."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
