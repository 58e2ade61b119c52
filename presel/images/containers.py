"""What lies around the pixels: mended where every browser looks past it, and asked what is missing when decoding fails.

Decoders of GIF, BMP, WebP, AVIF, JPEG 2000 and PPM say themselves when data end early, those of JPEG, PNG and TIFF with help
(`jpeg.py`, `png.py`, `tiff.py`). But a wrong length or a mistaken brand in the header makes some refuse a whole picture.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from presel.images import markers, png

_CODESTREAM = b"\xff\x4f\xff\x51"
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
    if format == "JPEG2000" and data.rfind(b"\xff\xd9") < data.find(_CODESTREAM):
        return "no end-of-codestream marker"
    return None


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
    position = 0
    while position + 8 <= len(data) and data[position + 4 : position + 8] in _BOXES:
        size: int = struct.unpack_from(">I", data, position)[0]
        if size == 1 and position + 16 <= len(data):
            size = struct.unpack_from(">Q", data, position + 8)[0]
        if size == 0:  # the last box runs to the end of the file
            return None
        position += max(size, 8)
    return _short(data, position) or (None if b"mdat" in data or b"jp2c" in data else "no picture data")


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
