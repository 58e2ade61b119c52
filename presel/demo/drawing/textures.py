"""Surfaces that fill the picture: photographed brick, grass and gravel, and woven or painted patterns. One question."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from presel.demo.drawing.canvas import paper_size
from presel.demo.drawing.palette import CHALK, Rgb, jitter, shade
from presel.demo.drawing.truth import Picture, ask, sentence

QUESTION = "What texture is this?"
KINDS = {"stripes": 22, "bricks": 16, "gravel": 14, "grass": 14, "checks": 12, "dots": 10, "wood": 8, "waves": 4}
_PHOTOGRAPHED = {
    "bricks": ("brick.png", (64, 26, 20), (232, 150, 116), "a wall of red bricks"),
    "gravel": ("gravel.png", (24, 24, 28), (222, 218, 210), "grey gravel with many small stones"),
    "grass": ("grass.png", (14, 38, 12), (190, 222, 130), "green grass"),
}
_PAINT = ("red", "orange", "green", "blue", "purple", "pink", "black")
Field = np.ndarray[Any, np.dtype[np.float32]]  # height x width, in [0, 1]


def draw(rng: Random, longest: int) -> Picture:
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    size = paper_size(rng, longest, high=480)
    if kind in _PHOTOGRAPHED:
        image, name = _photographed(rng, size, kind)
    elif kind == "wood":
        image, name = _inked(_wood(rng, size), (112, 66, 34), (206, 158, 104)), "brown wood"
    else:
        image, name = _painted(rng, size, kind)
    return Picture(image, ask((QUESTION, sentence(name)), caption=sentence(name)))


def _photographed(rng: Random, size: tuple[int, int], kind: str) -> tuple[Image.Image, str]:
    """A crop of a grey photograph, toned: never the same place and magnification twice."""
    from presel.demo.photos import photograph

    file, dark, bright, name = _PHOTOGRAPHED[kind]
    grey = photograph(file).convert("L")
    span = rng.uniform(0.35, 0.95) * 512 / max(size)
    width, height = size[0] * span, size[1] * span
    x, y = rng.uniform(0, 512 - width), rng.uniform(0, 512 - height)
    crop = grey.resize(size, Image.Resampling.BICUBIC, box=(x, y, x + width, y + height))
    return ImageOps.colorize(crop, jitter(rng, dark, 8), jitter(rng, bright, 10)), name


def _painted(rng: Random, size: tuple[int, int], kind: str) -> tuple[Image.Image, str]:
    colour = rng.choice(_PAINT)
    paint, paper = shade(rng, colour), jitter(rng, CHALK, 6)
    field = {"stripes": _stripes, "checks": _checks, "dots": _dots, "waves": _waves}[kind](rng, size)
    return _inked(field, paper, paint), f"{colour} and white {kind}" if kind != "dots" else f"{colour} dots on white"


def _inked(field: Field, zero: Rgb, one: Rgb) -> Image.Image:
    levels = Image.fromarray((np.clip(field, 0, 1) * 255).astype(np.uint8))
    return ImageOps.colorize(levels, zero, one)


def _plane(size: tuple[int, int], angle: float) -> tuple[Field, Field]:
    """Coordinates along and across a direction; the longer side is 1."""
    long_side = max(size)
    x = np.arange(size[0], dtype=np.float32)[None, :] / np.float32(long_side)
    y = np.arange(size[1], dtype=np.float32)[:, None] / np.float32(long_side)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return x * cos + y * sin, y * cos - x * sin


def _edge(wave: Field, size: tuple[int, int], cycles: float) -> Field:
    """A sine turned into a nearly hard edge about one pixel wide."""
    return wave * np.float32(max(size) / cycles / 6) + np.float32(0.5)


def _stripes(rng: Random, size: tuple[int, int]) -> Field:
    cycles = rng.uniform(4, 12)
    along, _ = _plane(size, rng.choice((0.0, math.pi / 2, math.pi / 4, rng.uniform(0, math.pi))))
    return _edge(np.sin(along * np.float32(2 * math.pi * cycles) + np.float32(rng.uniform(0, 6))), size, cycles)


def _checks(rng: Random, size: tuple[int, int]) -> Field:
    cycles = rng.uniform(3, 8)
    along, across = _plane(size, rng.choice((0.0, 0.0, math.pi / 4)))
    turn = np.float32(2 * math.pi * cycles)
    return _edge(np.sin(along * turn) * np.sin(across * turn), size, cycles)


def _dots(rng: Random, size: tuple[int, int]) -> Field:
    cycles = rng.uniform(4, 10)
    along, across = _plane(size, rng.choice((0.0, math.pi / 4)))
    turn, shift = np.float32(2 * math.pi * cycles), np.float32(rng.uniform(0, 6))
    return _edge(np.cos(along * turn + shift) + np.cos(across * turn) - np.float32(0.7), size, cycles)


def _waves(rng: Random, size: tuple[int, int]) -> Field:
    """The rare kind."""
    cycles = rng.uniform(6, 11)
    along, across = _plane(size, rng.uniform(-0.1, 0.1))
    bend = np.float32(0.03) * np.sin(along * np.float32(2 * math.pi * rng.uniform(3, 5)))
    return _edge(np.sin((across + bend) * np.float32(2 * math.pi * cycles)), size, cycles)


def _wood(rng: Random, size: tuple[int, int]) -> Field:
    along, across = _plane(size, rng.choice((0.0, math.pi / 2)))
    knot_x, knot_y = np.float32(rng.uniform(0.2, 0.8)), np.float32(rng.uniform(0.2, 0.8))
    rings = np.hypot((along - knot_x) * np.float32(0.25), across - knot_y)
    grain = np.sin(
        rings * np.float32(2 * math.pi * rng.uniform(14, 24)) + np.float32(3) * np.sin(along * np.float32(5))
    )
    fibre = np.sin(across * np.float32(rng.uniform(300, 420)) + np.float32(2) * np.sin(along * np.float32(9)))
    levels: Field = np.float32(0.55) + np.float32(0.3) * grain + np.float32(0.1) * fibre
    return levels
