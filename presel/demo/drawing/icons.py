"""Things one can recognise at 30 pixels. Each stands on (x, y), the middle of its base, and is about `s` high."""

from __future__ import annotations

import math
from collections.abc import Callable

from presel.demo.drawing.canvas import Canvas
from presel.demo.drawing.palette import CHALK, INK, Colour, Rgb, clear, dim, light

Icon = Callable[[Canvas, float, float, float, Rgb], None]
_WOOD: Rgb = (112, 76, 46)
_GLASS: Colour = (206, 230, 242)


def tree(c: Canvas, x: float, y: float, s: float, colour: Rgb) -> None:
    c.box(x - 0.05 * s, y - 0.4 * s, x + 0.05 * s, y, _WOOD)
    for dx, dy, r in ((-0.16, 0.5, 0.22), (0.16, 0.5, 0.22), (0.0, 0.72, 0.27)):
        c.disc(x + dx * s, y - dy * s, r * s, colour)
    c.disc(x - 0.07 * s, y - 0.78 * s, 0.12 * s, clear(light(colour, 0.3), 140))


def pine(c: Canvas, x: float, y: float, s: float, colour: Rgb) -> None:
    c.box(x - 0.04 * s, y - 0.2 * s, x + 0.04 * s, y, _WOOD)
    for level, half in ((0.15, 0.3), (0.4, 0.24), (0.63, 0.17)):
        top = y - (level + 0.37) * s
        c.polygon(
            [(x - half * s, y - level * s), (x + half * s, y - level * s), (x, top)], dim(colour, 0.3 - level * 0.4)
        )


def house(c: Canvas, x: float, y: float, s: float, colour: Rgb) -> None:
    half = 0.45 * s
    c.box(x - half, y - 0.62 * s, x + half, y, colour)
    c.polygon([(x - half - 0.08 * s, y - 0.6 * s), (x + half + 0.08 * s, y - 0.6 * s), (x, y - s)], (96, 62, 58))
    c.box(x - 0.1 * s, y - 0.3 * s, x + 0.1 * s, y, _WOOD)
    for side in (-0.29, 0.29):
        c.box(x + (side - 0.09) * s, y - 0.48 * s, x + (side + 0.09) * s, y - 0.3 * s, _GLASS)


def car(c: Canvas, x: float, y: float, s: float, colour: Rgb) -> None:
    c.disc(x, y - 0.01 * s, 0.85 * s, clear((0, 0, 0), 50), flat=0.08)
    c.polygon(
        [
            (x - 0.5 * s, y - 0.5 * s),
            (x - 0.3 * s, y - 0.85 * s),
            (x + 0.25 * s, y - 0.85 * s),
            (x + 0.5 * s, y - 0.5 * s),
        ],
        colour,
    )
    c.polygon(
        [
            (x - 0.4 * s, y - 0.5 * s),
            (x - 0.26 * s, y - 0.77 * s),
            (x - 0.04 * s, y - 0.77 * s),
            (x - 0.04 * s, y - 0.5 * s),
        ],
        _GLASS,
    )
    c.polygon(
        [
            (x + 0.04 * s, y - 0.5 * s),
            (x + 0.04 * s, y - 0.77 * s),
            (x + 0.21 * s, y - 0.77 * s),
            (x + 0.38 * s, y - 0.5 * s),
        ],
        _GLASS,
    )
    c.box(x - 0.85 * s, y - 0.52 * s, x + 0.85 * s, y - 0.15 * s, colour, 0.1 * s)
    for side in (-0.48, 0.48):
        c.disc(x + side * s, y - 0.16 * s, 0.17 * s, (30, 30, 34))
        c.disc(x + side * s, y - 0.16 * s, 0.08 * s, (190, 192, 198))


def boat(c: Canvas, x: float, y: float, s: float, colour: Rgb) -> None:
    c.box(x - 0.02 * s, y - s, x + 0.02 * s, y - 0.2 * s, _WOOD)
    c.polygon(
        [(x + 0.05 * s, y - 0.95 * s), (x + 0.05 * s, y - 0.32 * s), (x + 0.48 * s, y - 0.32 * s)], (246, 244, 236)
    )
    c.polygon(
        [(x - 0.05 * s, y - 0.85 * s), (x - 0.05 * s, y - 0.32 * s), (x - 0.34 * s, y - 0.32 * s)], (226, 224, 216)
    )
    c.polygon(
        [(x - 0.55 * s, y - 0.25 * s), (x + 0.55 * s, y - 0.25 * s), (x + 0.36 * s, y), (x - 0.36 * s, y)], colour
    )


def cup(c: Canvas, x: float, y: float, s: float, colour: Rgb) -> None:
    c.ring(x + 0.4 * s, y - 0.42 * s, 0.2 * s, colour, 0.08 * s)
    c.polygon([(x - 0.4 * s, y - 0.8 * s), (x + 0.4 * s, y - 0.8 * s), (x + 0.3 * s, y), (x - 0.3 * s, y)], colour)
    c.disc(x, y - 0.8 * s, 0.4 * s, dim(colour, 0.35), flat=0.22)


def ball(c: Canvas, x: float, y: float, s: float, colour: Rgb) -> None:
    r = 0.4 * s
    c.disc(x, y - r, r, colour)
    c.slice(x, y - r, r, 200, 250, CHALK)
    c.slice(x, y - r, r, 20, 70, CHALK)
    c.disc(x, y - r, 0.25 * r, CHALK)


