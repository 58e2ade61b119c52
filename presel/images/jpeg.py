"""JPEG pixels, and what libjpeg-turbo says about the data they came from.

libjpeg paints what it cannot find grey, warns, and goes on; Pillow drops the warnings. So the pixels are taken from the same
library through simplejpeg, which reports them: the same bytes as Pillow's, 10 % faster. A warning about the picture's data
means half a picture; the harmless ones are named here. Pillow decodes what simplejpeg cannot (CMYK, odd sampling).
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any, cast

from presel.images.markers import MARKER, end, frame
from presel.images.pillow import Image
from presel.images.reasons import Reason
from presel.images.rejected import Broken

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.ImageFile import ImageFile

_DCT = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
_LEFT_OVER = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_HARMLESS = ("ICC", "Inconsistent progression", "JFIF revision", "Adobe color transform", "too many scanlines")
_PADDING = 3
"""Bytes that encoders leave between the data and the end marker."""
_READ_AHEAD = 16
"""Bytes that libjpeg may have taken already when it counts those that are left."""
_HOLE = bytes(16)
"""Where zeros are coefficients, chance does not make so many: it is 42 of one sign in a row."""
_MOST_SCANS = 200


def load(opened: ImageFile, data: bytes, scale: float) -> Image.Image:
    """The pixels of the first picture in `data`, at 1, 1/2, 1/4 or 1/8 of its size, no smaller than `scale` asks.

    Raises Broken for data that libjpeg mends by guessing.
    """
    _bounded(data)
    _not_blanked(data)
    coding = frame(data)
    lossy = coding is not None and coding.coding in _DCT
    eighths = next(n for n in (1, 2, 4, 8) if n == 8 or (lossy and _fits(opened.size, n, scale)))
    pixels = _heard(data, opened, eighths)
    if pixels is not None:
        return pixels
    if eighths < 8:
        opened.draft(None, (int(opened.width * scale) + 1, int(opened.height * scale) + 1))
    opened.load()
    return opened


def check(data: bytes) -> None:
    """Raises Broken when libjpeg guesses pixels of this picture, which is decoded at an eighth to find that out."""
    found = frame(data)
    if found is not None:
        _decoded(data, {"colorspace": "CMYK" if found.components == 4 else "GRAY", "min_width": 1, "min_height": 1})


def _fits(size: tuple[int, int], eighths: int, scale: float) -> bool:
    return all(length // (int(length * scale) + 1) >= 8 // eighths for length in size)


def _bounded(data: bytes) -> None:
    """A progressive JPEG may repeat its scans without end, and each costs a pass over all pixels: 100 kB can take minutes."""
    scans = data.count(b"\xff\xda", 0, end(data))  # a film may follow the picture
    if scans > _MOST_SCANS:
        raise Broken(Reason.UNDECODABLE, f"JPEG: {scans:,} scans, at most {_MOST_SCANS}")


def _not_blanked(data: bytes) -> None:
    """Raises Broken for a hole of zeros in the data of a baseline picture.

    libjpeg decodes zeros as well as anything and often comes out even. But where the shortest code of a table is a coefficient
    and not the end of a block, as in the tables that most encoders use, zeros are blocks of 63 equal coefficients.
    """
    stop = len(data[: (end(data) or len(data) + 2) - 2].rstrip(b"\0"))  # what fills up the end is not among the data
    hole, position, first, coded = data.find(_HOLE, 0, stop), 2, dict[int, int](), False
    while position <= hole and (found := MARKER.search(data, position)):
        marker, start = data[found.start() + 1], found.end()
        if marker == 0xD8 or start + 2 > len(data):
            position = start
            continue
        position = start + max(2, struct.unpack_from(">H", data, start)[0])
        coded |= marker in (0xC0, 0xC1)
        if marker == 0xC4:
            first |= _first_symbols(data[start + 2 : position])
        following = MARKER.search(data, position) if marker == 0xDA and coded else None
        if following and position <= hole < following.start():
            tables = {data[start + 4 + 2 * number] & 15 for number in range(data[start + 2])}
            if any(first.get(table, 0) & 15 for table in tables):
                raise Broken(Reason.UNDECODABLE, f"JPEG: a hole of zeros in its data, at byte {hole:,}")


def _first_symbols(tables: bytes) -> dict[int, int]:
    """AC table -> the symbol of its shortest code, which is all zeros."""
    first, at = {}, 0
    while at + 17 < len(tables):
        if tables[at] & 0x10:
            first[tables[at] & 15] = tables[at + 17]
        at += 17 + sum(tables[at + 1 : at + 17])
    return first


def _heard(data: bytes, opened: ImageFile, eighths: int) -> Image.Image | None:
    """None when the data are good and the pixels are Pillow's to decode."""
    space = {"RGB": "RGB", "L": "GRAY"}.get(opened.mode)
    if space is None:
        check(data)
        return None
    width, height = (-(-length * eighths // 8) for length in opened.size)
    array = _decoded(data, {"colorspace": space, "min_width": width, "min_height": height})
    if array is None:
        return None
    image = Image.fromarray(array[..., 0] if space == "GRAY" else array)
    image.info = opened.info
    return image


def _decoded(data: bytes, asked: dict[str, Any]) -> NDArray[np.uint8] | None:
    """None when simplejpeg cannot decode such pictures."""
    import simplejpeg

    try:
        return cast("NDArray[np.uint8]", simplejpeg.decode_jpeg(data, strict=True, **asked))
    except ValueError as error:
        said = str(error)
    if _is_harmless(said, data):
        try:
            return cast("NDArray[np.uint8]", simplejpeg.decode_jpeg(data, strict=False, **asked))
        except ValueError:  # it minds nothing among the data, but what is odd among the headers
            return None
    if said.startswith(("Corrupt JPEG data", "Premature end")):
        short = "premature end" in said.lower()
        raise Broken(Reason.TRUNCATED if short else Reason.UNDECODABLE, f"JPEG: {said}")
    return None


def _is_harmless(said: str, data: bytes) -> bool:
    """Whether a warning says nothing against the pixels."""
    if "extraneous bytes" not in said:
        return any(words in said for words in _HARMLESS)
    if left := _LEFT_OVER.search(said):
        return _is_padding(int(left[1]), data)
    return _is_before_the_picture(data)


def _is_padding(count: int, data: bytes) -> bool:
    """Cameras fill their data up with equal bytes. A damaged file ends in them, too, but then pixels were made of some."""
    last = end(data)
    if count <= _PADDING or last is None:
        return count <= _PADDING
    body = data[: last - 2]
    return count <= len(body) - len(body.rstrip(body[-1:])) <= count + _READ_AHEAD


def _is_before_the_picture(data: bytes) -> bool:
    """Whether bytes that belong to nothing lie among the headers, where they do no harm."""
    import simplejpeg

    try:
        simplejpeg.decode_jpeg_header(data, strict=True)
    except ValueError:
        return True
    return False
