"""The seven shapes, and finding room for several of them without overlap."""

from __future__ import annotations

import math
from random import Random

from presel.demo.drawing.canvas import Canvas, Point
from presel.demo.drawing.palette import Colour, clear, dim, light

SHAPES = ("circle", "square", "triangle", "star", "diamond", "heart", "cross")
STYLES = ("flat", "shadow", "outlined", "glossy")


def outline(shape: str) -> list[Point]:
    """Corner points of a shape that fits the unit circle, centred on (0, 0)."""
    if shape == "square":
        return [(-0.78, -0.78), (0.78, -0.78), (0.78, 0.78), (-0.78, 0.78)]
    if shape == "triangle":
        return [(0.0, -0.95), (0.92, 0.7), (-0.92, 0.7)]
    if shape == "diamond":
        return [(0.0, -1.0), (0.68, 0.0), (0.0, 1.0), (-0.68, 0.0)]
    if shape == "star":
        return [_polar(1.0 if step % 2 == 0 else 0.42, math.pi * (step / 5 - 0.5)) for step in range(10)]
    if shape == "cross":
        a, b = 0.3, 0.92
        return [
            (-a, -b),
            (a, -b),
            (a, -a),
            (b, -a),
            (b, a),
            (a, a),
            (a, b),
            (-a, b),
            (-a, a),
            (-b, a),
            (-b, -a),
            (-a, -a),
        ]
    if shape == "heart":
        return [_heart(2 * math.pi * step / 48) for step in range(48)]
    return [_polar(0.9, 2 * math.pi * step / 72) for step in range(72)]


def _polar(radius: float, angle: float) -> Point:
    return radius * math.cos(angle), radius * math.sin(angle)


def _heart(t: float) -> Point:
    y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
    return 16 * math.sin(t) ** 3 / 17.5, -(y + 2.5) / 17.5


def draw_shape(
    canvas: Canvas, shape: str, at: Point, radius: float, colour: Colour, style: str = "flat", turn: float = 0.0
) -> None:
    """One shape inside the circle of `radius` around `at`, turned clockwise by `turn` radians."""
    cos, sin = math.cos(turn), math.sin(turn)
    corners = [(x * cos - y * sin, x * sin + y * cos) for x, y in outline(shape)]
    placed = [(at[0] + radius * x, at[1] + radius * y) for x, y in corners]
    if style == "shadow":
        canvas.polygon([(x + 0.12 * radius, y + 0.14 * radius) for x, y in placed], clear((0, 0, 0), 60))
    edge = dim(colour, 0.35) if style in ("outlined", "glossy") else None
    canvas.polygon(placed, colour, edge, 0.07 * radius)
    if style == "glossy":
        canvas.disc(at[0] - 0.18 * radius, at[1] - 0.2 * radius, 0.16 * radius, clear(light(colour, 0.6), 150))


def spread(rng: Random, count: int, biggest: float, margin: float = 0.05) -> list[tuple[float, float, float]]:
    """`count` circles (x, y, radius) inside the stage that do not touch; radii shrink until they fit."""
    largest = min(biggest, 0.62 / math.sqrt(count))
    while True:
        placed: list[tuple[float, float, float]] = []
        for _ in range(60 * count):
            radius = largest * rng.uniform(0.72, 1.0)
            x, y = (rng.uniform(margin + radius, 1 - margin - radius) for _ in range(2))
            if all(math.hypot(x - a, y - b) > 1.08 * (radius + r) for a, b, r in placed):
                placed.append((x, y, radius))
                if len(placed) == count:
                    return placed
        largest *= 0.85
