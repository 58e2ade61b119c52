"""Decoding in processes of their own: where a crash, a hang or a hunger for memory costs one image, not the run.

Every format goes through C libraries whose bugs are found by fuzzing every year, and a segfault takes its process along. So no
picture of a pool is decoded in this one: each core has a child (`child.py`) that opens a few at a time and leaves their pixels
in shared memory. What it costs and gains is in docs/performance-notes.md.

Answers come one by one, so a child that dies holds exactly one image. A fresh one is asked for that image alone, since an
out-of-memory killer may have been at work; if it dies, too, the image is a reject. Nothing of this depends on how busy the
machine is: patience is counted in processor time, so who loses it would lose it again.
"""

from __future__ import annotations

import atexit
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from queue import Empty, SimpleQueue

from presel.concurrency.blocks import cores
from presel.images.child import How
from presel.images.decoder import Answer, Decoder, File, Lost
from presel.images.decoding import Limits
from presel.images.formats import sniff
from presel.images.pillow import Image
from presel.images.reasons import Reason
from presel.images.rejected import Rejected

_QUESTION = 16 * 2**20
"""Bytes of files in one question."""


class Decoders:
    """As many children as pictures may be opened at once. May be used by any number of threads, which wait for a free one."""

    def __init__(self, children: Sequence[Decoder]) -> None:
        self._children = children
        self._idle: SimpleQueue[Decoder] = SimpleQueue()
        for child in children:
            self._idle.put(child)

    def start(self) -> None:
        """Start what does not run, without waiting for it: a tenth of a second that others can use."""
        for _ in self._children:
            with suppress(Empty):
                child = self._idle.get_nowait()
                child.start()
                self._idle.put(child)

    def open(self, files: Sequence[File], how: How) -> list[Answer]:
        """What became of each file, in order. Raises PreselError when no child can be started."""
        child = self._idle.get()
        try:
            return list(_all(child, files, how))
        finally:
            self._idle.put(child)

    def close(self) -> None:
        for child in self._children:
            child.close()


def decoders(count: int) -> Decoders:
    """Those of this process, shared by parts that are embedded side by side."""
    return _of_process(os.getpid(), count)  # a fork has its parent's objects, but not its children


@lru_cache(maxsize=1)
def _of_process(_: int, count: int) -> Decoders:
    made = Decoders([Decoder() for _ in range(count)])
    atexit.register(made.close)
    return made


def opened(data: bytes, limits: Limits, name: str, side: int | None = None) -> Image.Image | Rejected:
    """One picture, upright 8-bit RGB in sRGB, decoded in a child. `side`: that many pixels of its shorter side will do."""
    bounds = limits.max_pixels, limits.min_side, limits.max_aspect_ratio
    end = decoders(cores()).open([File(data, name)], How(bounds, side, None))[0].end
    return end if isinstance(end, Rejected) else Image.fromarray(end.array)


def _all(child: Decoder, files: Sequence[File], how: How) -> Iterator[Answer]:
    waiting, deaths = deque(files), 0
    while waiting:
        try:
            for answer in child.ask([waiting[0]] if deaths else _some(waiting), how):
                waiting.popleft()
                deaths = 0
                yield answer
        except Lost as death:
            deaths += 1
            if deaths == 2 or death.deserved:
                deaths = 0
                told = f"{sniff(waiting.popleft().data)}: its decoder {death}"
                yield Answer(Rejected(Reason.UNDECODABLE, told), 0.0)


def _some(waiting: deque[File]) -> list[File]:
    """The first few: at least one, and no more bytes than a question should hold."""
    some, size = [waiting[0]], len(waiting[0].data)
    for file in list(waiting)[1:]:
        size += len(file.data)
        if size > _QUESTION:
            break
        some.append(file)
    return some
