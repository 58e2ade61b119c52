"""A surface to draw on: smooth edges, and coordinates that survive a centre crop.

PIL draws without antialiasing, so everything is drawn at twice its size and reduced by a box filter (0.5 ms for a typical
picture; a vector library would be prettier, but a dependency). Coordinates are fractions of the *stage*, the largest centred
square, because encoders crop their input to it: whatever a question asks about lies inside [0, 1] x [0, 1], and only scenery
reaches beyond, to `left`, `right`, `top` and `bottom`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFont

from presel.demo.drawing.palette import Colour

SCALE = 2  # drawn at twice the size, then reduced: the antialiasing
Point = tuple[float, float]

FONTS = {
    "sans": "DejaVuSans",
    "bold": "DejaVuSans-Bold",
    "slanted": "DejaVuSans-BoldOblique",
    "serif": "DejaVuSerif",
    "serif bold": "DejaVuSerif-Bold",
    "mono": "DejaVuSansMono-Bold",
    "book": "STIXGeneral",
    "book bold": "STIXGeneralBol",
    "round": "cmss10",
    "typed": "cmtt10",
}


@lru_cache(maxsize=512)
def font(name: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """One of the typefaces matplotlib ships, or PIL's own for "plain". Size in pixels.

    The basic layout engine, since the other one depends on a system library and may place glyphs differently.
    """
    if name == "plain":
        return ImageFont.load_default(size)
    spec = find_spec("matplotlib")  # the folder alone is wanted: importing matplotlib costs 250 ms
    if spec is None or spec.origin is None:
        return ImageFont.load_default(size)
    path = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / f"{FONTS[name]}.ttf"
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def paper_size(rng: Random, longest: int, low: int = 112, high: int = 640) -> tuple[int, int]:
    """Width and height in pixels, both within [96, 640]: small ones are common, large ones rare; at most 3 : 2.

    `longest` shrinks the result to that longer side without consuming other randomness.
    """
    long_side = math.exp(rng.uniform(math.log(low), math.log(high)))
    ratio = rng.choice((1.0, 1.0, 1.0, 4 / 3, 4 / 3, 1.25, 1.5))
    shape = rng.random()
    scale = min(1.0, longest / long_side)
    wide = (round(scale * long_side), round(scale * max(long_side / ratio, 96.0)))
    return wide if shape < 0.7 else (wide[1], wide[0])


class Canvas:
    """An RGB picture in the making. All lengths and positions are in stage units; y grows downwards."""

    def __init__(self, backdrop: Image.Image) -> None:
        """`backdrop` has the final size; `finish` gives back exactly its pixels where nothing is drawn."""
        self.size = backdrop.size
        width, height = (side * SCALE for side in backdrop.size)
        self._image = backdrop.resize((width, height), Image.Resampling.NEAREST)
        self._pen = ImageDraw.Draw(self._image, "RGBA")
        self.unit = min(width, height)
        self._x0, self._y0 = (width - self.unit) / 2, (height - self.unit) / 2
        self.left, self.top = -self._x0 / self.unit, -self._y0 / self.unit
        self.right, self.bottom = 1 - self.left, 1 - self.top

    def finish(self) -> Image.Image:
        """The picture at its final size."""
        return self._image.reduce(SCALE)

    def pixel(self, x: float, y: float) -> Point:
        return self._x0 + x * self.unit, self._y0 + y * self.unit

    def polygon(self, points: Sequence[Point], fill: Colour, outline: Colour | None = None, width: float = 0.0) -> None:
        placed = [self.pixel(*point) for point in points]
        self._pen.polygon(placed, fill=fill)
        if outline is not None:
            self._pen.line([*placed, placed[0], placed[1]], fill=outline, width=self._thick(width), joint="curve")

    def disc(self, x: float, y: float, radius: float, fill: Colour, flat: float = 1.0) -> None:
        """A disc; `flat` below 1 squeezes it vertically."""
        (x0, y0), (x1, y1) = self.pixel(x - radius, y - radius * flat), self.pixel(x + radius, y + radius * flat)
        self._pen.ellipse((x0, y0, x1, y1), fill=fill)

    def ring(self, x: float, y: float, radius: float, colour: Colour, width: float) -> None:
        (x0, y0), (x1, y1) = self.pixel(x - radius, y - radius), self.pixel(x + radius, y + radius)
        self._pen.ellipse((x0, y0, x1, y1), outline=colour, width=self._thick(width))

    def slice(self, x: float, y: float, radius: float, start: float, stop: float, fill: Colour) -> None:
        """A pie slice; angles in degrees, clockwise from three o'clock."""
        (x0, y0), (x1, y1) = self.pixel(x - radius, y - radius), self.pixel(x + radius, y + radius)
        self._pen.pieslice((x0, y0, x1, y1), start, stop, fill=fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, round_by: float = 0.0) -> None:
        (left, top), (right, bottom) = self.pixel(x0, y0), self.pixel(x1, y1)
        edges = (left, top, max(left, right), max(top, bottom))
        self._pen.rounded_rectangle(edges, radius=round_by * self.unit, fill=fill)

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        placed = [self.pixel(*point) for point in points]
        self._pen.line(placed, fill=colour, width=self._thick(width), joint="curve")

    def text(
        self, x: float, y: float, words: str, face: str, height: float, colour: Colour, anchor: str = "mm"
    ) -> None:
        self._pen.text(self.pixel(x, y), words, font=self._face(face, height), fill=colour, anchor=anchor)

    def text_width(self, words: str, face: str, height: float) -> float:
        return float(self._face(face, height).getlength(words)) / self.unit

    def turned_text(
        self, x: float, y: float, words: str, face: str, height: float, colour: Colour, degrees: float
    ) -> None:
        """Text centred on (x, y), turned anticlockwise."""
        chosen = self._face(face, height)
        x0, y0, x1, y1 = (int(edge) for edge in chosen.getbbox(words))
        stencil = Image.new("L", (x1 - x0 + 4, y1 - y0 + 4))
        ImageDraw.Draw(stencil).text((2 - x0, 2 - y0), words, font=chosen, fill=255)
        stencil = stencil.rotate(degrees, Image.Resampling.BILINEAR, expand=True)
        centre_x, centre_y = self.pixel(x, y)
        corner = (round(centre_x - stencil.width / 2), round(centre_y - stencil.height / 2))
        self._image.paste(colour[:3], corner, stencil)

    def paste(self, picture: Image.Image, x: float, y: float, side: float, stencil: Image.Image | None = None) -> None:
        """Another picture, resized to a square of `side` whose upper left corner is (x, y)."""
        pixels = max(1, round(side * self.unit))
        corner = self.pixel(x, y)
        where = (round(corner[0]), round(corner[1]))
        placed = picture.resize((pixels, pixels), Image.Resampling.BICUBIC)
        mask = stencil.resize((pixels, pixels), Image.Resampling.BICUBIC) if stencil is not None else None
        self._image.paste(placed, where, mask)

    def _face(self, name: str, height: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        return font(name, max(6, round(height * self.unit)))

    def _thick(self, width: float) -> int:
        return max(SCALE, round(width * self.unit))
