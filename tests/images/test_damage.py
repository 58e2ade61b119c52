"""Broken pictures that look whole to a decoder, and whole pictures that look broken to a careful reader of headers."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from presel.config import ImageConfig
from presel.images import Reason, Rejected, decode, for_api
from presel.images.formats import sniff
from tests.image_files import encoded, photograph
from tests.images.test_matrix import chunk, png, tiff

LIMITS = ImageConfig()
IMAGE = photograph(160, 120)
VALUES = np.asarray(IMAGE)


def fate(data: bytes) -> str:
    end = decode(data, LIMITS)
    return str(end.reason) if isinstance(end, Rejected) else "usable"


def detail(data: bytes) -> str:
    end = decode(data, LIMITS)
    assert isinstance(end, Rejected)
    return end.detail


def same(data: bytes, whole: bytes) -> bool:
    one, other = decode(data, LIMITS), decode(whole, LIMITS)
    assert isinstance(other, Image.Image)
    return isinstance(one, Image.Image) and one.tobytes() == other.tobytes()


# --- JPEG ---------------------------------------------------------------------------------------------------------------

JPEGS: dict[str, bytes] = {
    "baseline": encoded(IMAGE, "JPEG"),
    "progressive": encoded(IMAGE, "JPEG", progressive=True),
    "restarts": encoded(IMAGE, "JPEG", restart_marker_blocks=3),
    "grey": encoded(IMAGE.convert("L"), "JPEG"),
    "cmyk": encoded(IMAGE.convert("CMYK"), "JPEG"),
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_libjpeg_completed_by_guessing_is_refused(kind: str) -> None:
    whole = JPEGS[kind]
    scan, size = whole.rindex(b"\xff\xda") + 14, len(whole)
    half = (scan + size) // 2
    broken = {
        "cut, closed": whole[:half] + b"\xff\xd9",
        "one byte lost, closed": whole[:-10] + b"\xff\xd9",
        "zeroed from the middle": whole[:half] + bytes(size - half - 2) + b"\xff\xd9",
        "zeroed in the middle": whole[: half - 200] + bytes(200) + whole[half:],
        "a piece lost in the middle": whole[: half - 300] + whole[half:],
        "no scan data": whole[:scan] + b"\xff\xd9",
        "no scan": whole[: whole.index(b"\xff\xda")] + b"\xff\xd9",
        "cut": whole[:half],
    }
    assert {name: fate(data) for name, data in broken.items() if fate(data) == "usable"} == {}


@pytest.mark.parametrize("hole", [16, 24, 63, 200])
def test_a_small_hole_of_zeros_in_a_baseline_jpeg_is_found(hole: int) -> None:
    whole = JPEGS["baseline"]
    at = len(whole) * 2 // 3
    assert "a hole of zeros" in detail(whole[:at] + bytes(hole) + whole[at + hole :])


def test_a_cut_jpeg_with_a_whole_thumbnail_is_refused_however_it_is_padded() -> None:
    """A walk over its markers that does not skip the EXIF block finds the thumbnail's end and takes it for the picture's."""
    small = encoded(IMAGE.resize((40, 30)), "JPEG")
    for whole in JPEGS.values():
        block = b"\xff\xe1" + struct.pack(">H", len(small) + 8) + b"Exif\0\0" + small
        carrying = whole[:2] + block + whole[2:]
        assert same(carrying, whole)
        for end in (b"", bytes(500), bytes(500) + b"\xff\xd9", b"\xff\xd9"):
            assert fate(carrying[: -len(whole) // 2] + end) in (Reason.TRUNCATED, Reason.UNDECODABLE)


def test_what_a_camera_leaves_between_and_behind_the_data_does_no_harm() -> None:
    for whole in JPEGS.values():
        for odd in (
            whole + b"junk" * 50,
            whole[:-2] + b"\0" + whole[-2:],
            whole[:-2] + bytes(700) + whole[-2:],
            whole[:-2] + b"\xff" * 40 + whole[-2:],
            whole[:2] + b"\xff\xe1\0\4ab" + b"\0\0\0" + whole[2:],
        ):
            assert same(odd, whole)


@pytest.mark.parametrize("kind", ["L", "RGB"])
def test_a_lossless_jpeg_has_one_fate_however_large_it_is_asked_for(kind: str) -> None:
    data = lossless_jpeg(np.asarray(IMAGE.convert(kind)))
    assert fate(data) == "usable"
    sent = Image.open(io.BytesIO(for_api(data, LIMITS, 40)))
    assert sent.size == (40, 30)


def lossless_jpeg(values: np.ndarray) -> bytes:
    """Process 14, predictor 1, one Huffman table of seventeen 5-bit codes."""
    values = values[..., None] if values.ndim == 2 else values
    height, width, channels = values.shape
    before = np.empty(values.shape, int)
    before[:, 1:], before[1:, 0], before[0, 0] = values[:, :-1], values[:-1, 0], 128
    bits: list[str] = []
    for difference in (values.astype(int) - before).reshape(-1).tolist():
        size = abs(difference).bit_length()
        bits.append(f"{size:05b}")
        bits.append(f"{difference if difference > 0 else difference + 2**size - 1:0{size}b}" if size else "")
    text = "".join(bits)
    data = bytes(int(text[at : at + 8].ljust(8, "1"), 2) for at in range(0, len(text), 8)).replace(b"\xff", b"\xff\0")
    table = bytes([0, 0, 0, 0, 0, 17, *bytes(11)]) + bytes(range(17))
    parts = b"".join(bytes([number + 1, 0x11, 0]) for number in range(channels))
    frame = struct.pack(">BHHB", 8, height, width, channels) + parts
    scan = bytes([channels]) + b"".join(bytes([number + 1, 0]) for number in range(channels)) + b"\1\0\0"
    colours = b"Adobe\0\x64\0\0\0\0\0"  # of no transform
    segments = ((0xEE, colours), (0xC4, table), (0xC3, frame), (0xDA, scan))
    head = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return b"\xff\xd8" + head + data + b"\xff\xd9"


# --- PNG ----------------------------------------------------------------------------------------------------------------


def repacked(whole: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The same PNG with other rows, properly packed."""
    at = whole.index(b"IDAT") - 4
    rows, position = b"", at
    while whole[position + 4 : position + 8] == b"IDAT":
        length = struct.unpack_from(">I", whole, position)[0]
        rows += whole[position + 8 : position + 8 + length]
        position += 12 + length
    return whole[:at] + chunk(b"IDAT", zlib.compress(change(zlib.decompress(rows)))) + whole[position:]


