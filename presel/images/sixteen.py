"""Colours of 16 bits in full. Pillow keeps the upper byte of each, but its unpackers can be asked for the other one."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from presel.images import colour
from presel.images.pillow import Image, ImageFile

_OTHER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
"""The last letter of a raw mode says which of two bytes is the upper one."""
_KEPT = ("exif", "xmp", "XML:com.adobe.xmp")


def needed(opened: Image.Image) -> bool:
    """Whether it makes a difference: something is transparent, or a profile may spread the dark levels."""
    return opened.mode == "RGBA" or bool({"transparency", "icc_profile"} & set(opened.info))


def load(opened: Image.Image, data: bytes) -> Image.Image | None:
    """RGB of a picture that Pillow has loaded as RGB or RGBA from 16 bits; None when it cannot be asked for all of them."""
    with Image.open(io.BytesIO(data), formats=[str(opened.format)]) as again:
        raw = _raw_mode(again)
    if raw.startswith("LA;16"):
        parts = _bytes(data, opened.format, "RGBA")
        values, greys = _joined(parts[..., ::2], parts[..., 1::2]), True
    elif raw.startswith(("RGB;16", "RGBA;16", "RGBX;16")):
        low = _bytes(data, opened.format, raw[:-1] + _OTHER[raw[-1]])
        values, greys = _joined(np.asarray(opened), low), False
    else:
        return None
    colours = values[..., :1] if greys else values[..., :3]
    alpha = values[..., -1] if opened.mode == "RGBA" else None
    if key := opened.info.get("transparency"):
        alpha = np.where((colours == key).all(axis=2), 0, 65_535).astype(np.uint16)
    shown = colour.of_sixteen_bits(colours, alpha, opened.info.get("icc_profile"))
    shown.info = {name: opened.info[name] for name in _KEPT if name in opened.info}
    return shown


def _joined(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return high.astype(np.uint16) * np.uint16(256) + low


def _raw_mode(opened: ImageFile) -> str:
    args = opened.tile[0].args
    return str(args[0] if isinstance(args, tuple) else args)


def _bytes(data: bytes, format: str | None, mode: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data), formats=[str(format)]) as image:
        image.tile = [tile._replace(args=_with(tile.args, mode)) for tile in image.tile]
        return np.asarray(image)


def _with(args: Any, mode: str) -> Any:
    return (mode, *args[1:]) if isinstance(args, tuple) else mode
