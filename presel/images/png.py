"""A PNG's chunks: what of them is needed, and whether all rows are there.

Pillow takes a PNG whose packed rows end early, leaving the others black, and refuses one for a wrong checksum in a comment.
libpng, and with it every browser, does the opposite.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from presel.images import sixteen
from presel.images.pillow import Image, PngImagePlugin
from presel.images.reasons import Reason
from presel.images.rejected import Broken

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PIXELS_ALONE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"})
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row, and steps across and down, of the seven passes of an interlaced picture."""
_PIECE = 2**20
# Profiles of printers and histories of editors are larger than Pillow's 1 MB, and bombs are larger than this.
PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, 2**25)


class Chunk(NamedTuple):
    kind: bytes
    start: int
    """Of its length field."""
    stop: int
    whole: bool
    """Its checksum is right."""

    @property
    def ancillary(self) -> bool:
        return bool(self.kind[0] & 0x20)


def chunks(data: bytes) -> Iterator[Chunk]:
    """Up to the end of the picture, or of the file."""
    position = 8
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        stop = position + 12 + length
        if stop > len(data):
            return
        checksum = struct.unpack_from(">I", data, stop - 4)[0]
        yield Chunk(kind, position, stop, zlib.crc32(data[position + 4 : stop - 4]) == checksum)
        if kind == b"IEND":
            return
        position = stop


def without_damaged_remarks(data: bytes) -> bytes:
    """The same file without the ancillary chunks whose checksum is wrong; the same object if there are none."""
    found = list(chunks(data))
    if all(chunk.whole or not chunk.ancillary for chunk in found):
        return data
    return _joined(data, [chunk for chunk in found if chunk.whole or not chunk.ancillary])


def pixels_alone(data: bytes) -> bytes:
    """The same picture without text, profiles, and whatever else is not pixels."""
    return _joined(data, [chunk for chunk in chunks(data) if chunk.kind in _PIXELS_ALONE])


def _joined(data: bytes, wanted: list[Chunk]) -> bytes:
    return b"".join((data[:8], *(data[chunk.start : chunk.stop] for chunk in wanted)))


def load(opened: ImageFile, data: bytes) -> Image.Image:
    """The picture, all of whose rows are there. Raises Broken."""
    opened.load()
    _check(opened, data)
    depth, kind = data[24], data[25]
    if depth == 16 and kind in (2, 4, 6) and sixteen.needed(opened):
        return sixteen.load(opened, data) or opened
    key = opened.info.get("transparency")
    if kind == 0 and depth < 8 and isinstance(key, int):  # Pillow spreads the greys over all levels, and not this one
        opened.info["transparency"] = key * (255 // (2**depth - 1))
    return opened


def _check(opened: ImageFile, data: bytes) -> None:
    """Raises Broken when a loaded picture lacks its palette or rows.

    Rows are written in order and start as zeros, so one that ends in anything else is whole; for the others, and where a
    checksum of the data is wrong, the rows are unpacked once more and counted.
    """
    found = list(chunks(data))
    width, height, depth, kind, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if kind == 3 and all(chunk.kind != b"PLTE" for chunk in found):
        raise Broken(Reason.UNDECODABLE, "PNG: a palette picture without its palette")
    rows = [chunk for chunk in found if chunk.kind == b"IDAT"]
    if not interlaced and all(chunk.whole for chunk in rows) and _ends_in_something(opened):
        return
    wanted = _unpacked_size(width, height, depth * _CHANNELS[kind], bool(interlaced))
    there = _unpacked((data[chunk.start + 8 : chunk.stop - 4] for chunk in rows), wanted)
    if there < wanted:
        raise Broken(Reason.TRUNCATED, f"PNG: {wanted:,} bytes of rows announced, {there:,} there")


def _ends_in_something(opened: ImageFile) -> bool:
    last = opened.crop((0, opened.height - 1, opened.width, opened.height))
    return last.getbbox(alpha_only=False) is not None


def _unpacked_size(width: int, height: int, bits: int, interlaced: bool) -> int:
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    sizes = ((-((x - width) // across), -((y - height) // down)) for x, y, across, down in passes)
    return sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in sizes if columns > 0 and rows > 0)


def _unpacked(packed: Iterator[bytes], enough: int) -> int:
    """Bytes that come out, up to `enough` of them. Raises Broken when they are not those that were packed."""
    unpacker, count = zlib.decompressobj(), 0
    try:
        for piece in packed:
            left = piece
            while left and count < enough:
                count += len(unpacker.decompress(left, _PIECE))
                left = unpacker.unconsumed_tail
        while count < enough and (more := unpacker.decompress(unpacker.unconsumed_tail, _PIECE)):
            count += len(more)
    except zlib.error as error:
        raise Broken(Reason.UNDECODABLE, f"PNG: {error}") from None
    return count
