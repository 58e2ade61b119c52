"""Bytes to pixels: every format and pixel layout, every way a file can be wrong, and a few thousand damaged ones."""

from __future__ import annotations

import io
import os
import random
import re
import resource
import struct
import time
import warnings
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from presel.config import ImageConfig
from presel.errors import InputError
from presel.images import Picture, Reason, Rejected, decode, for_api, not_an_image_by_name, thumbnail
from presel.images.decoding import open_picture
from presel.images.formats import SUPPORTED, sniff
from tests.image_files import damaged, encoded, files, photograph

LIMITS = ImageConfig()


def pixels(data: bytes) -> np.ndarray:
    image = decode(data, LIMITS)
    assert isinstance(image, Image.Image), image
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def reason(data: bytes, key: str = "") -> str:
    refused = decode(data, LIMITS, key)
    assert isinstance(refused, Rejected)
    return refused.reason


def difference(data: bytes, shown: Image.Image) -> float:
    return float(np.abs(pixels(data) - np.asarray(shown.convert("RGB")).astype(int)).mean())


@pytest.mark.parametrize("name", sorted(files()))
def test_every_format_shows_the_picture_that_was_saved(name: str) -> None:
    image = photograph()
    if "exif" in name:
        image = image.transpose(Image.Transpose.ROTATE_270)
    elif "deep" in name or "grey" in name:
        image = image.convert("L")
    elif "palette" in name or "gif" in name:
        image = image.convert("P")
    assert difference(files()[name], image) < 9  # what JPEG at quality 75 costs a picture of 64 x 48


