"""Colours that have one name, and grounds to put them on.

A question about a colour needs an answer nobody can dispute, so the eleven named colours stay far apart and vary only by a
few levels; grounds are pale or dark tints without a name of their own, and `on(dark)` leaves out what would not show there.
"""

from __future__ import annotations

from random import Random

from PIL import Image

Colour = tuple[int, int, int] | tuple[int, int, int, int]
Rgb = tuple[int, int, int]

NAMED: dict[str, Rgb] = {
    "red": (208, 42, 44),
    "orange": (242, 138, 26),
    "yellow": (248, 214, 48),
    "green": (52, 154, 72),
    "blue": (44, 98, 206),
    "purple": (122, 58, 166),
    "pink": (244, 142, 186),
    "brown": (122, 78, 42),
    "black": (28, 28, 32),
    "white": (248, 248, 246),
    "grey": (138, 142, 148),
}
PALE: tuple[Rgb, ...] = (
    (251, 246, 232),
    (228, 238, 247),
    (231, 244, 234),
    (240, 234, 246),
    (238, 239, 241),
    (248, 236, 228),
)
DARK: tuple[Rgb, ...] = ((24, 32, 54), (38, 46, 56), (20, 46, 42), (46, 28, 50), (40, 36, 34))
INK: Rgb = (42, 46, 54)
CHALK: Rgb = (236, 238, 232)
_UNSEEN_ON_PALE = {"white", "yellow"}
_UNSEEN_ON_DARK = {"black", "brown", "purple"}


def on(dark: bool) -> list[str]:
    """The names that show well on a dark or a pale ground."""
    hidden = _UNSEEN_ON_DARK if dark else _UNSEEN_ON_PALE
    return [name for name in NAMED if name not in hidden]


def shade(rng: Random, name: str, spread: int = 9) -> Rgb:
    """The named colour, a few levels off: no two pictures have quite the same red. Grey, black and white stay neutral."""
    if name in ("black", "white", "grey"):
        shift = rng.randint(-spread, spread)
        red, green, blue = (min(255, max(0, level + shift)) for level in NAMED[name])
        return red, green, blue
    return jitter(rng, NAMED[name], spread)


def jitter(rng: Random, colour: Rgb, spread: int) -> Rgb:
    red, green, blue = (min(255, max(0, level + rng.randint(-spread, spread))) for level in colour)
    return red, green, blue


def mix(one: Colour, other: Colour, share: float) -> Rgb:
    """`share` of `other` in `one`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one[:3], other[:3], strict=True))
    return red, green, blue


def dim(colour: Colour, share: float = 0.25) -> Rgb:
    return mix(colour, (0, 0, 0), share)


def light(colour: Colour, share: float = 0.3) -> Rgb:
    return mix(colour, (255, 255, 255), share)


def clear(colour: Colour, alpha: int) -> Colour:
    """The colour with an opacity in [0, 255]."""
    return colour[0], colour[1], colour[2], alpha


def gradient(size: tuple[int, int], top: Rgb, bottom: Rgb, tilt: Rgb | None = None) -> Image.Image:
    """A smooth ground from `top` to `bottom`; with `tilt`, the lower right corner has that colour."""
    corners = Image.new("RGB", (2, 2), top)
    corners.putpixel((0, 1), bottom)
    corners.putpixel((1, 1), tilt or bottom)
    return corners.resize(size, Image.Resampling.BILINEAR, box=(0.5, 0.5, 1.5, 1.5))


def ground(rng: Random, size: tuple[int, int], dark: bool) -> Image.Image:
    """A quiet background: one tint, or a gentle change of it."""
    tint = jitter(rng, rng.choice(DARK if dark else PALE), 5)
    if rng.random() < 0.4:
        return Image.new("RGB", size, tint)
    other = light(tint, rng.uniform(0.05, 0.2)) if dark else dim(tint, rng.uniform(0.03, 0.1))
    return gradient(size, tint, other) if rng.random() < 0.5 else gradient(size, other, tint, tint)
