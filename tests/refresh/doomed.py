"""A process that runs refreshes in forks of itself, each of which may be told at which write to die by SIGKILL.

    python -m tests.refresh.doomed     one JSON object a line in: config, log, fatal; one JSON object a line out: status, writes

Forks, because importing torch takes longer than the refresh. Death comes inside a write: the data lies beside its target
and has not been moved into place, which is the worst moment there is.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from presel.concurrency.progress import Progress, listening
from presel.config import RefreshConfig
from tests.refresh.straight import straight

_SYNC, _lock = os.fsync, threading.Lock()


def doomed(command: dict[str, Any]) -> int:
    """How many objects a whole refresh writes; never returns if it is to die before that."""
    written = 0

    def sync(handle: int) -> None:
        nonlocal written
        _SYNC(handle)
        with _lock:
            written += 1
            if written == command["fatal"]:
                os.kill(os.getpid(), signal.SIGKILL)

    def hear(progress: Progress) -> None:
        with _lock, Path(command["log"]).open("a") as log:
            log.write(json.dumps([os.getpid(), progress.stage, progress.label]) + "\n")

    os.fsync = sync
    with listening(hear):
        straight(RefreshConfig.model_validate(command["config"]))
    return written


def main() -> None:
    import torch
    import transformers  # noqa: F401 - every fork would import it again

    torch.set_num_threads(1)
    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.write(writer, str(doomed(json.loads(line))).encode())
            os._exit(0)
        os.close(writer)
        _, status = os.waitpid(child, 0)
        with os.fdopen(reader) as pipe:
            told = pipe.read()
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "writes": int(told or 0)}), flush=True)


if __name__ == "__main__":
    main()
