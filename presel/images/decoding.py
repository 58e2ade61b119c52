"""Bytes to pixels, guardedly: what it is, how large it says it is, whether it is all there, and only then the pixels.

The order is the point. A 20,000 x 20,000 PNG of one colour is 400 kB on disk and 1.2 GB decoded, so the size is read from the
header and refused there. Decoding is Pillow's (libjpeg-turbo, libpng, libwebp, libtiff, libavif, openjpeg), limited to
formats we name. Any exception of any type out of a decoder means one thing, a corrupt file, and costs that file alone.
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from presel.images import extra, jpeg, png, tiff
from presel.images.colour import orientation, to_rgb
from presel.images.containers import lacking, mended, missing, profile
from presel.images.formats import SUPPORTED, describe, sniff, unsupported
from presel.images.pillow import Image, ImageFile
from presel.images.reasons import Reason
from presel.images.rejected import Broken, Rejected

_ADDRESS = re.compile(r" ?<[^<>]* at 0x[0-9a-f]+>")  # an object's place in memory: another one in every run
# Pillow warns of what is odd about a file, each time: here that is either harmless or a reject.
warnings.filterwarnings("ignore", module=r"PIL\.")


class Limits(Protocol):
    """What is admitted: `presel.config.ImageConfig`, which a decoding process does without."""

    @property
    def max_pixels(self) -> int: ...
    @property
    def min_side(self) -> int: ...
    @property
    def max_aspect_ratio(self) -> float: ...


class Bounds(NamedTuple):
    """Limits for who has no configuration."""

    max_pixels: int
    min_side: int
    max_aspect_ratio: float


@dataclass(frozen=True)
class Picture:
    """A decoded image. `width` and `height` are those of the upright original, whatever `image` was scaled to."""

    image: Image.Image
    width: int
    height: int
    format: str


def decode(data: bytes, limits: Limits, key: str = "") -> Image.Image | Rejected:
    """Upright 8-bit RGB pixels in sRGB, or the reason why not. `key` only makes the detail more telling."""
    picture = open_picture(data, limits, key)
    return picture if isinstance(picture, Rejected) else picture.image


def open_picture(
    data: bytes, limits: Limits, key: str = "", side: int | None = None, longer: int | None = None
) -> Picture | Rejected:
    """The same, with what the header said.

    `side`, `longer`: the caller will shrink the picture until its shorter or longer side is that many pixels, so a JPEG may be
    decoded at 1/2, 1/4 or 1/8 (in the DCT domain) as long as twice that many pixels remain.
    """
    if not data:
        return Rejected(Reason.ZERO_BYTE)
    kind = sniff(data)
    if kind is None:
        return Rejected(Reason.NOT_AN_IMAGE, describe(data))
    if kind not in SUPPORTED and not extra.is_readable(kind):
        return Rejected(Reason.UNDECODABLE, unsupported(kind))
    try:
        return _open(kind, mended(kind, data), limits, side, longer)
    except Broken as error:
        return error.rejected
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Rejected(Reason.TOO_MANY_PIXELS, f"its header announces more than {limits.max_pixels:,} pixels in all")
    except (
        Exception
    ) as error:  # decoders raise a dozen types over corrupt bytes: whichever it is, it is about this file
        lack = missing(kind, data)
        return Rejected(Reason.TRUNCATED, lack) if lack else Rejected(*_meaning(error, kind, key))


def _open(kind: str, data: bytes, limits: Limits, side: int | None, longer: int | None) -> Picture | Rejected:
    if kind == "TIFF":
        page = tiff.page(data)
        return _outside_limits((page.imagewidth, page.imagelength), limits) or _picture(tiff.load(page, data), kind)
    if kind == "DICOM":
        found = extra.Dicom(data)
        return _outside_limits(found.size, limits) or _picture(found.picture(), kind)
    opened, data = _opened(kind, data)
    with opened:
        if refused := _outside_limits(opened.size, limits):
            return refused
        if lack := lacking(kind, data):
            return Rejected(Reason.TRUNCATED, lack)
        size = opened.size
        return _picture(_loaded(kind, opened, data, _scale(size, side, longer)), kind, size)


def _opened(kind: str, data: bytes) -> tuple[ImageFile, bytes]:
    """The picture with its header read, and the bytes it is read from."""
    if kind not in SUPPORTED:
        return extra.opened(kind, data), data
    try:
        return Image.open(io.BytesIO(data), formats=[kind]), data  # JPEG finds MPO by itself
    except (ValueError, SyntaxError):
        if kind != "PNG":
            raise
        data = png.pixels_alone(data)
        return Image.open(io.BytesIO(data), formats=[kind]), data


def _loaded(kind: str, opened: ImageFile, data: bytes, scale: float) -> Image.Image:
    if kind == "JPEG":
        return jpeg.load(opened, data, scale)
    if kind == "PNG":
        return png.load(opened, data)
    opened.load()
    if kind == "JPEG2000" and "icc_profile" not in opened.info and (found := profile(data)):
        opened.info["icc_profile"] = found
    return opened


def _outside_limits(size: tuple[int, int], limits: Limits) -> Rejected | None:
    width, height = size
    told = f"{width:,} x {height:,} pixels"
    if width * height > limits.max_pixels:
        return Rejected(Reason.TOO_MANY_PIXELS, f"{told}, at most {limits.max_pixels:,} in all")
    if min(size) < limits.min_side:
        return Rejected(Reason.TOO_SMALL, f"{told}, at least {limits.min_side} on each side")
    if max(size) > limits.max_aspect_ratio * min(size):
        return Rejected(Reason.ASPECT_RATIO, f"{told}, at most {limits.max_aspect_ratio:g} : 1")
    return None


def _scale(size: tuple[int, int], side: int | None, longer: int | None) -> float:
    """The least share of a picture's width and height that must be decoded."""
    return 2 * side / min(size) if side is not None else 2 * longer / max(size) if longer is not None else 1.0


def _picture(loaded: Image.Image, format: str, size: tuple[int, int] | None = None) -> Picture:
    """`size`: that of the original, where it may have been scaled."""
    # Only now: asking a PNG for its EXIF decodes it, and swallows the error that a corrupt one raises.
    turn = orientation(loaded)
    width, height = size or loaded.size
    upright = to_rgb(loaded)
    if turn is not None:
        upright = upright.transpose(turn)
        if turn in _SIDEWAYS:
            width, height = height, width
    return Picture(upright, width, height, format)


_SIDEWAYS = {
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
}


def _meaning(error: Exception, format: str, key: str) -> tuple[Reason, str]:
    told = f"{format}: {_ADDRESS.sub('', str(error)) or type(error).__name__}"
    suffix = key.rpartition(".")[2].upper()
    claimed = {"JPG": "JPEG", "TIF": "TIFF", "JP2": "JPEG2000"}.get(suffix, suffix)
    if claimed in SUPPORTED and claimed != format:
        told += f" (the key says {suffix})"
    short_of_data = "truncated" in str(error).lower() or isinstance(error, EOFError)
    return (Reason.TRUNCATED if short_of_data else Reason.UNDECODABLE), told[:300]
