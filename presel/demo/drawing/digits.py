"""Handwritten digits from scikit-learn's wheel (1,797 of 8 x 8), enlarged, turned, inked. Always the same question."""

from __future__ import annotations

from functools import lru_cache
from random import Random
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from presel.demo.drawing.canvas import Canvas, paper_size
from presel.demo.drawing.palette import CHALK, INK, NAMED, Rgb, dim, ground, jitter, shade
from presel.demo.drawing.truth import NUMBERS, Picture, ask

QUESTION = "Which digit is this?"
KINDS = {"ink": 44, "chalk": 26, "colour": 22, "tile": 8}


def draw(rng: Random, longest: int) -> Picture:
    images, labels = _handwritten()
    which = rng.randrange(len(labels))
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    canvas = Canvas(ground(rng, paper_size(rng, longest, high=360), dark=kind == "chalk"))
    ink: Rgb = CHALK if kind == "chalk" else INK
    if kind == "colour":
        ink = shade(rng, rng.choice(("red", "blue", "green", "purple")))
    if kind == "tile":
        ink = CHALK
        tile = jitter(rng, rng.choice((NAMED["blue"], NAMED["purple"], NAMED["green"])), 20)
        canvas.box(0.06, 0.06, 0.94, 0.94, dim(tile, 0.3), 0.1)
        canvas.box(0.05, 0.05, 0.93, 0.93, tile, 0.1)
    side = rng.uniform(0.66, 0.84)
    stencil = _stroke(images[which], rng.uniform(-12, 12))
    x, y = ((1 - side) / 2 + rng.uniform(-0.04, 0.04) for _ in range(2))
    canvas.paste(Image.new("RGB", (8, 8), ink), x, y, side, stencil)
    name = NUMBERS[labels[which]] if labels[which] else "zero"
    answer = f"This is a {name}." if name != "eight" else "This is an eight."
    return Picture(canvas.finish(), ask((QUESTION, answer), caption=f"The digit {name}."))


@lru_cache(maxsize=1)
def _handwritten() -> tuple[NDArray[np.uint8], list[int]]:
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.minimum(cast("NDArray[np.float64]", data.images) * 16, 255).astype(np.uint8)
    return images, [int(label) for label in data.target]


def _stroke(pixels: NDArray[np.uint8], degrees: float) -> Image.Image:
    """Smooth 8 x 8 grey levels into an even pen stroke: enlarge, turn, then steepen the edge."""
    grey = ImageOps.expand(Image.fromarray(pixels), border=1)
    enlarged = grey.resize((160, 160), Image.Resampling.BICUBIC).rotate(degrees, Image.Resampling.BICUBIC)
    return enlarged.point(lambda level: min(255, max(0, round((level - 92) * 4.5))))
