"""Every layout of pixels: format, depth, planes, opacity and profile, each within a level of the truth or refused by name.

The truth is computed from the numbers that were written, not by another decoder. PNG is written here, TIFF by tifffile.
"""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from presel.config import ImageConfig
from presel.images import Rejected, decode
from tests.images.profiles import ADOBE, SRGB, SWAPPED, profile, shown

LIMITS = ImageConfig()
DOWN, ACROSS = np.mgrid[0:48, 0:64] / np.array([47, 63])[:, None, None]
RED, GREEN, BLUE, OPACITY = ACROSS, DOWN, (ACROSS + DOWN) / 2, 0.3 + 0.7 * ACROSS
PICTURE = np.stack([RED, GREEN, BLUE, OPACITY], axis=-1)
LEVEL = 1.5
"""Of a float: one of a whole number."""
COLOURS = {
    "none": None,
    "linear": ("GIMP built-in Linear sRGB", 1.0, SRGB),
    "swapped": ("not sRGB: swapped", 2.2, SWAPPED),
    "gamma": ("Gamma 1.8", 1.8, SRGB),
    "large": ("sRGB, large", 1.0, SRGB, 1_500_000),
}
GREYS = {"none": None, "linear": ("Linear sRGB grey", 1.0), "gamma": ("Gamma 1.8", 1.8)}


def distance(data: bytes, truth: np.ndarray) -> float:
    image = decode(data, LIMITS)
    assert not isinstance(image, Rejected), image
    return float(np.abs(np.asarray(image).astype(float) - truth).max())


def light(values: np.ndarray, kind: Any) -> np.ndarray:
    if kind is None:
        return np.broadcast_to(values * 255, (*values.shape[:-1], 3))
    return shown(values, *kind[1:3])


