"""Decoding processes: what a crash, a hang or a hunger for memory costs, and what is left when we are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from presel.config import ImageConfig
from presel.errors import PreselError
from presel.images import Picture
from presel.images.child import How
from presel.images.decoder import Decoder, File, Opened
from presel.images.decoders import Decoders
from presel.images.decoding import open_picture
from tests.image_files import encoded, files, photograph

LIMITS = ImageConfig()
HOW = How((LIMITS.max_pixels, LIMITS.min_side, LIMITS.max_aspect_ratio), None, None)
DOOMED = (61, 47)
FATES = """
import ctypes, os, signal, sys
from PIL import ImageFile
load = ImageFile.ImageFile.load
def fateful(self):
    width, height = self.size
    if width == 61:
        {47: lambda: ctypes.string_at(0), 48: lambda: os.abort(), 49: endless, 50: greedy, 51: lambda: os._exit(0),
         53: babble}[height]()
    return load(self)
def endless():
    while True: pass
def greedy():
    raise SystemExit(len(bytearray(20 * 2**30)))
def babble():
    for fd in range(3, 20):
        try: os.write(fd, b'{"at": -5, "shape": "x"}\\n')
        except OSError: pass
ImageFile.ImageFile.load = fateful
import simplejpeg
decode = simplejpeg.decode_jpeg
def fateful_too(data, **asked):
    if simplejpeg.decode_jpeg_header(data)[1] == 61: ctypes.string_at(0)
    return decode(data, **asked)
simplejpeg.decode_jpeg = fateful_too
"""
"""Run by every Python process that finds it in PYTHONPATH: what a decoder does at pictures of 61 pixels' width."""


