"""A command that is told to end, by keys in a terminal or by `timeout`, keeps its answers and leaves nothing behind."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from presel.demo.endpoint import serve
from presel.demo.endpoint.answers import looks
from presel.demo.setting import ENDPOINT, KEY, demo_config, environment
from tests.system.processes import descendants, until

CTRL_C = b"\x03"
pytestmark = pytest.mark.skipif(
    not os.environ.get("PRESEL_SYSTEM"), reason="whole runs, each with a server: `make test-system` has them"
)


class Run(NamedTuple):
    process: subprocess.Popen[bytes]
    terminal: int
    store: Path
    shown: list[bytes]

    def said(self) -> str:
        return b"".join(self.shown).decode(errors="replace")

    def answers(self) -> int:
        return sum(1 for file in (self.store / "ledger").rglob("*") if file.is_file())


def _read(terminal: int, shown: list[bytes]) -> None:
    """A terminal that nobody reads is full after 4 kB, and whoever writes to it waits."""
    with suppress(OSError):  # its other end is gone with the last process there
        while piece := os.read(terminal, 65536):
            shown.append(piece)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, draw = tmp_path_factory.mktemp("pool"), np.random.default_rng(0)
    for task in ("one", "two"):
        (folder / task).mkdir()
        for number in range(12):
            picture = np.kron(draw.integers(0, 255, (8, 8, 3), dtype=np.uint8), np.ones((16, 16, 1), dtype=np.uint8))
            Image.fromarray(picture).save(folder / task / f"{number}.png")
    return folder


@pytest.fixture
def run(pool: Path, tmp_path: Path) -> Iterator[Run]:
    """`presel run` in a terminal of its own, at the moment at which its endpoint is asked for the first time."""
    config, file, (ours, theirs) = (
        demo_config(str(pool), str(tmp_path / "store")),
        tmp_path / "presel.yaml",
        pty.openpty(),
    )
    file.write_text(config.model_dump_json())
    with serve(looks, latency=2.0) as endpoint, environment(**{ENDPOINT: endpoint.url, KEY: "demo"}):
        os.environ.update(PREFECT_HOME=str(tmp_path / "prefect"))
        # A proxy that would never answer, and the database of somebody's server, are no business of a private one.
        os.environ.update(HTTP_PROXY="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9")
        os.environ.update(PREFECT_API_DATABASE_CONNECTION_URL=f"sqlite+aiosqlite:///{tmp_path}/production.db")
        command = [sys.executable, "-m", "presel.cli", "run", "-c", str(file)]
        process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=_takes_the_terminal
        )
        os.close(theirs)
        shown: list[bytes] = []
        reader = threading.Thread(target=_read, args=(ours, shown), daemon=True)
        reader.start()
        try:
            until(lambda: process.poll() is not None or endpoint.counts.total, 300, 0.1)
            yield Run(process, ours, tmp_path / "store", shown)
        finally:
            process.kill()
            process.wait()
            reader.join(10)
            os.close(ours)
    assert not (tmp_path / "production.db").exists()


def _takes_the_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def nothing_left(before: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in before)


@pytest.mark.parametrize("how", ["ctrl-c", "sigterm twice"])
def test_a_run_that_is_told_to_end_keeps_its_answers_and_leaves_no_server_behind(run: Run, how: str) -> None:
    family, began = descendants(run.process.pid), time.monotonic()
    assert family, run.said()
    if how == "ctrl-c":
        os.write(run.terminal, CTRL_C)
    else:  # as `timeout` does
        os.killpg(run.process.pid, signal.SIGTERM)
        os.killpg(run.process.pid, signal.SIGTERM)
    assert run.process.wait(90) == 130
    assert time.monotonic() - began < 60
    assert "Traceback" not in run.said()
    assert run.answers() > 0
    until(lambda: nothing_left(family), 10)


def test_a_second_ctrl_c_ends_at_once(run: Run) -> None:
    family = descendants(run.process.pid)
    os.write(run.terminal, CTRL_C)
    time.sleep(0.7)
    began = time.monotonic()
    os.write(run.terminal, CTRL_C)
    assert run.process.wait(20) == 130
    assert time.monotonic() - began < 5
    until(lambda: nothing_left(family), 20)