def on_white(levels: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    return levels * opacity[..., None] + 255 * (1 - opacity[..., None])


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(values: np.ndarray, depth: int, kind: int, *others: tuple[bytes, bytes]) -> bytes:
    """(height, width) or (height, width, channels) whole numbers of `depth` bits; `kind` is PNG's colour type."""
    height, width = values.shape[:2]
    bits = (values.reshape(height, -1, 1) >> np.arange(depth - 1, -1, -1)) & 1
    rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), *others, (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def iccp(kind: Any) -> tuple[tuple[bytes, bytes], ...]:
    return () if kind is None else ((b"iCCP", b"x\0\0" + zlib.compress(profile(*kind), 1)),)


def grey_pngs() -> Iterator[tuple[str, bytes, np.ndarray]]:
    for depth, (name, kind) in itertools.product((1, 2, 4, 8, 16), GREYS.items()):
        most = 2**depth - 1
        values = np.rint(BLUE * most).astype(int)
        truth, key = light(values[..., None] / most, kind), int(values[20, 30])
        yield f"grey {depth} {name}", png(values, depth, 0, *iccp(kind)), truth
        clear = (b"tRNS", struct.pack(">H", key))
        yield f"grey {depth} {name} key", png(values, depth, 0, *iccp(kind), clear), on_white(truth, values != key)
        if depth >= 8:
            both = np.rint(PICTURE[..., 2:] * most).astype(int)
            yield f"grey {depth} {name} alpha", png(both, depth, 4, *iccp(kind)), on_white(truth, both[..., 1] / most)


def colour_pngs() -> Iterator[tuple[str, bytes, np.ndarray]]:
    for depth, (name, kind) in itertools.product((8, 16), COLOURS.items()):
        most = 2**depth - 1
        values = np.rint(PICTURE * most).astype(int)
        colours, key = values[..., :3], values[20, 30, :3].copy()
        colours[20, 31] = key ^ np.array([0, 0, 1])  # as transparent as the key only if its last bit is lost
        truth = light(colours / most, kind)
        yield f"rgb {depth} {name}", png(colours, depth, 2, *iccp(kind)), truth
        clear = (b"tRNS", struct.pack(">HHH", *key))
        opaque = (colours != key).any(axis=2)
        yield f"rgb {depth} {name} key", png(colours, depth, 2, *iccp(kind), clear), on_white(truth, opaque)
        yield f"rgb {depth} {name} alpha", png(values, depth, 6, *iccp(kind)), on_white(truth, values[..., 3] / most)


def palette_pngs() -> Iterator[tuple[str, bytes, np.ndarray]]:
    for depth, (name, kind) in itertools.product((1, 2, 4, 8), COLOURS.items()):
        draw = np.random.default_rng(depth)
        palette, opacity = (draw.integers(0, 256, (2**depth, n), dtype=np.uint8) for n in (3, 1))
        values = np.rint(BLUE * (2**depth - 1)).astype(int)
        others = (*iccp(kind), (b"PLTE", palette.tobytes()))
        truth = light(palette / 255, kind)[values]
        yield f"palette {depth} {name}", png(values, depth, 3, *others), truth
        clear = png(values, depth, 3, *others, (b"tRNS", opacity.tobytes()))
        yield f"palette {depth} {name} alpha", clear, on_white(truth, opacity[values, 0] / 255)


def test_every_png_shows_the_colours_that_its_numbers_mean() -> None:
    files = itertools.chain(grey_pngs(), colour_pngs(), palette_pngs())
    assert {name: far for name, data, truth in files if (far := distance(data, truth)) > LEVEL} == {}


def tiff(values: np.ndarray, **how: Any) -> bytes:
    sink = io.BytesIO()
    tifffile.imwrite(sink, values, metadata=None, **how)
    return sink.getvalue()


def layouts(*dimensions: Any) -> Iterator[tuple[str, Any]]:
    for chosen in itertools.product(*dimensions):
        yield " ".join(str(one) for one in chosen), chosen


def test_every_grey_tiff_is_as_bright_as_its_numbers_mean() -> None:
    far = {}
    depths, orders = (np.uint8, np.uint16, np.uint32), "<>"
    wanted = layouts(depths, ("minisblack", "miniswhite"), (None, "zlib"), orders, ("strips", "tiles"), GREYS)
    for name, (depth, meaning, packed, order, cut, kind) in wanted:
        if depth == np.uint32 and GREYS[kind]:
            continue
        most = np.iinfo(depth).max
        values = np.rint(BLUE * most).astype(depth)
        how = {"tile": (32, 32)} if cut == "tiles" else {"rowsperstrip": 10}
        how |= {"iccprofile": profile(*GREYS[kind])} if GREYS[kind] else {}
        data = tiff(values, photometric=meaning, compression=packed, byteorder=order, **how)
        seen = values / most if meaning == "minisblack" else 1 - values / most
        far[name] = distance(data, light(seen[..., None], GREYS[kind]))
    assert {name: levels for name, levels in far.items() if levels > LEVEL} == {}


def test_every_colour_tiff_shows_the_colours_that_its_numbers_mean() -> None:
    far = {}
    opacities = (None, "unassalpha", "assocalpha", "unspecified")
    wanted = layouts(
        (np.uint8, np.uint16), ("contig", "separate"), (None, "zlib"), "<>", opacities, (False, True), COLOURS
    )
    for name, (depth, planes, packed, order, extra, tiled, kind) in wanted:
        if kind == "large" or (kind != "none" and (extra == "assocalpha" or tiled or order == ">")):
            continue
        most = np.iinfo(depth).max
        seen = PICTURE.copy()
        seen[..., :3] *= seen[..., 3:] if extra == "assocalpha" else 1
        values = np.rint(seen[..., : 4 if extra else 3] * most).astype(depth)
        how = {"tile": (32, 32)} if tiled else {"rowsperstrip": 10}
        how |= {"iccprofile": profile(*COLOURS[kind])} if COLOURS[kind] else {}
        stored = np.ascontiguousarray(np.moveaxis(values, -1, 0)) if planes == "separate" else values
        extras = [extra] if extra else None
        more = {"photometric": "rgb", "planarconfig": planes, "compression": packed, "byteorder": order}
        data = tiff(stored, extrasamples=extras, **more, **how)
        truth = light(values[..., :3] / most, COLOURS[kind])
        if extra == "assocalpha":
            truth = truth + 255 * (1 - values[..., 3:] / most)
        elif extra == "unassalpha":
            truth = on_white(truth, values[..., 3] / most)
        far[name] = distance(data, truth)
    assert {name: levels for name, levels in far.items() if levels > LEVEL} == {}


@pytest.mark.parametrize("packed", [None, "zlib"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_every_orientation_of_a_tiff_is_turned_upright(depth: Any, planes: str, packed: str | None) -> None:
    values = np.rint(PICTURE[..., :3] * np.iinfo(depth).max).astype(depth)
    upright = PICTURE[..., :3] * 255
    sideways = upright.transpose(1, 0, 2)
    shown_as = [upright, upright[:, ::-1], upright[::-1, ::-1], upright[::-1]]
    shown_as += [sideways, np.rot90(upright, -1), sideways[::-1, ::-1], np.rot90(upright)]
    stored = np.ascontiguousarray(np.moveaxis(values, -1, 0)) if planes == "separate" else values
    for number, truth in enumerate(shown_as, 1):
        more = {"photometric": "rgb", "planarconfig": planes, "compression": packed}
        assert distance(tiff(stored, extratags=[(274, 3, 1, number, True)], **more), truth) <= LEVEL


@pytest.mark.parametrize(
    ("values", "how", "named"),
    [
        (np.float32(PICTURE[..., :3]), {"photometric": "rgb"}, "32-bit floating-point rgb"),
        (np.float64(PICTURE[..., :3]), {"photometric": "rgb"}, "64-bit floating-point rgb"),
        (np.uint8(PICTURE[..., [0, 1, 2, 0, 1, 2, 0, 1]] * 255), {"photometric": "minisblack"}, "8 samples a pixel"),
    ],
)
def test_a_tiff_that_nobody_would_know_how_to_show_is_refused_by_name(values: Any, how: Any, named: str) -> None:
    refused = decode(tiff(values, planarconfig="contig", **how), LIMITS)
    assert isinstance(refused, Rejected)
    assert named in refused.detail


@pytest.mark.parametrize("kind", ["linear", "swapped", "gamma"])
@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF"])
def test_profiles_of_other_formats_are_applied(format: str, kind: str) -> None:
    sink = io.BytesIO()
    image = Image.fromarray(np.rint(PICTURE[..., :3] * 255).astype(np.uint8))
    lossless = {"WEBP": {"lossless": True}}.get(format, {})
    image.save(sink, format, icc_profile=profile(*COLOURS[kind]), **lossless)
    with Image.open(io.BytesIO(sink.getvalue())) as plain:
        stored = np.asarray(plain.convert("RGB")) / 255
    assert distance(sink.getvalue(), light(stored, COLOURS[kind])) <= LEVEL


@pytest.mark.parametrize("kind", ["linear", "swapped", "gamma"])
def test_the_profile_of_a_jp2_is_applied(kind: str) -> None:
    sink = io.BytesIO()
    Image.fromarray(np.rint(PICTURE[..., :3] * 255).astype(np.uint8)).save(sink, "JPEG2000")
    whole, own = sink.getvalue(), b"\2\0\0" + profile(*COLOURS[kind])
    box = struct.pack(">I", 8 + len(own)) + b"colr" + own
    at, outer = whole.index(b"colr") - 4, whole.index(b"jp2h") - 4
    length, around = (struct.unpack_from(">I", whole, place)[0] for place in (at, outer))
    grown = struct.pack(">I", around - length + len(box))
    profiled = whole[:outer] + grown + whole[outer + 4 : at] + box + whole[at + length :]
    with Image.open(io.BytesIO(whole)) as plain:
        stored = np.asarray(plain.convert("RGB")) / 255
    assert distance(profiled, light(stored, COLOURS[kind])) <= LEVEL


def test_a_profile_of_wider_colours_is_applied_to_sixteen_bits_too() -> None:
    kind = ("Adobe RGB (1998)", 2.2, ADOBE)
    values = np.rint(PICTURE[..., :3] * 65_535).astype(int)
    image = decode(png(values, 16, 2, *iccp(kind)), LIMITS)
    assert not isinstance(image, Rejected)
    far = np.abs(np.asarray(image).astype(float) - light(values / 65_535, kind))
    assert far.mean() < 0.4
    assert far.max() < 3.5  # where a colour leaves sRGB between two levels
