"""What lies around the pixels: mended where every browser looks past it, and asked what is missing when decoding fails.

Decoders of GIF, BMP, WebP, AVIF, JPEG 2000 and PPM say themselves when data end early, those of JPEG, PNG and TIFF with help
(`jpeg.py`, `png.py`, `tiff.py`). But a wrong length or a mistaken brand in the header makes some refuse a whole picture.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from presel.images import markers, png

_CODESTREAM = b"\xff\x4f\xff\x51"
_START_OF_DATA = b"\xff\x93"
_HOLE, _TAIL = bytes(64), 8
"""Flat pictures have runs of 14 zeros in JPEG 2000 and 20 in AVIF, at most. Those of WebP take a twentieth of the data."""
_WEBP_CHUNKS = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "})
_BRANDS = (b"avif", b"avis", b"mif1", b"msf1")
"""By which Pillow knows an AVIF."""
_BOXES = frozenset({b"ftyp", b"meta", b"mdat", b"moov", b"jP  ", b"jp2h", b"jp2c"})


def mended(format: str, data: bytes) -> bytes:
    """The same picture as its decoder wants it; the same object wherever nothing is to be mended."""
    if format == "PNG":
        return png.without_damaged_remarks(data)
    if format == "WEBP":
        return _with_true_length(data)
    if format == "AVIF" and data[8:12] not in _BRANDS:
        return data[:8] + _BRANDS[0] + data[12:]
    return data


def lacking(format: str, data: bytes) -> str | None:
    """What a whole file of this format has and this one has not, in words, where its decoder would not mind."""
    if format == "PNG":
        return _png(data)
    if format == "JPEG2000":
        return _codestream(data)
    if format == "WEBP":
        return _blank_tail(data[: struct.unpack_from("<I", data, 4)[0] + 8])
    return _blank_tail(data[: _end_of_boxes(data)]) if format == "AVIF" else None


def profile(data: bytes) -> bytes | None:
    """The ICC profile of a JP2, which Pillow does not look for: that of the first description of colours."""
    for kind, body in _boxes_of(data, 0, len(data)):
        if kind == b"jp2h":
            first = next((inner for name, inner in _boxes_of(data, *body) if name == b"colr"), None)
            if first and data[first[0] : first[0] + 1] in (b"\2", b"\3"):
                return data[first[0] + 3 : first[1]]
    return None


def _boxes_of(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Kind and content of the boxes that lie there."""
    while start + 8 <= stop:
        size, head = struct.unpack_from(">I", data, start)[0], 8
        if size == 1 and start + 16 <= stop:
            size, head = struct.unpack_from(">Q", data, start + 8)[0], 16
        end = stop if size == 0 else start + size
        if (size and size < head) or end > stop:
            return
        yield data[start + 4 : start + 8], (start + head, end)
        start = end


def _codestream(data: bytes) -> str | None:
    end = data.rfind(b"\xff\xd9")
    if end < data.find(_CODESTREAM):
        return "no end-of-codestream marker"
    hole = data.find(_HOLE, max(0, data.find(_START_OF_DATA)), end)
    return f"a hole of zeros in its data, at byte {hole:,}" if hole >= 0 else None


def _blank_tail(data: bytes) -> str | None:
    """A file that was laid out in its full size, and filled only in part."""
    blank = len(data) - len(data.rstrip(b"\0"))
    return f"its last {blank:,} bytes are zeros" if blank >= max(len(_HOLE), len(data) // _TAIL) else None


def missing(format: str, data: bytes) -> str | None:
    """What is missing at the end of a file that did not decode, in words; None when nothing is known to be."""
    check = _CHECKS.get(format)
    return check(data) if check else None


def _jpeg(data: bytes) -> str | None:
    return None if markers.end(data) else "no end-of-image marker"


def _png(data: bytes) -> str | None:
    return None if any(chunk.kind == b"IEND" for chunk in png.chunks(data)) else "no IEND chunk"


def _with_true_length(data: bytes) -> bytes:
    """A WebP that ends where its header says. Of a film, frames after the first may be missing."""
    position, frames = 12, 0
    while position + 8 <= len(data) and data[position : position + 4] in _WEBP_CHUNKS:
        length = struct.unpack_from("<I", data, position + 4)[0]
        film = data[position : position + 4] == b"ANMF"
        if position + 8 + length > len(data):
            if film and frames:
                break
            return data
        frames += film
        position = min(position + 8 + length + length % 2, len(data))
    if len(data) < 12 or struct.unpack_from("<I", data, 4)[0] == position - 8:
        return data
    return data[:4] + struct.pack("<I", position - 8) + data[8:position]


def _webp(data: bytes) -> str | None:
    announced = struct.unpack_from("<I", data, 4)[0] + 8 if len(data) >= 8 else 12
    return _short(data, announced)


def _boxes(data: bytes) -> str | None:
    return _short(data, _end_of_boxes(data)) or (None if b"mdat" in data or b"jp2c" in data else "no picture data")


def _end_of_boxes(data: bytes) -> int:
    """Where the last one ends, by what they announce."""
    position = 0
    while position + 8 <= len(data) and data[position + 4 : position + 8] in _BOXES:
        size: int = struct.unpack_from(">I", data, position)[0]
        if size == 1 and position + 16 <= len(data):
            size = struct.unpack_from(">Q", data, position + 8)[0]
        if size == 0:  # the last box runs to the end of the file
            return len(data)
        position += max(size, 8)
    return position


def _jpeg2000(data: bytes) -> str | None:
    return lacking("JPEG2000", data) or (None if data.startswith(_CODESTREAM) else _boxes(data))


def _short(data: bytes, announced: int) -> str | None:
    return f"{announced:,} bytes announced, {len(data):,} there" if len(data) < announced else None


_CHECKS: dict[str, Callable[[bytes], str | None]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "AVIF": _boxes,
    "JPEG2000": _jpeg2000,
}
