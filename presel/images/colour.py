"""Any pixel layout to upright 8-bit RGB in sRGB, the way a person's viewer would show it.

Pillow's own `convert("RGB")` clips 16-bit greys to white, drops alpha so that hidden pixels appear, and ignores profiles.
An encoder and an annotator would then see another picture than the person who made it.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation(image: Image.Image) -> Image.Transpose | None:
    """What turns the picture upright; None when it is, or when its EXIF block is absent or broken."""
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken metadata is no reason to lose the pixels, and Pillow raises a dozen types over it
        return None


def upright(image: Image.Image) -> Image.Image:
    """An opened picture as the pipeline sees it: turned upright, 8-bit sRGB without alpha."""
    turn = orientation(image)
    flat = to_rgb(image)
    return flat if turn is None else flat.transpose(turn)


def to_rgb(image: Image.Image) -> Image.Image:
    """An 8-bit sRGB picture without alpha. Transparent parts show white; a colour profile is applied."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _grey_from_deep(image).convert("RGB")
    if image.mode == "LAB":
        return _through(image, _lab_profile())
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return _on_white(image)
    profiled = _apply_profile(image)
    return profiled if profiled.mode == "RGB" else profiled.convert("RGB")


def srgb_already(image: Image.Image) -> bool:
    """Whether an opened picture of mode RGB has no colour profile that would change its colours."""
    profile = image.info.get("icc_profile")
    return not isinstance(profile, bytes) or not profile or _transform_to_srgb(profile, image.mode) is None


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    alpha = rgba.getchannel("A")
    colours = rgba.convert("RGB")
    colours.info = {name: value for name, value in image.info.items() if name == "icc_profile"}
    white = Image.new("RGB", rgba.size, (255, 255, 255))
    white.paste(_apply_profile(colours), mask=alpha)
    return white


def _grey_from_deep(image: Image.Image) -> Image.Image:
    """16-bit greys keep their top byte; wider integers and floats are scaled by their own range."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if image.mode != "F" and low >= 0 and high <= 65_535:
        scaled = values if high <= 255 and image.mode == "I" else values // 256
    elif image.mode == "F" and low >= 0 and high <= 1:
        scaled = values * 255
    else:
        scaled = (values - low) * (255 / max(high - low, 1e-300))
    return Image.fromarray(scaled.clip(0, 255).astype(np.uint8))


def _apply_profile(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not profile or image.mode not in ("RGB", "CMYK", "L"):
        return image
    transform = _transform_to_srgb(profile, image.mode)
    return image if transform is None else ImageCms.applyTransform(image, transform) or image


@lru_cache(maxsize=64)
def _transform_to_srgb(profile: bytes, mode: str) -> Any | None:
    """The transform from this profile; None for sRGB itself and for profiles that are broken or of another mode.

    Building one takes a few milliseconds and pools use few profiles, hence the cache.
    """
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _lab_profile() -> Any:
    return ImageCms.createProfile("LAB")


def _through(image: Image.Image, profile: Any) -> Image.Image:
    converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    if converted is None:
        raise ValueError("the colour conversion returned nothing")
    return converted
