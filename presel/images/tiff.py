"""TIFF: a dozen ways to lay out pixels, some of which Pillow scrambles, inverts or does not know.

tifffile reads the directory: it knows how many strips or tiles there must be, which libtiff fills with black when they are not.
Pixels are Pillow's wherever a matrix of layouts (tests/images/test_matrix.py) found them right, else tifffile's, which without
further packages unpacks what zlib can. What neither reads is refused by what it is.
"""

from __future__ import annotations

import io
import logging
import math
import zlib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from presel.images import colour, jpeg, sixteen
from presel.images.pillow import Image, UnidentifiedImageError
from presel.images.reasons import Reason
from presel.images.rejected import Broken

if TYPE_CHECKING:
    from tifffile import TiffPage

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _SEPARATED = 0, 1, 2, 5
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _SEPARATED: 4}
_SENSOR = (32803, 34892)
_RAW, _OLD_JPEG, _JPEG = 1, 6, 7
_UINT, _FLOAT = 1, 3
_DEFLATE = (8, 32946)
_ZLIB = (_RAW, *_DEFLATE)
_MULTIPLIED = 1
_PROFILE, _ORIENTATION, _TABLES, _DNG = 34675, 274, 347, 50706
_MOST_SAMPLES = 16


def page(data: bytes) -> TiffPage:
    """The first page, all of whose strips or tiles are in the file. Raises Broken."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    big = data[2:4] in (b"+\0", b"\0+")
    first = int.from_bytes(data[8:16] if big else data[4:8], order)
    if len(data) < 8 or first >= len(data) - 2:
        raise Broken(Reason.TRUNCATED, "its directory is missing")
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            found = file.pages.first
    except Exception as error:  # tifffile raises what its parsing stumbles over
        raise Broken(Reason.UNDECODABLE, f"TIFF: {error}"[:300]) from None
    _is_the_picture(found)
    _is_there(found, data)
    return found


def _is_the_picture(found: TiffPage) -> None:
    told = f"{found.imagewidth} x {found.imagelength} pixels"
    if found.photometric in _SENSOR or (_DNG in found.tags and found.subfiletype & 1):
        what = "a sensor's values" if found.photometric in _SENSOR else f"a preview of {told}"
        raise Broken(Reason.UNDECODABLE, f"a camera's raw file, whose first page is {what}: develop it first")
    if found.subfiletype & 1:
        raise Broken(Reason.UNDECODABLE, f"TIFF: its first page is a preview of {told}, says its NewSubfileType")


def _is_there(found: TiffPage, data: bytes) -> None:
    """Every strip or tile is in the file, and libjpeg has nothing to say of those that are JPEGs."""
    if found.compression == _OLD_JPEG:
        return
    segments = [
        (start, length) for start, length in zip(found.dataoffsets, found.databytecounts, strict=False) if length
    ]
    kind, wanted = ("tiles" if found.is_tiled else "strips"), math.prod(found.chunked)
    if len(segments) < wanted:
        raise Broken(Reason.TRUNCATED, f"TIFF: {wanted:,} {kind} announced, {len(segments):,} there")
    for number, (start, length) in enumerate(segments[:wanted]):
        there = max(0, min(length, len(data) - start))
        needed = _segment_size(found, number) if found.compression == _RAW and wanted > 1 else length
        if there < needed:
            raise Broken(
                Reason.TRUNCATED, f"TIFF: {there:,} bytes of {kind[:-1]} {number + 1} are there, not {needed:,}"
            )
        if found.compression in _DEFLATE:
            _is_whole(data[start : start + length], _segment_size(found, number))
    if found.compression == _JPEG:
        tables = found.tags.valueof(_TABLES)
        head = tables[:-2] if isinstance(tables, bytes) else b"\xff\xd8"
        for start, length in segments[:wanted]:
            jpeg.check(head + data[start + 2 : start + length])


def _is_whole(packed: bytes, least: int) -> None:
    """libtiff unpacks what it needs and leaves the checksum at the end alone."""
    unpacker = zlib.decompressobj()
    try:
        there = len(unpacker.decompress(packed, least))
        while not unpacker.eof and (more := unpacker.decompress(unpacker.unconsumed_tail, 2**16)):
            there += len(more)
    except zlib.error as error:
        raise Broken(Reason.UNDECODABLE, f"TIFF: {error}") from None
    if there >= least and not unpacker.eof:
        raise Broken(Reason.UNDECODABLE, "TIFF: the packed data of a strip or tile have no end")
    if there < least:
        raise Broken(Reason.TRUNCATED, f"TIFF: {least:,} bytes of a strip or tile announced, {there:,} there")


def _segment_size(found: TiffPage, number: int) -> int:
    """Bytes of an unpacked strip or tile; the last strip of a plane may be shorter."""
    samples = 1 if _is_separate(found) else found.samplesperpixel
    if found.is_tiled:
        return int(found.tilelength * -(-found.tilewidth * samples * _bits(found) // 8))
    above = number % -(-found.imagelength // found.rowsperstrip) * found.rowsperstrip
    rows = min(found.rowsperstrip, found.imagelength - above)
    return int(rows * -(-found.imagewidth * samples * _bits(found) // 8))


def _bits(found: TiffPage) -> int:
    bits: Any = found.bitspersample
    return int(max(bits) if isinstance(bits, tuple) else bits)


def load(found: TiffPage, data: bytes) -> Image.Image:
    """The page's pixels in one of Pillow's modes, with its profile and orientation. Raises Broken for a layout nobody reads."""
    if _is_scrambled(found) or (_is_coarse(found) and found.compression in _ZLIB):
        return _unpacked(found, data)
    try:
        opened = Image.open(io.BytesIO(data), formats=["TIFF"])
        opened.load()
    except UnidentifiedImageError:
        return _unpacked(found, data)
    except ValueError as error:
        if "raw mode" not in str(error):
            raise
        return _unpacked(found, data)
    deep = _bits(found) == 16 and found.photometric == _RGB and sixteen.needed(opened)
    return (sixteen.load(opened, data) if deep else None) or _upright_grey(opened, found)


def _is_scrambled(found: TiffPage) -> bool:
    """Whether Pillow opens this layout and returns other pixels than those that were saved."""
    bits, raw = _bits(found), found.compression == _RAW
    return (
        (_is_separate(found) and bits == 16 and raw)
        or (_is_separate(found) and found.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO))
        or (bits == 32 and found.sampleformat != _FLOAT)
        or (found.sampleformat == _FLOAT and not raw and found.parent.byteorder == ">")
    )


def _is_coarse(found: TiffPage) -> bool:
    """Whether Pillow is right, but up to three levels off."""
    return (_is_separate(found) and _bits(found) == 16) or found.extrasamples[:1] == (_MULTIPLIED,)


def _is_separate(found: TiffPage) -> bool:
    return bool(found.planarconfig == 2 and found.samplesperpixel > 1)


def _upright_grey(opened: Image.Image, found: TiffPage) -> Image.Image:
    """Pillow turns greys around where white is zero, but only up to eight bits."""
    if found.photometric != _WHITE_IS_ZERO or _bits(found) <= 8:
        return opened
    return _with_remarks(Image.fromarray(_inverted(np.asarray(opened))), found)


def _inverted(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "u":
        return np.iinfo(values.dtype).max - values
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (1 - values) if low >= 0 and high <= 1 else (low + high) - values


def _unpacked(found: TiffPage, data: bytes) -> Image.Image:
    import tifffile

    colours = _COLOURS.get(found.photometric)
    samples, kind = found.samplesperpixel, np.dtype(found.dtype).kind if found.dtype is not None else ""
    bands = colours == 1 and samples > 2  # which of them would a person be shown?
    if (
        not colours
        or bands
        or not colours <= samples <= _MOST_SAMPLES
        or (kind != "u" and (colours, samples) != (1, 1))
    ):
        raise Broken(Reason.UNDECODABLE, _named(found))
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            values = file.pages.first.asarray(maxworkers=1)
    except (ValueError, KeyError, ImportError, AttributeError):
        raise Broken(Reason.UNDECODABLE, _named(found)) from None
    if found.planarconfig == 2 and samples > 1:
        values = np.moveaxis(values, 0, -1)
    values = np.array(values).reshape(found.imagelength, found.imagewidth, samples)
    alpha = found.extrasamples[0] if found.extrasamples and samples > colours else 0
    if found.photometric == _WHITE_IS_ZERO:
        values[..., :1] = _inverted(values[..., :1])
    if colours == 4:
        return _with_remarks(Image.fromarray(_bytes(values[..., :4]), "CMYK"), found)
    if not alpha and (colours == 1 or values.dtype.itemsize == 1):
        shown = _grey(values[..., 0]) if colours == 1 else _bytes(values[..., :3])
        return _with_remarks(Image.fromarray(shown), found)
    return _with_remarks(_in_full(values, colours, int(alpha), found.tags.valueof(_PROFILE)), found, profile=False)


def _in_full(values: NDArray[Any], colours: int, alpha: int, profile: Any) -> Image.Image:
    """`alpha`: 0 none, 1 the colours are multiplied by it, 2 they are not."""
    size = values.dtype.itemsize
    wide = values.astype(np.uint16) * 257 if size == 1 else (values >> np.array(8 * (size - 2), values.dtype))
    shown, opacity = wide[..., :colours].astype(np.uint16), wide[..., colours].astype(np.uint16) if alpha else None
    if alpha == _MULTIPLIED and opacity is not None:
        share = np.maximum(opacity, 1)[..., None] / np.float32(65_535)
        shown = np.minimum(np.rint(shown / share), 65_535).astype(np.uint16)
    return colour.of_sixteen_bits(shown, opacity, profile)


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The upper eight bits."""
    return np.ascontiguousarray(values >> np.array(8 * (values.dtype.itemsize - 1), values.dtype)).astype(np.uint8)


