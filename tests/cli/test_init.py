"""`presel init` in a terminal asks, and writes nothing before its last answer; without one it asks nothing."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from presel.config.file import load
from presel.config.template import render, short

CTRL_C, END = "\x03", "\x04"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for task in ("one", "two"):
        (tmp_path / "pool" / task).mkdir(parents=True)
        for number in range(10):
            picture = np.full((8, 8, 3), number, dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / "pool" / task / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*answers: str, end: str = "") -> tuple[int, str]:
    """The command in a terminal of its own, with these lines typed into it."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "presel", "init"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=_owns_the_terminal)
    os.close(theirs)
    shown = b""
    typed = [*(f"{answer}\n" for answer in answers), end]
    try:
        while piece := os.read(ours, 4096):
            shown += piece
            if typed and shown.rstrip(b" ").endswith(b":"):
                os.write(ours, typed.pop(0).encode())
    except OSError:  # its other end is closed
        pass
    os.close(ours)
    return process.wait(60), shown.decode()


def _owns_the_terminal() -> None:
    import fcntl
    import signal
    import termios

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # where the tests are a background job of a shell, it is ignored
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_the_answers_make_a_short_file_that_loads(place: Path) -> None:
    code, said = init("pool", "", "store", "my-own", "http://there/v1", "0.1", "0.2", "MY_KEY", "50%", "0.25")
    assert code == 0, said
    for told in ("20 possible images in 2 tasks", "one: 10", "10 of 20 images: at most $", "export MY_KEY=..."):
        assert told in said
    config = load(place / "presel.yaml")
    assert (config.source.uri, config.store) == (str(place / "pool"), str(place / "store"))
    assert (config.generator.model, config.generator.base_url) == ("my-own", "http://there/v1")
    assert config.generator.prices is not None
    assert config.generator.prices.output_per_million == 0.2
    assert (config.budget.share, config.generator.max_cost) == (0.5, 0.25)
    assert len((place / "presel.yaml").read_text().splitlines()) < 25


@pytest.mark.parametrize("end", [CTRL_C, END], ids=["ctrl-c", "end of input"])
def test_whoever_gives_up_leaves_nothing_behind(end: str, place: Path) -> None:
    code, said = init("pool", "", end=end)
    assert code == 130
    assert "Nothing was written" in said
    assert "Traceback" not in said
    assert [entry.name for entry in place.iterdir()] == ["pool"]


def test_without_a_terminal_nothing_is_asked(place: Path) -> None:
    command = [sys.executable, "-m", "presel", "init"]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=60, check=True)
    assert "?" not in done.stdout
    assert load(place / "presel.yaml").source.uri == "s3://my-bucket/images"


def test_a_short_file_has_the_defaults_of_the_whole_one(tmp_path: Path) -> None:
    for name, text in (("short.yaml", short(source__uri="a")), ("whole.yaml", render(source__uri="a"))):
        (tmp_path / name).write_text(text)
        assert max(map(len, text.splitlines())) <= 130
    assert load(tmp_path / "short.yaml") == load(tmp_path / "whole.yaml")
