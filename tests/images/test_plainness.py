"""Which files show what was instructed to somebody who just opens them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from presel.config import ImageConfig
from presel.images import decode, is_plain
from tests.image_files import encoded, files, photograph
from tests.images.profiles import SRGB, SWAPPED, profile
from tests.images.test_matrix import png

IMAGE = photograph()
TURNED = Image.Exif()
TURNED[0x0112] = 6


def opened_plainly(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"), int)


def shows_the_same(data: bytes) -> bool:
    meant = decode(data, ImageConfig())
    assert isinstance(meant, Image.Image)
    seen = opened_plainly(data)
    return seen.shape[1::-1] == meant.size and np.abs(seen - np.asarray(meant, int)).max() <= 3


CLEAR = IMAGE.copy()
CLEAR.putalpha(128)
ODD: dict[str, tuple[bytes, bool]] = {
    "turned": (encoded(IMAGE, "JPEG", exif=TURNED), False),
    "turned png": (encoded(IMAGE, "PNG", exif=TURNED), False),
    "a profile that swaps": (encoded(IMAGE, "JPEG", icc_profile=profile("sRGB", 2.2, SWAPPED)), False),
    "a linear profile": (encoded(IMAGE, "PNG", icc_profile=profile("sRGB linear", 1.0, SRGB)), False),
    "half transparent": (encoded(CLEAR, "PNG"), False),
    "opaque alpha": (encoded(IMAGE.convert("RGBA"), "PNG"), True),
    "deep grey": (png(np.asarray(IMAGE.convert("L"), int) * 257, 16, 0), False),
    "deep colours": (png(np.asarray(IMAGE, int) * 257, 16, 2), True),
    "grey": (encoded(IMAGE.convert("L"), "JPEG"), True),
    "palette": (encoded(IMAGE.convert("P"), "PNG"), True),
    "film": (encoded(IMAGE, "WEBP", save_all=True, append_images=[IMAGE.rotate(90)]), True),
}


@pytest.mark.parametrize("name", ODD)
def test_a_file_is_plain_if_opening_it_shows_what_was_instructed(name: str) -> None:
    data, expected = ODD[name]
    assert shows_the_same(data) == expected
    assert is_plain(data) == expected


def test_every_format_is_told_by_what_it_shows() -> None:
    assert {name: is_plain(data) for name, data in files().items()} == {
        name: shows_the_same(data) for name, data in files().items()
    }


@pytest.mark.parametrize("data", [b"", b"words", encoded(IMAGE, "PNG")[:500]])
def test_what_is_no_picture_is_not_plain(data: Any) -> None:
    assert not is_plain(data)