@pytest.mark.parametrize("name", sorted(files()))
def test_no_truncation_of_any_format_is_taken_for_a_picture(name: str) -> None:
    data = files()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for length in [*range(0, len(data), max(1, len(data) // 60)), *range(len(data) - 4, len(data))]:
            image = decode(data[:length], LIMITS)
            if name.endswith(".gif") and isinstance(image, Image.Image):  # the first frame ends before its file does
                assert image.tobytes() == decode(data, LIMITS).tobytes(), f"{name} cut at {length} of {len(data)}"
            else:
                assert isinstance(image, Rejected), f"{name} cut at {length} of {len(data)}"


def test_a_truncated_jpeg_padded_with_zeros_is_still_truncated() -> None:
    data = files()["baseline.jpg"]
    assert reason(data[: len(data) // 2] + bytes(len(data) // 2)) == Reason.TRUNCATED


def test_a_thumbnail_inside_a_truncated_jpeg_does_not_close_it() -> None:
    whole = files()["baseline.jpg"]
    thumbnail_block = b"\xff\xe1" + struct.pack(">H", len(whole) + 2) + whole
    with_thumbnail = whole[:2] + thumbnail_block + whole[2:]
    assert isinstance(decode(with_thumbnail, LIMITS), Image.Image)
    assert reason(with_thumbnail[:-20]) == Reason.TRUNCATED


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", Reason.ZERO_BYTE),
        (b"just some words\n", Reason.NOT_AN_IMAGE),
        (b"<!DOCTYPE html><html>403</html>", Reason.NOT_AN_IMAGE),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', Reason.NOT_AN_IMAGE),
        (bytes(1000), Reason.NOT_AN_IMAGE),
        (b"%PDF-1.7", Reason.NOT_AN_IMAGE),
        (b"\xff\xd8\xff", Reason.TRUNCATED),
        (b"8BPS" + bytes(100), Reason.UNDECODABLE),
        (b"\x00\x00\x00\x18ftypheic" + bytes(100), Reason.UNDECODABLE),
        (encoded(photograph(64, 7), "PNG"), Reason.TOO_SMALL),
        (encoded(photograph(1, 4000), "PNG"), Reason.TOO_SMALL),
        (encoded(photograph(400, 8), "PNG"), Reason.ASPECT_RATIO),
    ],
)
def test_what_cannot_be_used_has_its_reason(data: bytes, expected: Reason) -> None:
    assert reason(data, "photo.jpg") == expected


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(20_000, 20_000), (8_001, 8_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_from_its_header_before_a_pixel_is_decoded(size: tuple[int, int]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert reason(png_header(*size)) == Reason.TOO_MANY_PIXELS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = files()["progressive.jpg"]
    scan = data.rindex(b"\xff\xda")
    bomb = data[:scan] + data[scan:-2] * 500 + data[-2:]
    assert reason(bomb) == Reason.UNDECODABLE


def test_what_follows_a_jpeg_is_not_counted_among_its_scans() -> None:
    film = b"\xff\xda" * 500
    assert isinstance(decode(files()["exif.jpg"] + film, ImageConfig()), Image.Image)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def after_header(png: bytes, kind: bytes, body: bytes) -> bytes:
    return png[:33] + chunk(kind, body) + png[33:]


@lru_cache(maxsize=1)
def oddities() -> dict[str, tuple[bytes, str]]:
    """Files as they turn up in pools -> what becomes of them."""
    image = photograph(120, 90)
    jpeg, png, gif, tiff = (encoded(image, kind) for kind in ("JPEG", "PNG", "GIF", "TIFF"))
    deep = np.asarray(image.convert("L")).astype(np.uint16) * 257
    bomb = zlib.compress(bytes(100_000_000), 9)
    others = [image.rotate(90)] * 3
    wrong_sum, wrong_header = bytearray(png), bytearray(png)
    wrong_sum[-20] ^= 0xFF
    wrong_header[29] ^= 0xFF
    sixteen = b"".join(b"\0" + (np.asarray(image).astype(">u2") * 257)[row].tobytes() for row in range(90))
    header = struct.pack(">IIBBBBB", 120, 90, 16, 2, 0, 0, 0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    screen = b"GIF89a" + struct.pack("<HH", 100, 100) + b"\x80\0\0" + bytes(6)
    frame = b"," + struct.pack("<HHHH", 0, 0, 60_000, 60_000) + b"\0\2\2\x44\1\0;"
    return {
        "jpeg with junk behind": (jpeg + b"junk" * 1000, "usable"),
        "two jpegs in a row": (jpeg + jpeg, "usable"),
        "jpeg with two beginnings": (b"\xff\xd8" + jpeg, "undecodable"),
        "jpeg with fill bytes": (jpeg[:2] + b"\xff\xff\xff" + jpeg[2:], "usable"),
        "jpeg with garbage for exif": (jpeg[:2] + b"\xff\xe1\x00\x48Exif\0\0" + bytes(range(64)) + jpeg[2:], "usable"),
        "jpeg of unknown coding": (b"\xff\xd8\xff\xc9" + bytes(50) + b"\xff\xd9", "undecodable"),
        "jpeg bomb": (encoded(Image.new("L", (9000, 8000)), "JPEG", quality=5), "too_many_pixels"),
        "cmyk with an rgb profile": (encoded(image.convert("CMYK"), "JPEG", icc_profile=profile), "usable"),
        "grey with an rgb profile": (encoded(image.convert("L"), "JPEG", icc_profile=profile), "usable"),
        "half a profile": (encoded(image, "PNG", icc_profile=profile[:300]), "usable"),
        "mpo": (encoded(image, "MPO", save_all=True, append_images=[image]), "usable"),
        "png with a wrong checksum": (bytes(wrong_header), "undecodable"),
        "png with text of 100 MB, packed": (after_header(png, b"zTXt", b"k\0\0" + bomb), "usable"),
        "png with text of 2 MB": (after_header(png, b"tEXt", b"k\0" + b"a" * 2_000_000), "usable"),
        "png with far too much data": (png[:33] + chunk(b"IDAT", bomb) + png[-12:], "usable"),
        "png of 0 x 0": (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(8) + b"\x08\2\0\0\0") + png[-12:], "undecodable"),
        "png of 16 bits a colour": (
            png[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(sixteen)) + png[-12:],
            "usable",
        ),
        "png with a transparent colour": (encoded(image, "PNG", transparency=(1, 2, 3)), "usable"),
        "png of one bit": (encoded(image.convert("1"), "PNG"), "usable"),
        "moving png": (encoded(image, "PNG", save_all=True, append_images=others), "usable"),
        "moving webp": (encoded(image, "WEBP", save_all=True, append_images=others), "usable"),
        "webp bomb": (
            encoded(Image.new("RGB", (9000, 8000)), "WEBP", lossless=True, quality=0, method=0),
            "too_many_pixels",
        ),
        "gif of no frames": (screen + b";", "undecodable"),
        "gif frame beyond its screen": (screen + frame, "too_many_pixels"),
        "gif with junk behind": (gif + b"junk" * 100, "usable"),
        "tiff of several pages": (encoded(image, "TIFF", save_all=True, append_images=others), "usable"),
        "tiff of floats": (encoded(Image.fromarray(deep.astype(np.float32)), "TIFF"), "usable"),
        "tiff of nothing but nan": (encoded(Image.fromarray(np.full((90, 120), np.nan, np.float32)), "TIFF"), "usable"),
        "tiff in cmyk": (encoded(image.convert("CMYK"), "TIFF"), "usable"),
        "fax": (encoded(image.convert("1"), "TIFF", compression="group4"), "usable"),
        "tiff without a directory": (tiff[:4] + struct.pack("<I", 2**31) + tiff[8:], "truncated"),
        "camera's raw file": (b"II*\0\x10\0\0\0CR\2\0" + bytes(100), "undecodable"),
        "text that begins with BM": (b"BM is what bitmaps begin with. " * 9, "not_an_image"),
        "film": (b"\0\0\0\x20ftypisom" + bytes(200), "not_an_image"),
        "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(300), "undecodable"),
        "jpeg xl": (b"\xff\x0a" + bytes(100), "undecodable"),
        "icon": (encoded(image, "ICO"), "undecodable"),
        "ppm of endless numbers": (b"P6 99999999999 99999999999 255\n", "undecodable"),
        "one pixel": (encoded(Image.new("RGB", (1, 1)), "PNG"), "too_small"),
        "tower": (encoded(Image.new("RGB", (10, 20_000)), "PNG"), "aspect_ratio"),
    }


def test_odd_files_have_the_fate_that_is_documented() -> None:
    ends = {}
    for name, (data, _) in oddities().items():
        one, other = (open_picture(bytes(bytearray(data)), LIMITS, name) for _ in range(2))
        ends[name] = one.reason if isinstance(one, Rejected) else "usable"
        if isinstance(one, Rejected):
            assert one == other  # also the detail: rejects are part of a table's digest
            assert "0x" not in one.detail
    assert ends == {name: expected for name, (_, expected) in oddities().items()}


def test_the_bytes_decide_and_not_the_name() -> None:
    picture = open_picture(files()["still.gif"], LIMITS, "photo.jpg")
    assert isinstance(picture, Picture)
    assert picture.format == "GIF"


def test_the_detail_names_a_lying_extension() -> None:
    data = bytearray(files()["rgb.png"])
    at = data.index(b"IDAT") + 100
    data[at : at + 50] = bytes(50)
    refused = decode(bytes(data), LIMITS, "photo.jpg")
    assert isinstance(refused, Rejected)
    assert refused.reason == Reason.UNDECODABLE
    assert refused.detail.startswith("PNG: ")
    assert "the key says JPG" in refused.detail


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(orientation: int) -> None:
    upright = photograph(64, 48)
    stored = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }[orientation]
    image = upright
    for turn in stored:
        image = image.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, "JPEG", quality=95, exif=exif)
    picture = open_picture(data, LIMITS)
    assert isinstance(picture, Picture)
    assert (picture.width, picture.height) == picture.image.size == upright.size
    assert difference(data, upright) < 5


def test_broken_exif_does_not_cost_the_picture() -> None:
    data = files()["exif.jpg"]
    at = data.index(b"Exif\x00\x00") + 6
    assert isinstance(decode(data[:at] + b"\xff" * 12 + data[at + 12 :], LIMITS), Image.Image)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_show_white_and_not_what_hides_below(mode: str) -> None:
    image = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 16, 32))
    image = image.convert(mode)
    options = {"transparency": image.getpixel((31, 0))} if mode == "P" else {}
    shown = pixels(encoded(image, "PNG", **options))
    assert (shown[:, 16:] == 255).all()
    assert (shown[:, :16] != 255).any()


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    ramp = np.linspace(0, 65_535, 64 * 64).astype(np.uint16).reshape(64, 64)
    for container in ("PNG", "TIFF"):
        shown = pixels(encoded(Image.fromarray(ramp), container))
        assert np.abs(shown[..., 0] - ramp // 256).max() == 0


def test_floating_point_pixels_keep_their_picture_even_with_nan() -> None:
    ramp = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    shown = pixels(encoded(Image.fromarray(ramp), "TIFF"))
    assert shown[0, 0, 0] == 0
    assert shown[-1, -1, 0] == 255
    ramp[3, 3] = np.nan
    assert pixels(encoded(Image.fromarray(ramp * 1000), "TIFF"))[-1, -1, 0] == 255


def test_a_colour_profile_is_applied() -> None:
    image = photograph()
    lab = ImageCms.createProfile("LAB")
    stored = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    assert stored is not None
    assert difference(encoded(stored, "TIFF"), image) < 3


def test_an_srgb_profile_changes_nothing_and_a_broken_one_is_ignored() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = pixels(encoded(photograph(), "PNG"))
    assert (pixels(encoded(photograph(), "PNG", icc_profile=srgb)) == plain).all()
    assert (pixels(encoded(photograph(), "PNG", icc_profile=b"nonsense" * 20)) == plain).all()


def test_a_scaled_jpeg_still_has_twice_the_pixels_it_is_shrunk_to() -> None:
    data = encoded(photograph(1200, 900), "JPEG")
    picture = open_picture(data, LIMITS, side=96)
    assert isinstance(picture, Picture)
    assert (picture.width, picture.height) == (1200, 900)
    assert 192 <= min(picture.image.size) < 900


def test_what_is_sent_to_the_annotator_is_upright_small_enough_and_always_the_same() -> None:
    data = files()["exif.jpg"]
    sent = for_api(data, LIMITS, 32)
    assert sent == for_api(data, LIMITS, 32)
    shown = Image.open(io.BytesIO(sent))
    assert (shown.format, shown.mode, shown.size) == ("JPEG", "RGB", (24, 32))
    assert not shown.getexif()
    assert Image.open(io.BytesIO(for_api(data, LIMITS, 500))).size == (48, 64)


def test_bytes_that_are_no_picture_are_an_error_to_render() -> None:
    with pytest.raises(InputError, match="zero_byte"):
        for_api(b"", LIMITS, 100)


def test_thumbnails_stay_below_ten_kilobytes_even_of_noise() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8))
    for image in (noise, photograph(600, 600)):
        made = thumbnail(encoded(image, "PNG"), 400)
        assert len(made) <= 10_000
        assert Image.open(io.BytesIO(made)).format == "JPEG"


