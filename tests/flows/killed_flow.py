"""A flow whose first attempt dies by SIGKILL in the middle of a task of a flow within it."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from prefect import flow, runtime, task

from tasks.policy import FLOW

SETTINGS: dict[str, Any] = FLOW


@task
def deadly(attempt: int) -> int:
    if attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return attempt


@flow(name="inner of a killed flow", **SETTINGS)
def inner(attempt: int) -> int:
    return deadly.submit(attempt).result()


@flow(name="killed flow", **SETTINGS)
def killed() -> int:
    return inner(runtime.flow_run.run_count)


if __name__ == "__main__":
    sys.exit(killed())
