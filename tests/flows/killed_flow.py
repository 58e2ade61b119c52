"""A flow that dies by SIGKILL at its first attempt, while three tasks of it are under way."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from prefect import flow, runtime, task

from tasks.policy import FLOW

SETTINGS: dict[str, Any] = FLOW


@task
def working(seconds: float) -> None:
    time.sleep(seconds)


@flow(name="killed flow", **SETTINGS)
def killed(dies: bool) -> str:
    if not dies or runtime.flow_run.run_count > 1:
        return "done"
    under_way = working.map([60.0] * 3)
    time.sleep(5)  # until the server has heard of the tasks, and the board says so
    os.kill(os.getpid(), signal.SIGKILL)
    return str(under_way)


if __name__ == "__main__":
    sys.exit(killed(True))