@pytest.mark.parametrize(
    "key",
    [
        "a/.DS_Store",
        "Thumbs.db",
        "a/._x.jpg",
        "notes.TXT",
        "labels.json",
        "t.csv",
        "README.md",
        "folder/",
        ".cache/x.jpg",
        "film.mp4",
    ],
)
def test_names_that_no_picture_has_are_told_without_reading(key: str) -> None:
    assert not_an_image_by_name(key)


@pytest.mark.parametrize(
    "key", ["a.jpg", "a/b.c.PNG", "no extension", "a.data", "thumbs.db/x.jpg", "./a.jpg", "../b.png", "ü.jpeg"]
)
def test_names_that_a_picture_may_have_are_not_judged(key: str) -> None:
    assert not_an_image_by_name(key) is None


def test_every_reason_explains_itself_in_one_sentence() -> None:
    for item in Reason:
        assert item.explanation.endswith(".")
        assert item.explanation.count(". ") == 0
        assert item == item.value


def test_the_documented_reasons_are_those_of_the_code() -> None:
    page = (Path(__file__).parents[1] / "docs" / "rejects.md").read_text()
    documented = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE))
    assert documented == {reason.value: reason.explanation for reason in Reason}


def test_every_supported_format_has_a_file_in_these_tests() -> None:
    assert {sniff(data) for data in files().values()} == set(SUPPORTED)


FUZZ = max(5_500, int(os.environ.get("PRESEL_FUZZ", "0")))
"""Damaged files in all. `PRESEL_FUZZ=200000` takes about a minute of one core."""


@pytest.mark.parametrize("seed", range(FUZZ // 1100))
def test_a_thousand_damaged_files_each_end_as_pixels_or_a_reason(seed: int) -> None:
    chance = random.Random(seed)
    limits = ImageConfig(max_pixels=4_000_000)
    names = sorted(files())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ends: dict[str, int] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(1100):
            data = damaged(files()[names[number % len(names)]], chance)
            started = time.perf_counter()
            opened = open_picture(data, limits)
            assert time.perf_counter() - started < 10
            end = opened.reason if isinstance(opened, Rejected) else "usable"
            ends[end] = ends.get(end, 0) + 1
    assert ends["usable"] > 50
    assert ends[Reason.UNDECODABLE] > 50
    assert ends[Reason.TRUNCATED] > 50
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
