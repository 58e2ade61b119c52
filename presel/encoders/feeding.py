"""Images of a source as an encoder wants them: read and decoded ahead of it, in batches.

Reading waits for a network, decoding keeps processors busy, computing keeps the accelerator busy; done one after the other each
waits for the other two. So 32 readers run ahead of the decoding processes and these ahead of the encoder, a bounded number of
images and bytes ahead, and the slowest of the three alone sets the pace.

A decoding process gets sixteen files at once: where others use the cores, too, it waits long for each word from here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from numpy.typing import NDArray

from presel.concurrency.ahead import Stopwatch, ahead, shared_pool
from presel.concurrency.blocks import cores
from presel.config import EncoderConfig
from presel.config.keys import digest
from presel.encoders.encoder import Encoder
from presel.images import Reason, Rejected
from presel.images.child import How
from presel.images.decoder import File, Opened
from presel.images.decoders import decoders
from presel.sources import Source

READERS = 32
_GROUP, _GROUP_BYTES = 16, 2**20
_AHEAD_BYTES = 2**27
"""Of files that are read and not decoded yet, and again of files that are being decoded."""


class Image(NamedTuple):
    """One object of the source, and its catalog rows: one for each of its tasks."""

    rows: list[dict[str, Any]]

    @property
    def first(self) -> dict[str, Any]:
        return self.rows[0]


class Item(NamedTuple):
    """A usable image on its way to the encoder."""

    image: Image
    known: dict[str, Any]
    """What reading and decoding told: content, width, height, format."""
    prepared: NDArray[Any]


class Refusal(NamedTuple):
    image: Image
    why: Rejected


Got = tuple[Image, bytes | Rejected]


@dataclass(frozen=True)
class Seconds:
    """Work, summed over the threads and processes that did it."""

    read: Stopwatch = field(default_factory=Stopwatch)
    decode: Stopwatch = field(default_factory=Stopwatch)
    compute: Stopwatch = field(default_factory=Stopwatch)


@dataclass(frozen=True)
class Feed:
    source: Source
    model: Encoder
    config: EncoderConfig
    seconds: Seconds

    def batches(self, images: list[Image]) -> Iterator[list[Item | Refusal]]:
        """In the order given, `batch_size` at a time; reading and decoding go on while the caller works on a batch.

        Raises what reading raises when a source cannot be used at all, and PreselError when no process can decode.
        """
        decoders(cores()).start()
        size = self.config.batch_size
        raw = ahead(self._read, images, shared_pool("read", READERS), 2 * READERS, _listed_size, _AHEAD_BYTES)
        groups = _groups(raw, max(1, min(_GROUP, len(images) // (2 * cores()))))
        window = max(2 * size // _GROUP, 2 * cores())
        decoded = ahead(self._decode, groups, shared_pool("decode", cores()), window, _size, _AHEAD_BYTES)
        ready = itertools.chain.from_iterable(decoded)
        while batch := list(itertools.islice(ready, size)):
            yield batch

    def _read(self, image: Image) -> Got:
        key, etag, size = image.first["key"], image.first["etag"], image.first["size"]
        pixels = self.config.images.max_pixels
        if size > 16 * pixels:  # no layout takes more bytes a pixel: not worth the memory to find out
            return image, Rejected(Reason.TOO_MANY_PIXELS, f"{size:,} bytes, more than {pixels:,} pixels take")
        with self.seconds.read:
            return image, self.source.read(key, etag, size)

    def _decode(self, group: list[Got]) -> list[Item | Refusal]:
        files = [File(data, image.first["key"]) for image, data in group if isinstance(data, bytes)]
        answers = iter(decoders(cores()).open(files, self._how) if files else ())
        ends: list[Item | Refusal] = []
        for image, data in group:
            if isinstance(data, Rejected):
                ends.append(Refusal(image, data))
                continue
            answer = next(answers)
            self.seconds.decode.add(answer.seconds)
            with self.seconds.decode:
                ends.append(self._end(image, data, answer.end))
        return ends

    @property
    def _how(self) -> How:
        limits = self.config.images
        bounds = limits.max_pixels, limits.min_side, limits.max_aspect_ratio
        return How(bounds, self.model.side, self.model.preparation)

    def _end(self, image: Image, data: bytes, opened: Opened | Rejected) -> Item | Refusal:
        if isinstance(opened, Rejected):
            return Refusal(image, opened)
        known = {"content": digest(data), "width": opened.width, "height": opened.height, "format": opened.format}
        done = self.model.preparation is not None
        return Item(
            image, known, opened.array if done else self.model.prepare(opened.array, (opened.width, opened.height))
        )


def _listed_size(image: Image) -> int:
    return int(image.first["size"])


def _size(group: list[Got]) -> int:
    return sum(len(data) for _, data in group if isinstance(data, bytes))


def _groups(raw: Iterable[Got], count: int) -> Iterator[list[Got]]:
    """Up to `count` files together, but few large ones."""
    group: list[Got] = []
    for got in raw:
        group.append(got)
        if len(group) == count or _size(group) > _GROUP_BYTES:
            yield group
            group = []
    if group:
        yield group