DARK = np.zeros_like(VALUES)
PNGS: dict[str, bytes] = {
    "rgb": encoded(IMAGE, "PNG"),
    "black": png(DARK, 8, 2),
    "palette": encoded(IMAGE.convert("P"), "PNG"),
    "grey": encoded(IMAGE.convert("L"), "PNG"),
    "one bit": encoded(IMAGE.convert("1"), "PNG"),
    "rgba": encoded(IMAGE.convert("RGBA"), "PNG"),
    "deep": png(VALUES.astype(int) * 257, 16, 2),
    "deep grey": png(VALUES[..., 0].astype(int) * 257, 16, 0),
}


@pytest.mark.parametrize("kind", PNGS)
def test_a_png_whose_packed_rows_end_early_is_refused(kind: str) -> None:
    whole = PNGS[kind]
    assert fate(whole) == "usable"
    header = bytearray(whole[16:29])
    header[4:8] = struct.pack(">I", 121)
    broken = {
        "taller": whole[:8] + chunk(b"IHDR", bytes(header)) + whole[33:],
        "half": repacked(whole, lambda rows: rows[: len(rows) // 2]),
        "one byte": repacked(whole, lambda rows: rows[:-1]),
        "one row": repacked(whole, lambda rows: rows[: len(rows) // 120]),
        "nothing": repacked(whole, lambda _: b""),
    }
    assert {name: fate(data) for name, data in broken.items() if fate(data) != Reason.TRUNCATED} == {}


def test_an_interlaced_png_is_counted_by_its_passes() -> None:
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    for width, height in ((64, 48), (61, 47), (9, 8)):
        values = np.asarray(IMAGE.resize((width, height)))
        rows = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in passes for row in values[y::dy, x::dx])
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1))
        for packed, end in ((rows, "usable"), (rows[:-1], "truncated"), (rows[: len(rows) // 2], "truncated")):
            data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")
            assert fate(data) == end
            if end == "usable":
                assert (np.asarray(decode(data, LIMITS)) == values).all()


def test_a_png_with_changed_data_or_without_its_palette_is_refused() -> None:
    whole = PNGS["palette"]
    at = whole.index(b"PLTE") - 4
    assert fate(whole[:at] + whole[at + 12 + struct.unpack_from(">I", whole, at)[0] :]) == Reason.UNDECODABLE
    stored = png(VALUES.astype(int), 8, 2)
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in VALUES), 0)  # as they are: any byte will do
    at = stored.index(b"IDAT") - 4
    good = stored[:at] + chunk(b"IDAT", rows) + stored[-12:]
    changed = bytearray(good)
    changed[at + 500] ^= 0x55
    assert fate(good) == "usable"
    assert fate(bytes(changed)) == Reason.UNDECODABLE


def after_header(whole: bytes, kind: bytes, body: bytes, damage: int = 0) -> bytes:
    piece = bytearray(chunk(kind, body))
    piece[-1] ^= damage
    return whole[:33] + bytes(piece) + whole[33:]


@pytest.mark.parametrize("kind", PNGS)
def test_remarks_of_a_png_do_not_cost_the_picture(kind: str) -> None:
    whole = PNGS[kind]
    history = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<x>" + b"history " * 400_000)
    for odd in (
        after_header(whole, b"pHYs", struct.pack(">IIB", 1, 1, 1), damage=1),
        after_header(whole, b"tEXt", b"k\0v", damage=1),
        after_header(whole, b"gAMA", struct.pack(">I", 45455), damage=0x80),
        after_header(whole, b"iTXt", history),
        after_header(whole, b"zTXt", b"k\0\0" + zlib.compress(bytes(40_000_000))),
        after_header(whole, b"iCCP", b"p\0\0" + zlib.compress(bytes(40_000_000))),
    ):
        assert same(odd, whole)


# --- TIFF ---------------------------------------------------------------------------------------------------------------


def counts(whole: bytes, change: Callable[[list[int]], list[int]]) -> bytes:
    """The same TIFF with other byte counts of its strips or tiles."""
    with tifffile.TiffFile(io.BytesIO(whole)) as file:
        tags = file.pages.first.tags
        tag = tags[279] if 279 in tags else tags[325]
        order, old = file.byteorder, list(tag.value if isinstance(tag.value, tuple) else (tag.value,))
    layout = order + {3: "H", 4: "I"}[int(tag.dtype)] * tag.count
    return (
        whole[: tag.valueoffset]
        + struct.pack(layout, *change(old))
        + whole[tag.valueoffset + struct.calcsize(layout) :]
    )


def strips(packed: str | None, **how: Any) -> bytes:
    return encoded(IMAGE, "TIFF", compression=packed, tiffinfo={278: 40}, **how)


TIFFS: dict[str, bytes] = {
    "raw": strips(None),
    "lzw": strips("tiff_lzw"),
    "deflate": strips("tiff_adobe_deflate"),
    "packbits": strips("packbits"),
    "jpeg": strips("jpeg"),
    "tiles": tiff(VALUES, photometric="rgb", tile=(64, 64)),
    "tiles, deflate": tiff(VALUES, photometric="rgb", tile=(64, 64), compression="zlib"),
    "planes": tiff(np.moveaxis(VALUES, -1, 0).copy(), photometric="rgb", planarconfig="separate", rowsperstrip=40),
}


@pytest.mark.parametrize("kind", TIFFS)
def test_a_tiff_without_all_of_its_strips_or_tiles_is_refused(kind: str) -> None:
    whole = TIFFS[kind]
    assert fate(whole) == "usable"
    broken = {
        "the last is empty": counts(whole, lambda old: [*old[:-1], 0]),
        "the second is empty": counts(whole, lambda old: [old[0], 0, *old[2:]]),
        "all are halved": counts(whole, lambda old: [count // 2 for count in old]),
    }
    assert {name: fate(data) for name, data in broken.items() if fate(data) == "usable"} == {}


def test_a_strip_is_as_whole_as_its_decoder_says() -> None:
    for kind in ("jpeg", "deflate", "lzw"):
        with tifffile.TiffFile(io.BytesIO(TIFFS[kind])) as file:
            start, length = file.pages.first.dataoffsets[1], file.pages.first.databytecounts[1]
        half = start + length // 2
        zeroed = TIFFS[kind][:half] + bytes(length - length // 2) + TIFFS[kind][start + length :]
        assert fate(zeroed) in (Reason.TRUNCATED, Reason.UNDECODABLE)
    closed = TIFFS["jpeg"]
    with tifffile.TiffFile(io.BytesIO(closed)) as file:
        start, length = file.pages.first.dataoffsets[1], file.pages.first.databytecounts[1]
    half = start + length // 2
    assert fate(closed[:half] + b"\xff\xd9" + closed[half + 2 :]) == Reason.TRUNCATED


def test_a_preview_is_not_the_picture() -> None:
    small = np.asarray(IMAGE.resize((80, 60)))
    raw = tiff(small, photometric="rgb", subfiletype=1, extratags=[(50706, 1, 4, (1, 4, 0, 0), True)])
    assert "camera's raw file" in detail(raw)
    assert "80 x 60" in detail(raw)
    assert "preview" in detail(tiff(small, photometric="rgb", subfiletype=1))
    assert "a sensor's values" in detail(tiff(VALUES[..., 0].copy(), photometric=32803))


# --- the others ---------------------------------------------------------------------------------------------------------


def test_lying_headers_and_bytes_behind_the_end_do_not_cost_the_picture() -> None:
    gif = encoded(IMAGE.convert("P"), "GIF")
    film = encoded(IMAGE.convert("P"), "GIF", save_all=True, append_images=[IMAGE.rotate(90).convert("P")])
    bmp, webp, avif = (encoded(IMAGE, kind) for kind in ("BMP", "WEBP", "AVIF"))
    moving = encoded(IMAGE, "WEBP", save_all=True, append_images=[IMAGE.rotate(90)])
    stream, boxed = (encoded(IMAGE, "JPEG2000", no_jp2=no) for no in (True, False))
    junk = b"junk that somebody appended" * 5

    def sized(data: bytes, more: int) -> bytes:
        return data[:4] + struct.pack("<I", len(data) - 8 + more) + data[8:]

    odd = {
        "gif without trailer": (gif[:-1], gif),
        "gif with a cut second frame": (film[: -len(film) // 4], film),
        "bmp that lies about its size": (bmp[:2] + struct.pack("<I", 3 * len(bmp)) + bmp[6:], bmp),
        "webp one byte longer": (sized(webp, 1), webp),
        "webp one byte shorter": (sized(webp, -1), webp),
        "webp much longer": (sized(webp, 1000), webp),
        "webp with junk": (webp + junk, webp),
        "webp with a cut second frame": (moving[:-300], moving),
        "avif with junk": (avif + junk, avif),
        "avif of the brand miaf": (avif[:8] + b"miaf" + avif[12:], avif),
        "jpeg 2000 with junk": (boxed + junk, boxed),
        "codestream with junk": (stream + junk, stream),
    }
    assert [name for name, (data, whole) in odd.items() if not same(data, whole)] == []


def test_a_cut_picture_of_these_formats_is_refused_with_what_is_missing() -> None:
    for kind in ("WEBP", "AVIF", "JPEG2000", "BMP", "PPM", "GIF"):
        image = IMAGE.convert("P") if kind == "GIF" else IMAGE
        whole = encoded(image, kind)
        assert fate(whole[: len(whole) * 2 // 3]) == Reason.TRUNCATED, kind
    stream = encoded(IMAGE, "JPEG2000", no_jp2=True)
    assert fate(stream[: len(stream) // 2] + b"\xff\xd9") == Reason.UNDECODABLE
    assert fate(stream[: len(stream) // 2] + bytes(len(stream) // 2)) == Reason.TRUNCATED


def test_a_file_that_was_laid_out_in_full_and_filled_in_part_is_refused() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8))
    for kind, how in (("WEBP", {}), ("WEBP", {"lossless": True}), ("AVIF", {}), ("JPEG2000", {})):
        whole = encoded(noise, kind, **how)
        half = len(whole) // 2
        assert fate(whole[:half] + bytes(len(whole) - half)) == Reason.TRUNCATED, (kind, how)
        assert same(whole + bytes(len(whole)), whole), f"zeros behind a whole {kind}"
    stream = encoded(noise, "JPEG2000", no_jp2=True)
    half = len(stream) // 2
    assert "a hole of zeros" in detail(stream[:half] + bytes(200) + stream[half + 200 :])


def test_a_flat_picture_is_full_of_zeros_and_whole() -> None:
    for colour in ((0, 0, 0), (255, 255, 255), (200, 30, 77)):
        flat = Image.new("RGB", (700, 700), colour)
        for kind, how in (
            ("WEBP", {}),
            ("WEBP", {"quality": 5}),
            ("AVIF", {}),
            ("JPEG2000", {}),
            ("JPEG", {}),
            ("JPEG", {"optimize": True}),
        ):
            assert fate(encoded(flat, kind, **how)) == "usable", (kind, how, colour)


NAMED = {
    "DICOM": bytes(128) + b"DICM" + bytes(100),
    "TGA": encoded(IMAGE, "TGA"),
    "PCX": encoded(IMAGE, "PCX"),
    "JPEG XR": b"II\xbc\x01\x20\0\0\0" + bytes(100),
    "JPEG XL": b"\xff\x0a" + bytes(100),
    "JPEG-LS": b"\xff\xd8\xff\xf7\0\x0b\x08\0\x78\0\xa0\1\1\x11\0" + bytes(100) + b"\xff\xd9",
    "12-bit JPEG": b"\xff\xd8\xff\xc1\0\x0b\x0c\0\x78\0\xa0\1\1\x11\0" + bytes(100) + b"\xff\xd9",
    "HEIF": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(300),
    "camera raw": b"II*\0\x10\0\0\0CR\2\0" + bytes(100),
}


@pytest.mark.parametrize("kind", NAMED)
def test_a_format_that_is_not_read_is_named_with_what_to_do(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presel.images.extra.find_spec", lambda _: None)
    assert sniff(NAMED[kind]) == kind
    assert fate(NAMED[kind]) == Reason.UNDECODABLE
    assert detail(NAMED[kind]).startswith(f"{kind} is not read here: ")


@pytest.mark.skipif(find_spec("pillow_heif") is None, reason="presel[formats] is not installed")
def test_heic_and_jpeg_xl_are_read_where_their_readers_are_installed() -> None:
    import pillow_heif
    import pillow_jxl  # noqa: F401

    pillow_heif.register_heif_opener()
    for kind in ("HEIF", "JXL"):
        image = decode(encoded(IMAGE, kind, quality=95), LIMITS)
        assert isinstance(image, Image.Image)
        assert np.abs(np.asarray(image).astype(int) - VALUES).mean() < 6


@pytest.mark.skipif(find_spec("pydicom") is None, reason="presel[formats] is not installed")
@pytest.mark.parametrize("meaning", ["MONOCHROME1", "MONOCHROME2"])
def test_dicom_is_read_where_its_reader_is_installed(meaning: str) -> None:
    values = np.linspace(0, 4095, 64 * 48).astype(np.uint16).reshape(48, 64)
    image = decode(dicom(values, meaning), LIMITS)
    assert isinstance(image, Image.Image)
    ramp = values / 4095 * 255
    expected = ramp if meaning == "MONOCHROME2" else 255 - ramp
    assert np.abs(np.asarray(image)[..., 0] - expected).max() <= 1


def dicom(values: np.ndarray, meaning: str) -> bytes:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    about = FileMetaDataset()
    about.TransferSyntaxUID, about.MediaStorageSOPClassUID = ExplicitVRLittleEndian, SecondaryCaptureImageStorage
    about.MediaStorageSOPInstanceUID = "1.2.3"
    data = FileDataset(None, {}, file_meta=about, preamble=bytes(128))
    data.Rows, data.Columns = values.shape
    data.PhotometricInterpretation, data.SamplesPerPixel = meaning, 1
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation, data.PixelData = 15, 0, values.tobytes()
    sink = io.BytesIO()
    data.save_as(sink, enforce_file_format=True)
    return sink.getvalue()


@pytest.mark.skipif(sys.byteorder == "big", reason="written for little-endian machines")
def test_the_decoder_of_jpegs_gives_the_pixels_that_pillow_gives() -> None:
    for whole in JPEGS.values():
        with Image.open(io.BytesIO(whole)) as plain:
            if plain.mode != "CMYK":
                assert (np.asarray(decode(whole, LIMITS)) == np.asarray(plain.convert("RGB"))).all()
