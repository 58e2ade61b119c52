"""A process that runs refreshes in forks of itself, which somebody else may kill: `python -m tests.instruct.nursery`.

In: a line with the endpoint's address, which the configuration calls ${PRESEL_TEST_URL}, and the configuration as JSON.
Out: the process id of the fork, at once; its exit status, when it has ended.
Forks, because importing torch takes longer than going on where a killed refresh was.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from presel.config import RefreshConfig
from tests.refresh.straight import straight

ROOT = Path(__file__).parents[2]
ADDRESS = "PRESEL_TEST_URL"


class Nursery:
    """Starts refreshes in another process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, url: str, config: RefreshConfig) -> int:
        """Begin a refresh; returns its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{url} {config.model_dump_json()}\n")
        self._process.stdin.flush()
        return int(self._said())

    def end(self) -> int:
        """Wait for the refresh that was begun last; returns its exit status, -9 for a killed one."""
        return int(self._said())

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def nursery() -> Iterator[Nursery]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-m", "tests.instruct.nursery"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, env=environment, **pipes) as process:
        yield Nursery(process)
        process.stdin.close()


def main() -> None:
    import openai
    import torch
    import transformers  # noqa: F401 - every fork would import them again

    assert openai.AsyncOpenAI  # the SDK is lazy, too
    torch.set_num_threads(1)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os.environ[ADDRESS], _, config = line.partition(" ")
            straight(RefreshConfig.model_validate_json(config))
            os._exit(0)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
