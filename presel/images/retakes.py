"""The same scene once more: what a burst, a second upload or a thumbnail of a photograph looks like."""

from __future__ import annotations

import io
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

CROPPED, LIT = 0.04, 0.1


def retaken(image: Image.Image, rng: Random) -> Image.Image:
    """Up to 4 % cropped from each edge, up to 10 % lighter or darker, encoded again as a JPEG of quality 70 to 95. RGB."""
    from PIL import Image, ImageEnhance

    width, height = image.size
    left, top, right, bottom = (rng.uniform(0, CROPPED) for _ in range(4))
    box = (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    if box[2] <= box[0] or box[3] <= box[1]:
        box = (0, 0, width, height)
    lit = ImageEnhance.Brightness(image.crop(box)).enhance(rng.uniform(1 - LIT, 1 + LIT))
    out = io.BytesIO()
    lit.save(out, "JPEG", quality=rng.randint(70, 95))
    again = Image.open(io.BytesIO(out.getvalue()))
    again.load()
    return again.convert("RGB")
