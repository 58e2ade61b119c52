"""Any pixel layout to upright 8-bit RGB in sRGB, the way a person's viewer would show it.

Pillow's own `convert("RGB")` clips 16-bit greys to white, drops alpha so that hidden pixels appear, and ignores profiles.
An encoder and an annotator would then see another picture than the person who made it.
"""

from __future__ import annotations

import io
import itertools
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from presel.images.pillow import Image, ImageCms

_ORIENTATION = 0x0112
_BAND = 2**18
"""Pixels of 16 bits that are worked on at once: about 30 MB of floats."""
_ROUNDING = 3
"""Levels by which one maker's sRGB may differ from another's."""
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
    profile, key = image.info.get("icc_profile"), image.info.get("transparency")
    if image.mode.startswith("I;16") and (profile or key is not None):
        return _from_sixteen_bits(image, profile, key)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _grey_from_deep(image).convert("RGB")
    if image.mode == "LAB":
        return _through(image, _lab_profile())
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or key is not None:
        return _on_white(image, profile)
    profiled = _apply_profile(image, profile)
    return profiled if profiled.mode == "RGB" else profiled.convert("RGB")


def srgb_already(image: Image.Image) -> bool:
    """Whether an opened picture of mode RGB has no colour profile that would change its colours."""
    return _transform(image.info.get("icc_profile"), image.mode) is None


def _on_white(image: Image.Image, profile: Any) -> Image.Image:
    if image.mode == "La":  # Pillow knows no other way from it
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    alpha = rgba.getchannel("A")
    colours = rgba.convert("L" if image.mode in ("L", "LA", "1") else "RGB")
    white = Image.new("RGB", rgba.size, (255, 255, 255))
    white.paste(_apply_profile(colours, profile).convert("RGB"), mask=alpha)
    return white


def _from_sixteen_bits(image: Image.Image, profile: Any, key: Any) -> Image.Image:
    values = np.asarray(image).astype(np.uint16)
    alpha = None if key is None else np.where(values == key, 0, 65_535).astype(np.uint16)
    return of_sixteen_bits(values[..., None], alpha, profile)


def of_sixteen_bits(values: NDArray[np.uint16], alpha: NDArray[np.uint16] | None, profile: Any) -> Image.Image:
    """RGB of greys or colours (height, width, 1 or 3) and their opacity (height, width), 65,535 for all of it.

    A profile is asked at the two nearest 8-bit levels of each channel, and what lies between them is interpolated: in a dark
    linear picture one such level is thirteen of sRGB.
    """
    shown = np.empty((*values.shape[:2], 3), np.uint8)
    rows = max(1, _BAND // values.shape[1])
    for at in range(0, values.shape[0], rows):
        band = slice(at, at + rows)
        light = _interpolated(values[band] / np.float32(257), profile)
        if alpha is not None:
            opacity = (alpha[band] / np.float32(65_535))[..., None]
            light = light * opacity + 255 * (1 - opacity)
        shown[band] = np.rint(light)
    return Image.fromarray(shown)


def _interpolated(levels: NDArray[Any], profile: Any) -> NDArray[Any]:
    """(height, width, 1 or 3) levels of up to 255 to sRGB, as floats."""
    channels = levels.shape[2]
    mode = "L" if channels == 1 else "RGB"
    if not _transform(profile, mode):
        return np.broadcast_to(levels, (*levels.shape[:2], 3))
    below = np.floor(levels)
    share = levels - below
    light = np.zeros((*levels.shape[:2], 3), np.float32)
    for corner in itertools.product((0, 1), repeat=channels):
        weight = np.prod(np.where(corner, share, 1 - share), axis=2, keepdims=True)
        near = np.minimum(below + np.array(corner, np.float32), 255).astype(np.uint8)
        seen = _apply_profile(Image.fromarray(near[..., 0] if channels == 1 else near), profile)
        light += weight * np.asarray(seen, np.float32)
    return light


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


def _apply_profile(image: Image.Image, profile: Any) -> Image.Image:
    transform = _transform(profile, {"P": "RGB", "1": "L", "YCbCr": "RGB"}.get(image.mode, image.mode))
    if transform is None:
        return image
    if image.mode in ("P", "1", "YCbCr"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return ImageCms.applyTransform(image, transform) or image


def _transform(profile: Any, mode: str) -> Any | None:
    usable = isinstance(profile, bytes) and profile and mode in ("RGB", "CMYK", "L")
    return _transform_to_srgb(profile, mode) if usable else None


@lru_cache(maxsize=64)
def _transform_to_srgb(profile: bytes, mode: str) -> Any | None:
    """The transform from this profile; None for sRGB itself and for profiles that are broken or of another mode.

    Building one takes a few milliseconds and pools use few profiles, hence the cache. That of a profile which calls itself sRGB
    is tried on colours: makers of sRGB round differently, by a level, and what is linear or swapped bears the name, too.
    """
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        named = "srgb" in ImageCms.getProfileDescription(source).lower()
        exact = (
            ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        )  # or dark greys are up to ten levels off
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", flags=exact)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if named and mode != "CMYK" and _changes_nothing(transform, mode) else transform


def _changes_nothing(transform: Any, mode: str) -> bool:
    steps = np.linspace(0, 255, 17).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(17, -1, 3)
    asked = Image.fromarray(colours if mode == "RGB" else steps[None, :])
    seen = np.asarray(ImageCms.applyTransform(asked, transform)).astype(int)
    return bool(np.abs(seen - np.asarray(asked.convert("RGB")).astype(int)).max() <= _ROUNDING)


def _lab_profile() -> Any:
    return ImageCms.createProfile("LAB")


def _through(image: Image.Image, profile: Any) -> Image.Image:
    converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    if converted is None:
        raise ValueError("the colour conversion returned nothing")
    return converted
