"""The decoding process: opens pictures for `apart.py`, and dies for them if need be.

A question is a line of JSON that says where in the shared memory a few files lie and how they are wanted; the answer is a line
for each file, in order. Whatever a decoder does here, it does to this process: a crash ends it, so does an endless loop (after
`patience` seconds of *processor* time, which no busy machine shortens), and more memory than an admitted picture takes is not
to be had. It needs numpy and Pillow and starts in a tenth of a second; it ends with its input, or after a minute without any.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from presel.images.decoding import Bounds, open_picture
from presel.images.memory import Memory
from presel.images.pillow import Image
from presel.images.rejected import Rejected

ENOUGH = 32 * 2**20
"""Bytes of answers after which the rest of a question is left for the next one, so that large pictures do not pile up."""
_IDLE = 60_000
"""Milliseconds."""
Prepare = Callable[[Image.Image], NDArray[Any]]


class How(NamedTuple):
    """What is wanted of every picture of a question."""

    limits: tuple[int, int, float]
    """max_pixels, min_side, max_aspect_ratio"""
    side: int | None
    prepare: str | None
    """`module:function` from a picture to an array; None for its pixels."""


def serve(file: int, patience: float) -> None:
    """Answer questions from standard input on standard output until there are none."""
    answers = os.dup(1)
    os.dup2(2, 1)  # nobody else's words among the answers
    _endure_little()
    memory = Memory(file)
    _tell(answers, {"ready": True})
    for question in _questions():
        room = memory.room(question["room"])
        _limit_memory(question["room"], question["how"][0][0])
        for told in _answers(question, room, patience):
            _tell(answers, told)


def _endure_little() -> None:
    """No core file of a crash; and if the machine runs out of memory, let it be this process that is ended."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    Image.MAX_IMAGE_PIXELS = None  # the limits of a question count
    with suppress(OSError):  # Linux only
        Path("/proc/self/oom_score_adj").write_text("1000")


def _answers(question: dict[str, Any], room: memoryview, patience: float) -> Iterator[dict[str, Any]]:
    how, at = How(*question["how"]), question["answers_at"]
    most = at + ENOUGH
    for number, (start, length, name) in enumerate(question["files"], 1):
        signal.setitimer(signal.ITIMER_PROF, patience)
        began = time.perf_counter()
        told, array = _open(bytes(room[start : start + length]), name, how)
        room[at : at + array.nbytes] = array.ravel().view(np.uint8).data
        told |= {"at": at, "shape": array.shape, "dtype": array.dtype.str}
        at += array.nbytes
        last = number == len(question["files"]) or at > most
        yield told | {"seconds": time.perf_counter() - began, "last": last}
        if last:
            break
    signal.setitimer(signal.ITIMER_PROF, 0)


def _open(data: bytes, name: str, how: How) -> tuple[dict[str, Any], NDArray[Any]]:
    opened = open_picture(data, Bounds(*how.limits), name, how.side)
    if isinstance(opened, Rejected):
        return {"reason": opened.reason.name, "detail": opened.detail}, np.empty(0, np.uint8)
    known = {"width": opened.width, "height": opened.height, "format": opened.format}
    try:
        return known, np.ascontiguousarray(_preparation(how.prepare)(opened.image))
    except MemoryError:
        return {"reason": "UNDECODABLE", "detail": f"{opened.format}: it takes too much memory"}, np.empty(0, np.uint8)
    except Exception as error:  # a preparation's mistake is not a picture's fate: the run must end over it
        return {"error": f"{type(error).__name__}: {error}"}, np.empty(0, np.uint8)


_PREPARATIONS: dict[str | None, Prepare] = {None: np.asarray}


def _preparation(name: str | None) -> Prepare:
    if name not in _PREPARATIONS:
        module, _, function = str(name).partition(":")
        _PREPARATIONS[name] = getattr(importlib.import_module(module), function)
    return _PREPARATIONS[name]


def _questions() -> Iterator[Any]:
    waiting, line = select.poll(), b""
    waiting.register(0, select.POLLIN)
    while waiting.poll(_IDLE):
        got = os.read(0, 65536)
        if not got:
            return
        line += got
        if line.endswith(b"\n"):
            yield json.loads(line)
            line = b""


def _tell(answers: int, told: dict[str, Any]) -> None:
    os.write(answers, json.dumps(told).encode() + b"\n")


def _limit_memory(room: int, max_pixels: int) -> None:
    """What the interpreter has, what is shared, and 48 bytes a pixel: a float picture is scaled in double precision."""
    with suppress(OSError, ValueError):  # where a limit cannot be set, there is none
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (2**30 + 2 * room + 48 * max_pixels, hard))


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]))