def _grey(values: NDArray[Any]) -> NDArray[Any]:
    """Unsigned 32-bit greys by their top byte, as their format has it, if they reach that far; others as they are."""
    values = np.ascontiguousarray(values)
    if values.dtype.itemsize < 4 or values.dtype.kind != "u":
        return values.astype(np.float32) if values.dtype.kind in "if" else values
    if int(values.max(initial=0)) >= 2 ** (8 * (values.dtype.itemsize - 1)):
        return np.asarray(values >> np.array(8 * (values.dtype.itemsize - 2), values.dtype), np.uint16)
    return values.astype(np.float32) if int(values.max(initial=0)) > 65_535 else values.astype(np.int32)


def _with_remarks(image: Image.Image, found: TiffPage, profile: bool = True) -> Image.Image:
    colours, turned = found.tags.valueof(_PROFILE), found.tags.valueof(_ORIENTATION)
    if profile and isinstance(colours, bytes):
        image.info["icc_profile"] = colours
    if isinstance(turned, int):
        image.getexif()[_ORIENTATION] = int(turned)
    return image


def _named(found: TiffPage) -> str:
    kind = {_UINT: "", 2: "signed ", _FLOAT: "floating-point "}.get(found.sampleformat, "odd ")
    words = [f"{_bits(found)}-bit {kind}{getattr(found.photometric, 'name', found.photometric)}".lower()]
    words += [f"{found.samplesperpixel} samples a pixel"] if found.samplesperpixel > 1 else []
    words += ["one plane a sample"] if found.planarconfig == 2 and found.samplesperpixel > 1 else []
    words += [f"packed as {getattr(found.compression, 'name', found.compression)}".lower()] * (
        found.compression != _RAW
    )
    return f"TIFF of a layout that is not read ({', '.join(words)}): save it with 8 bits a colour, interleaved"