def flower(c: Canvas, x: float, y: float, s: float, colour: Rgb) -> None:
    c.box(x - 0.025 * s, y - 0.6 * s, x + 0.025 * s, y, (62, 128, 60))
    c.disc(x + 0.12 * s, y - 0.22 * s, 0.12 * s, (62, 128, 60), flat=0.5)
    for petal in range(6):
        angle = petal * math.pi / 3
        c.disc(x + 0.2 * s * math.cos(angle), y - 0.72 * s + 0.2 * s * math.sin(angle), 0.14 * s, colour)
    c.disc(x, y - 0.72 * s, 0.13 * s, (250, 206, 60))


def fish(c: Canvas, x: float, y: float, s: float, colour: Rgb) -> None:
    c.polygon(
        [(x + 0.3 * s, y - 0.4 * s), (x + 0.68 * s, y - 0.68 * s), (x + 0.68 * s, y - 0.12 * s)], dim(colour, 0.15)
    )
    c.disc(x, y - 0.4 * s, 0.48 * s, colour, flat=0.6)
    c.disc(x - 0.26 * s, y - 0.46 * s, 0.07 * s, CHALK)
    c.disc(x - 0.27 * s, y - 0.46 * s, 0.035 * s, INK)


def cat(c: Canvas, x: float, y: float, s: float, colour: Rgb) -> None:
    c.line([(x + 0.25 * s, y - 0.08 * s), (x + 0.5 * s, y - 0.15 * s), (x + 0.52 * s, y - 0.45 * s)], colour, 0.07 * s)
    c.disc(x, y - 0.27 * s, 0.29 * s, colour, flat=0.95)
    c.disc(x, y - 0.7 * s, 0.25 * s, colour, flat=0.85)
    for side in (-1, 1):
        c.polygon(
            [(x + side * 0.24 * s, y - s), (x + side * 0.25 * s, y - 0.7 * s), (x + side * 0.06 * s, y - 0.86 * s)],
            colour,
        )
        c.disc(x + side * 0.1 * s, y - 0.72 * s, 0.055 * s, (236, 220, 120))
        c.disc(x + side * 0.1 * s, y - 0.72 * s, 0.026 * s, INK)
    c.polygon([(x - 0.035 * s, y - 0.64 * s), (x + 0.035 * s, y - 0.64 * s), (x, y - 0.6 * s)], (230, 140, 140))


def book(c: Canvas, x: float, y: float, s: float, colour: Rgb) -> None:
    c.box(x - 0.32 * s, y - 0.9 * s, x + 0.32 * s, y, colour, 0.03 * s)
    c.box(x - 0.32 * s, y - 0.9 * s, x - 0.24 * s, y, dim(colour, 0.35))
    c.box(x - 0.14 * s, y - 0.72 * s, x + 0.24 * s, y - 0.64 * s, CHALK)
    c.box(x - 0.14 * s, y - 0.56 * s, x + 0.14 * s, y - 0.5 * s, CHALK)


def lamp(c: Canvas, x: float, y: float, s: float, colour: Rgb) -> None:
    c.disc(x, y - 0.7 * s, 0.55 * s, (255, 236, 150, 46))
    c.box(x - 0.03 * s, y - 0.6 * s, x + 0.03 * s, y, (70, 70, 76))
    c.disc(x, y - 0.02 * s, 0.2 * s, (70, 70, 76), flat=0.3)
    c.polygon(
        [(x - 0.14 * s, y - s), (x + 0.14 * s, y - s), (x + 0.32 * s, y - 0.52 * s), (x - 0.32 * s, y - 0.52 * s)],
        colour,
    )


def chair(c: Canvas, x: float, y: float, s: float, colour: Rgb) -> None:
    c.box(x - 0.3 * s, y - s, x - 0.22 * s, y, dim(colour, 0.25))
    c.box(x + 0.22 * s, y - 0.45 * s, x + 0.3 * s, y, dim(colour, 0.25))
    c.box(x - 0.3 * s, y - 0.5 * s, x + 0.32 * s, y - 0.4 * s, colour)
    c.box(x - 0.3 * s, y - 0.98 * s, x - 0.2 * s, y - 0.45 * s, colour)


def umbrella(c: Canvas, x: float, y: float, s: float, colour: Rgb) -> None:
    c.box(x - 0.02 * s, y - 0.9 * s, x + 0.02 * s, y, _WOOD)
    c.slice(x, y - 0.5 * s, 0.5 * s, 180, 360, colour)
    c.slice(x, y - 0.5 * s, 0.5 * s, 240, 300, light(colour, 0.45))


def cloud(c: Canvas, x: float, y: float, s: float, colour: Rgb) -> None:
    for dx, dy, r in ((-0.4, 0.2, 0.24), (0.0, 0.34, 0.34), (0.4, 0.22, 0.26)):
        c.disc(x + dx * s, y - dy * s, r * s, colour)
    c.box(x - 0.5 * s, y - 0.24 * s, x + 0.5 * s, y + 0.02 * s, colour, 0.1 * s)


def bird(c: Canvas, x: float, y: float, s: float, colour: Rgb) -> None:
    wings = [
        (x - 0.5 * s, y - 0.25 * s),
        (x - 0.22 * s, y - 0.38 * s),
        (x, y),
        (x + 0.22 * s, y - 0.38 * s),
        (x + 0.5 * s, y - 0.25 * s),
    ]
    c.line(wings, colour, 0.11 * s)


THINGS: dict[str, Icon] = {
    "tree": tree, "house": house, "car": car, "boat": boat, "cup": cup, "ball": ball, "flower": flower, "fish": fish,
    "cat": cat, "book": book, "lamp": lamp, "chair": chair, "umbrella": umbrella,
}  # fmt: skip
