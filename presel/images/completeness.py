"""Is all of the file there? Asked of the container's own structure, because decoders answer too kindly.

libjpeg paints what is missing grey and only warns; Pillow takes a PNG without its end. Half a picture would be embedded,
shown to the annotator and paid for. Walking the structure costs about 20 microseconds for a 50 kB JPEG, against 2 ms to
decode it, and also finds files that were truncated and then padded with zeros by a broken download.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

# In entropy-coded data a 0xFF is followed by 0x00 (stuffing), a restart marker or fill; anything else is a real marker.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7\x01]", re.DOTALL)


def missing(format: str, data: bytes) -> str | None:
    """What is missing at the end of this picture, in words; None when its structure is closed or has no stated end."""
    check = _CHECKS.get(format)
    return check(data) if check else None


def _jpeg(data: bytes) -> str | None:
    return None if end_of_jpeg(data) else "no end-of-image marker"


def end_of_jpeg(data: bytes) -> int | None:
    """Where the (first) picture ends: a preview, a second picture or a film may follow. None when it does not."""
    position = 2
    while found := _JPEG_MARKER.search(data, position):
        marker, start = data[found.start() + 1], found.end()
        if marker == 0xD9:
            return start
        if marker == 0xD8:  # a second start of the image has no length
            position = start
            continue
        if start + 2 > len(data):
            break
        position = start + max(2, struct.unpack_from(">H", data, start)[0])
    return None


def _png(data: bytes) -> str | None:
    position = 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        position += 12 + length
        if kind == b"IEND":
            return None if position <= len(data) else "the IEND chunk is cut"
    return "no IEND chunk"


def _gif(data: bytes) -> str | None:
    if len(data) < 13:
        return "the header is cut"
    position = 13 + _colour_table(data[10])
    while position < len(data):
        block = data[position]
        if block == 0x3B:
            return None
        if block == 0x21:  # extension: introducer, label, sub-blocks
            position = _after_sub_blocks(data, position + 2)
        elif block == 0x2C and position + 9 < len(data):  # image: descriptor, colour table, code size, sub-blocks
            position = _after_sub_blocks(data, position + 11 + _colour_table(data[position + 9]))
        elif block == 0x00:
            position += 1
        else:
            break
    return "no trailer after the last frame"


def _colour_table(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _after_sub_blocks(data: bytes, position: int) -> int:
    while position < len(data) and data[position]:
        position += data[position] + 1
    return position + 1


def _webp(data: bytes) -> str | None:
    announced = struct.unpack_from("<I", data, 4)[0] + 8 if len(data) >= 8 else 12
    return _short(data, announced)


def _bmp(data: bytes) -> str | None:
    announced = struct.unpack_from("<I", data, 2)[0] if len(data) >= 6 else 14
    return _short(data, announced)


def _boxes(data: bytes) -> str | None:
    position = 0
    while position + 8 <= len(data):
        size: int = struct.unpack_from(">I", data, position)[0]
        if size == 1 and position + 16 <= len(data):
            size = struct.unpack_from(">Q", data, position + 8)[0]
        if size == 0:  # the last box runs to the end of the file
            return None
        position += max(size, 8)
    return _short(data, position)


def _jpeg2000(data: bytes) -> str | None:
    return _boxes(data) or (None if data.rstrip(b"\x00").rfind(b"\xff\xd9") > 0 else "no end-of-codestream marker")


def _tiff(data: bytes) -> str | None:
    """The first page's strips or tiles must lie inside the file. BigTIFF is left to libtiff."""
    order = "<" if data[:2] == b"II" else ">"
    if len(data) < 8 or struct.unpack_from(order + "H", data, 2)[0] != 42:
        return None
    try:
        tags = _tiff_directory(data, order)
        ends = [
            start + length
            for offsets, counts in ((273, 279), (324, 325))
            for start, length in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)
        ]
    except struct.error:
        return "its directory is cut"
    return _short(data, max(ends, default=0))


def _tiff_directory(data: bytes, order: str) -> dict[int, tuple[int, ...]]:
    """The integer tags of the first directory that say where pixels lie. Raises struct.error past the end of the data."""
    (start,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, start)
    tags: dict[int, tuple[int, ...]] = {}
    for position in range(start + 2, start + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(order + "HHI", data, position)
        if tag in (273, 279, 324, 325) and kind in (3, 4) and count <= len(data):
            layout = f"{order}{count}{'H' if kind == 3 else 'I'}"
            where = position + 8
            if struct.calcsize(layout) > 4:
                (where,) = struct.unpack_from(order + "I", data, where)
            tags[tag] = struct.unpack_from(layout, data, where)
    return tags


def _short(data: bytes, announced: int) -> str | None:
    return f"{announced:,} bytes announced, {len(data):,} there" if len(data) < announced else None


_CHECKS: dict[str, Callable[[bytes], str | None]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "WEBP": _webp,
    "BMP": _bmp,
    "AVIF": _boxes,
    "TIFF": _tiff,
    "JPEG2000": _jpeg2000,
}
