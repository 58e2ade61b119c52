"""Real files of every format that is decoded, made from one photograph, and ways to damage them."""

from __future__ import annotations

import io
import random
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

TINY_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1},
}
"""An open_clip configuration whose image tower embeds in a millisecond."""


@lru_cache(maxsize=4)
def photograph(width: int = 64, height: int = 48) -> Image.Image:
    from skimage import data

    return Image.fromarray(data.astronaut()).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    sink = io.BytesIO()
    image.save(sink, format, **options)
    return sink.getvalue()


@lru_cache(maxsize=1)
def files() -> dict[str, bytes]:
    """name -> bytes: every format, and the variants of it that take another path through a decoder."""
    image = photograph()
    grey = image.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "baseline.jpg": encoded(image, "JPEG"),
        "progressive.jpg": encoded(image, "JPEG", progressive=True),
        "grey.jpg": encoded(grey, "JPEG"),
        "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG"),
        "exif.jpg": encoded(image, "JPEG", exif=turned),
        "rgb.png": encoded(image, "PNG"),
        "rgba.png": encoded(image.convert("RGBA"), "PNG"),
        "palette.png": encoded(image.convert("P"), "PNG"),
        "deep.png": encoded(deep, "PNG"),
        "still.gif": encoded(image.convert("P"), "GIF"),
        "moving.gif": encoded(
            image.convert("P"), "GIF", save_all=True, append_images=[image.rotate(90).convert("P")], duration=50
        ),
        "lossy.webp": encoded(image, "WEBP"),
        "lossless.webp": encoded(image.convert("RGBA"), "WEBP", lossless=True),
        "raw.tiff": encoded(image, "TIFF"),
        "lzw.tiff": encoded(image, "TIFF", compression="tiff_lzw"),
        "deflate.tiff": encoded(image, "TIFF", compression="tiff_deflate"),
        "jpeg.tiff": encoded(image, "TIFF", compression="jpeg"),
        "deep.tiff": encoded(deep, "TIFF"),
        "rgb.bmp": encoded(image, "BMP"),
        "palette.bmp": encoded(image.convert("P"), "BMP"),
        "still.avif": encoded(image, "AVIF", speed=10),
        "still.jp2": encoded(image, "JPEG2000"),
        "rgb.ppm": encoded(image, "PPM"),
    }


def damaged(data: bytes, chance: random.Random) -> bytes:
    """One to four of the things that happen to files, at places drawn from `chance`."""
    broken = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(max(1, len(broken)))
        # Headers decide sizes and offsets: half of the damage is done there.
        at = at % min(128, max(1, len(broken))) if chance.random() < 0.5 else at
        length = chance.choice((1, 2, 4, 8, 64))
        kind = chance.randrange(7)
        if kind == 0:
            del broken[at:]
        elif kind == 1:
            broken[at : at + length] = bytes(length)
        elif kind == 2:
            broken[at : at + length] = b"\xff" * length
        elif kind == 3:
            broken[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 4:
            broken[at : at + length] = chance.randbytes(length)
        elif kind == 5:
            del broken[at : at + length]
        else:
            broken[at:at] = broken[max(0, at - length) : at]
    return bytes(broken)
