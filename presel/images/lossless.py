"""A JPEG that needs nothing done to it is sent as it is, but for everything in it that is not the picture.

Most of a pool is upright sRGB JPEGs of ordinary size. Decoding and encoding one again costs 4 ms of CPU for 768 x 600 pixels,
loses a little of the picture, and makes the body twice as long (quality 90 of what was stored at 75). Taking it apart at its
markers costs a tenth of a millisecond and loses nothing.

What a file carries besides pixels must not reach a provider: places and serial numbers in EXIF, an uncropped thumbnail, a
whole second picture behind the end. So the copy is built from what decoding needs (frame, tables, scans) and no other
segment, under a header of our own. What then could be seen differently by somebody's decoder is not sent so: other colours
than YCbCr, a colour profile, an orientation. Those are decoded, turned and encoded as every other picture.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from presel.images.decoding import Limits

_JFIF = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_END = b"\xff\xd9"
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive Huffman: what every decoder reads."""
_SCAN, _EXIF_OR_XMP, _PROFILE, _ADOBE = 0xDA, 0xE1, 0xE2, 0xEE
_NEEDED = frozenset({*_FRAMES, 0xC4, 0xDB, 0xDD, _SCAN})
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7\x01]", re.DOTALL)
_MOST_SCANS = 50
_ROOM = 64 * 1024
"""Bytes above one for each pixel from which on a file is worth encoding anew."""


class _Unfit(Exception):
    """It cannot be sent as it is."""


def as_it_is(data: bytes, limits: Limits, side: int) -> bytes | None:
    """The same JPEG without metadata; None when the picture has to be decoded and encoded to be sent.

    The result holds the entropy-coded data bit by bit, so it decodes to the same pixels. Its longer side is at most `side`.
    """
    if not data.startswith(b"\xff\xd8"):
        return None
    try:
        pieces, width, height = [_JFIF], 0, 0
        for marker, piece in _segments(data):
            if marker in _FRAMES:
                if width:
                    return None
                width, height = _size(piece, limits, side)
            pieces.append(piece)
    except (_Unfit, struct.error, IndexError):
        return None
    made = b"".join((*pieces, _END))
    return made if width and len(made) <= width * height + _ROOM else None


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """What decoding needs, each segment with its marker, a scan with its entropy-coded data, up to the end of the picture."""
    position, scans = 2, 0
    while True:
        start, marker = _next(data, position)
        if marker == 0xD9:
            return
        position = start + 2 + struct.unpack_from(">H", data, start + 2)[0]
        if marker == _SCAN:
            scans += 1
            position = _next(data, position)[0]
            if scans > _MOST_SCANS:
                raise _Unfit
        if marker in _NEEDED:
            yield marker, data[start:position]
        else:
            _check(marker, data[start + 4 : position])


def _next(data: bytes, position: int) -> tuple[int, int]:
    """Where the next marker is, and which. Raises when there is none: the end is missing."""
    found = _MARKER.search(data, position)
    if found is None:
        raise _Unfit
    return found.start(), data[found.start() + 1]


def _check(marker: int, content: bytes) -> None:
    """Whether a segment may be left out without anybody seeing another picture."""
    if not (0xE0 <= marker <= 0xEF or marker == 0xFE):
        raise _Unfit  # arithmetic coding, hierarchical frames, a number of lines that comes later
    if marker == _PROFILE and content.startswith(b"ICC_PROFILE"):
        raise _Unfit
    if marker == _ADOBE and content.startswith(b"Adobe") and content[11] != 1:
        raise _Unfit
    if marker == _EXIF_OR_XMP and not _upright(content):
        raise _Unfit


def _upright(content: bytes) -> bool:
    """Whether EXIF, in its first directory, and XMP have nothing against it; what is broken says nothing certain."""
    if not content.startswith(b"Exif\x00"):
        return b"Orientation" not in content
    tiff = content[6:]
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return False
    directory = struct.unpack_from(order + "I", tiff, 4)[0]
    for i in range(struct.unpack_from(order + "H", tiff, directory)[0]):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, directory + 2 + 12 * i)
        if tag == 0x0112:
            return bool(kind == 3 and value == 1)
    return True


def _size(frame: bytes, limits: Limits, side: int) -> tuple[int, int]:
    """Width and height of a frame of three 8-bit YCbCr components, within the limits."""
    precision, height, width, components = struct.unpack_from(">BHHB", frame, 4)
    names = frame[10 : 10 + 3 * components : 3]
    if precision != 8 or components != 3 or names == b"RGB" or not height or not width:
        raise _Unfit
    shorter, longer = min(width, height), max(width, height)
    if longer > side or shorter < limits.min_side or longer > limits.max_aspect_ratio * shorter:
        raise _Unfit
    if width * height > limits.max_pixels:
        raise _Unfit
    return width, height
