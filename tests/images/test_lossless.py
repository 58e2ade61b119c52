"""What is sent of a JPEG that needs nothing done: its pixels to the bit, and nothing else that was in the file."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from PIL import Image, ImageCms

from presel.config import ImageConfig
from presel.images import Rejected, decode, for_api
from presel.images.lossless import as_it_is
from tests.image_files import encoded, files, photograph

LIMITS = ImageConfig(min_side=16)
PLACE = b"47.3769 N, 8.5417 E, camera 0815"


def exif(**tags: object) -> Image.Exif:
    made = Image.Exif()
    made[0x010F] = PLACE.decode()
    for tag, value in tags.items():
        made[int(tag[1:])] = value
    return made


def pixels(data: bytes) -> np.ndarray:
    image = decode(data, LIMITS)
    assert not isinstance(image, Rejected)
    return np.asarray(image)


def with_segment(marker: int, content: bytes, data: bytes) -> bytes:
    """A JPEG with one more segment before all others."""
    return data[:2] + bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content + data[2:]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"quality": 30},
        {"quality": 95, "subsampling": 0},
        {"progressive": True, "optimize": True},
        {"restart_marker_blocks": 2},
        {"exif": exif(), "comment": PLACE},
        {"exif": exif(_274=1), "xmp": b"<x:xmpmeta>" + PLACE + b"</x:xmpmeta>"},
        {"keep_rgb": False, "dpi": (300, 300)},
    ],
    ids=str,
)
def test_the_pixels_are_the_originals_and_nothing_else_is(options: dict[str, object]) -> None:
    data = encoded(photograph(96, 64), "JPEG", **options)
    data = with_segment(0xE0, b"JFXX\x00\x10" + PLACE, with_segment(0xED, b"Photoshop 3.0\x00" + PLACE, data))
    sent = as_it_is(data + b"\xff\xd8" + PLACE, LIMITS, 96)
    assert sent is not None
    assert (pixels(sent) == pixels(data)).all()
    assert PLACE not in sent
    opened = Image.open(io.BytesIO(sent))
    assert not opened.getexif()
    assert set(opened.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive", "progression"}
    assert as_it_is(sent, LIMITS, 96) == sent


def unfit() -> dict[str, bytes]:
    image = photograph(96, 64)
    plain = encoded(image, "JPEG")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    xmp = b"http://ns.adobe.com/xap/1.0/\x00<x tiff:Orientation='6'/>"
    return {
        "too long a side": encoded(photograph(97, 64), "JPEG"),
        "turned": encoded(image, "JPEG", exif=exif(_274=6)),
        "turned by XMP": with_segment(0xE1, xmp, plain),
        "broken EXIF": with_segment(0xE1, b"Exif\x00\x00II*\x00\xff\xff\xff\x0f", plain),
        "a profile": encoded(image, "JPEG", icc_profile=profile),
        "RGB": encoded(image, "JPEG", keep_rgb=True),
        "grey": encoded(image.convert("L"), "JPEG"),
        "CMYK": encoded(image.convert("CMYK"), "JPEG"),
        "no end": plain[:-2],
        "half": plain[: len(plain) // 2],
        "heavy": plain[:-2] + b"\xff" * 200_000 + plain[-2:],
        "PNG": encoded(image, "PNG"),
        "nothing": b"",
        "two bytes": b"\xff\xd8",
    }


@pytest.mark.parametrize("name", unfit())
def test_what_needs_something_done_is_not_sent_as_it_is(name: str) -> None:
    assert as_it_is(unfit()[name], LIMITS, 96) is None


@pytest.mark.parametrize("name", [name for name in files() if name.endswith((".jpg", "jpeg.tiff"))])
def test_whatever_is_sent_shows_what_the_encoder_saw(name: str) -> None:
    data = files()[name]
    seen, sent = pixels(data).astype(int), pixels(for_api(data, LIMITS, 96)).astype(int)
    assert seen.shape == sent.shape
    assert abs(seen - sent).mean() < 8


@pytest.mark.filterwarnings("ignore")  # Pillow's, about EXIF blocks that were damaged
def test_damaged_files_are_sent_with_the_same_pixels_or_not_as_they_are() -> None:
    draw = random.Random(0)
    whole = [encoded(photograph(48, 32), "JPEG", exif=exif(), **more) for more in ({}, {"progressive": True})]
    kept = 0
    for i in range(2000):
        data = bytearray(whole[i % 2])
        for _ in range(draw.randint(1, 3)):
            data[draw.randrange(2, len(data))] = draw.choice((0, 1, 0xFF, 0xD9, 0xDA, 0xE1, draw.randrange(256)))
        sent = as_it_is(bytes(data), LIMITS, 96)
        shown = decode(bytes(data), LIMITS)
        if sent is not None and not isinstance(shown, Rejected):
            kept += 1
            assert (pixels(sent) == np.asarray(shown)).all()
    assert kept > 500


def test_a_large_jpeg_is_shrunk_to_what_a_whole_decoding_gives() -> None:
    data = encoded(photograph(1600, 1200), "JPEG", quality=92)
    sent = Image.open(io.BytesIO(for_api(data, LIMITS, 320)))
    whole = Image.open(io.BytesIO(data)).resize((320, 240), Image.Resampling.LANCZOS)
    assert sent.size == (320, 240)
    assert abs(np.asarray(sent).astype(int) - np.asarray(whole).astype(int)).mean() < 3
