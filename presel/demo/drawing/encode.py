"""A picture as the bytes of a file: the mix of formats and qualities a real bucket holds.

Everything an encoder could vary by itself is fixed (quality, subsampling, compression level; no timestamps), so one seed
gives one sequence of bytes. PNG stays at a low compression level: level 6 doubles the time for 8 % fewer bytes.
"""

from __future__ import annotations

import io
from random import Random

import numpy as np
from PIL import Image

FORMATS = {"jpg": 66, "jpeg": 6, "png": 20, "webp": 4, "bmp": 2, "tiff": 2}  # per cent
_GRAPHIC = {"jpg": 30, "png": 60, "webp": 6, "bmp": 2, "tiff": 2}  # charts and screens are mostly saved without loss
_BMP_UP_TO = 256 * 256  # pixels; above it a BMP would weigh as much as twenty JPEGs


def encode(rng: Random, image: Image.Image, *, graphic: bool) -> tuple[str, bytes]:
    """The extension and the bytes. `graphic`: a drawing that people save without loss."""
    mix = _GRAPHIC if graphic else FORMATS
    extension = rng.choices(list(mix), list(mix.values()))[0]
    if extension == "bmp" and image.width * image.height > _BMP_UP_TO:
        extension = "png"
    quality = rng.choice((45, 60, 75, 82, 90, 95))
    grain = rng.choice((0.0, 0.0, 2.5, 5.0)) if extension in ("jpg", "jpeg", "webp") and not graphic else 0.0
    if grain:
        image = _grainy(image, grain, rng.getrandbits(32))
    return extension, to_bytes(image, extension, quality)


def to_bytes(image: Image.Image, extension: str, quality: int = 85) -> bytes:
    """The encoded file; `quality` matters to JPEG and WebP only."""
    out = io.BytesIO()
    if extension in ("jpg", "jpeg"):
        image.save(out, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2)
    elif extension == "png":
        image.save(out, "PNG", compress_level=3)
    elif extension == "webp":
        image.save(out, "WEBP", quality=quality, method=1)
    elif extension == "tiff":
        image.save(out, "TIFF", compression="tiff_lzw")
    else:
        image.save(out, extension.upper())
    return out.getvalue()


def _grainy(image: Image.Image, sigma: float, seed: int) -> Image.Image:
    """Sensor noise: normal, `sigma` levels, the same in the three channels."""
    pixels = np.asarray(image, dtype=np.int16)
    noise = np.random.default_rng(seed).standard_normal(pixels.shape[:2], dtype=np.float32) * np.float32(sigma)
    noisy = pixels + np.rint(noise).astype(np.int16)[:, :, None]
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