@pytest.fixture
def doom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(FATES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.fixture
def one() -> Iterator[Decoders]:
    decoders = Decoders([Decoder(patience=1.0)])
    yield decoders
    decoders.close()


def doomed(height: int, format: str = "PNG") -> File:
    return File(encoded(photograph(61, height), format), "doomed")


def fine(count: int) -> list[File]:
    return [File(encoded(photograph(40 + number, 30), "JPEG"), f"{number}.jpg") for number in range(count)]


def ends(decoders: Decoders, asked: list[File], how: How = HOW) -> list[str]:
    """The widths of what was usable, and the details of what was not."""
    answers = [answer.end for answer in decoders.open(asked, how)]
    return [str(end.width) if isinstance(end, Opened) else f"{end.reason}: {end.detail}" for end in answers]


def test_a_picture_opened_by_a_child_is_the_same_picture(one: Decoders) -> None:
    asked = [File(data, name) for name, whole in files().items() for data in (whole, whole[:200])]
    for file, answer in zip(asked, one.open(asked, HOW), strict=True):
        here = open_picture(file.data, LIMITS, file.name)
        if isinstance(here, Picture):
            assert isinstance(answer.end, Opened)
            assert (answer.end.array == np.asarray(here.image)).all()
            assert answer.end[1:] == (here.width, here.height, here.format)
        else:
            assert answer.end == here


@pytest.mark.parametrize(
    ("height", "told"),
    [
        (47, "crashed (SIGSEGV)"),
        (48, "crashed (SIGABRT)"),
        (49, "took longer than 1 s of processor time"),
        (50, "MemoryError"),
        (51, "crashed (exit status 0)"),
    ],
)
def test_whatever_a_decoder_does_costs_one_image(one: Decoders, doom: None, height: int, told: str) -> None:
    asked = fine(6)
    asked[3:3] = [doomed(height)]
    got = ends(one, asked)
    assert got.pop(3).startswith("undecodable: PNG: ")
    assert got == [str(40 + number) for number in range(6)]
    assert told in ends(one, [doomed(height)])[0]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM"])
def test_a_segfault_in_any_format_is_a_reject(one: Decoders, doom: None, format: str) -> None:
    assert ends(one, [*fine(1), doomed(47, format), *fine(1)]) == [
        "40",
        f"undecodable: {format}: its decoder crashed (SIGSEGV)",
        "40",
    ]


def test_every_image_may_crash_and_the_child_is_replaced_each_time(one: Decoders, doom: None) -> None:
    got = ends(one, [doomed(47), doomed(48), *fine(2), doomed(47)])
    assert [end.partition(":")[0] for end in got] == ["undecodable", "undecodable", "40", "41", "undecodable"]


def test_a_child_that_was_killed_from_outside_costs_nothing(one: Decoders) -> None:
    assert ends(one, fine(1)) == ["40"]
    child = one._children[0]._child
    assert child is not None
    child.kill()
    assert ends(one, fine(3)) == ["40", "41", "42"]


def test_a_child_that_talks_nonsense_is_not_believed(one: Decoders, doom: None) -> None:
    assert ends(one, [*fine(2), doomed(53), *fine(1)]) == [
        "40",
        "41",
        "undecodable: PNG: its decoder answered nonsense",
        "40",
    ]


def test_large_pictures_do_not_pile_up_in_memory(one: Decoders) -> None:
    large = File(encoded(Image.new("RGB", (4000, 3000), (10, 200, 30)), "PNG"), "large.png")
    assert ends(one, [large] * 5) == ["4000"] * 5
    memory = one._children[0]._memory
    assert os.fstat(memory.file).st_blocks * 512 < 150 * 2**20
    assert os.fstat(memory.file).st_nlink == 0  # it has no name: nothing to clear away after a kill


def test_a_preparation_is_run_by_the_child_and_its_mistakes_end_the_run(one: Decoders) -> None:
    from presel.encoders.builtin import BuiltinEncoder

    (answer,) = one.open(fine(1), HOW._replace(prepare=BuiltinEncoder.preparation))
    assert isinstance(answer.end, Opened)
    here = open_picture(fine(1)[0].data, LIMITS)
    assert isinstance(here, Picture)
    assert (answer.end.array == BuiltinEncoder().prepare(here.image)).all()
    with pytest.raises(PreselError, match="prepared"):
        one.open(fine(1), HOW._replace(prepare="presel.images.formats:sniff"))


def test_children_that_cannot_start_are_an_error_and_not_a_thousand_rejects() -> None:
    broken = Decoders([Decoder([sys.executable, "-c", "import nosuchmodule"])])
    with pytest.raises(PreselError, match="cannot be started"):
        broken.open(fine(1), HOW)


def test_a_child_that_is_killed_while_it_starts_costs_nothing(one: Decoders, tmp_path: Path) -> None:
    first = tmp_path / "first"
    once = f"import os, sys; os.path.exists({str(first)!r}) or (open({str(first)!r}, 'w'), os.kill(os.getpid(), 9)); "
    serve = "from presel.images.child import serve; serve(int(sys.argv[1]), float(sys.argv[2]))"
    decoders = Decoders([Decoder([sys.executable, "-c", once + serve])])
    assert ends(decoders, fine(3)) == ends(one, fine(3))
    assert first.exists()
    decoders.close()


def test_threads_share_the_children(one: Decoders) -> None:
    both = Decoders([Decoder(), Decoder()])
    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(lambda number: ends(both, fine(number)), range(1, 13)))
    assert got == [[str(40 + number) for number in range(count)] for count in range(1, 13)]
    both.close()


PARENT = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
from presel.images.decoders import decoders
shared = decoders(2)
shared.start()
from tests.test_decoders import HOW, fine
shared.open(fine(1), HOW)
print(*[child._child.pid for child in shared._children], flush=True)
sys.stdin.read()
"""


def gone(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return True


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, None])
def test_no_child_outlives_its_parent(how: signal.Signals | None) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    children = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(children) == 2
    assert not any(map(gone, children))
    parent.stdin.close() if how is None else parent.send_signal(how)
    parent.wait()
    until = time.monotonic() + 10
    while not all(map(gone, children)) and time.monotonic() < until:
        time.sleep(0.05)
    assert all(map(gone, children))
