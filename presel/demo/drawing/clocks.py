"""Telling the time to the quarter: the smallest task. Always the same question."""

from __future__ import annotations

import math
from random import Random

from presel.demo.drawing.canvas import Canvas, paper_size
from presel.demo.drawing.palette import CHALK, INK, Rgb, clear, dim, ground, jitter, shade
from presel.demo.drawing.truth import NUMBERS, Picture, ask

QUESTION = "What time does the clock show?"
KINDS = {"white": 48, "dark": 28, "square": 18, "digital": 6}


def draw(rng: Random, longest: int) -> Picture:
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    canvas = Canvas(ground(rng, paper_size(rng, longest, high=420), dark=kind == "white" and rng.random() < 0.3))
    hour, quarter = rng.randint(1, 12), rng.randrange(4)
    if kind == "digital":
        _digital(rng, canvas, hour, quarter)
    else:
        _face(rng, canvas, kind)
        _hands(rng, canvas, hour + quarter / 4, CHALK if kind == "dark" else INK)
    words = in_words(hour, quarter)
    return Picture(canvas.finish(), ask((QUESTION, f"It is {words}."), caption=f"A clock at {words}."))


def in_words(hour: int, quarter: int) -> str:
    """`hour` in 1..12, `quarter` in 0..3: "three o'clock", "quarter past three", "half past three", "quarter to four"."""
    if quarter == 3:
        return f"quarter to {NUMBERS[hour % 12 + 1]}"
    return (f"{NUMBERS[hour]} o'clock", f"quarter past {NUMBERS[hour]}", f"half past {NUMBERS[hour]}")[quarter]


def _face(rng: Random, canvas: Canvas, kind: str) -> None:
    rim = shade(rng, rng.choice(("red", "blue", "green", "brown", "black", "orange")))
    plate: Rgb = (40, 44, 52) if kind == "dark" else jitter(rng, (250, 249, 244), 4)
    ink = CHALK if kind == "dark" else INK
    if kind == "square":
        canvas.box(0.07, 0.08, 0.95, 0.96, clear((0, 0, 0), 60), 0.08)
        canvas.box(0.05, 0.05, 0.95, 0.95, rim, 0.08)
        canvas.box(0.1, 0.1, 0.9, 0.9, plate, 0.05)
    else:
        canvas.disc(0.515, 0.525, 0.45, clear((0, 0, 0), 60))
        canvas.disc(0.5, 0.5, 0.45, rim)
        canvas.disc(0.5, 0.5, 0.4, plate)
    numbered, face = rng.random() < 0.7, rng.choice(("sans", "serif", "book bold", "round"))
    for hour in range(1, 13):
        x, y = math.sin(hour * math.pi / 6), -math.cos(hour * math.pi / 6)
        if numbered:
            canvas.text(0.5 + 0.325 * x, 0.5 + 0.325 * y, str(hour), face, 0.085, ink)
        else:
            canvas.line([(0.5 + 0.31 * x, 0.5 + 0.31 * y), (0.5 + 0.37 * x, 0.5 + 0.37 * y)], ink, 0.018)


def _hands(rng: Random, canvas: Canvas, hours: float, ink: Rgb) -> None:
    minute = shade(rng, "red") if rng.random() < 0.3 else ink
    for turn, length, width, colour in ((hours / 12, 0.18, 0.04, ink), (hours % 1, 0.28, 0.022, minute)):
        x, y = math.sin(2 * math.pi * turn), -math.cos(2 * math.pi * turn)
        canvas.line([(0.5 - 0.04 * x, 0.5 - 0.04 * y), (0.5 + length * x, 0.5 + length * y)], colour, width)
    canvas.disc(0.5, 0.5, 0.03, ink)


def _digital(rng: Random, canvas: Canvas, hour: int, quarter: int) -> None:
    """The rare kind."""
    case = shade(rng, rng.choice(("black", "grey", "blue")))
    canvas.box(0.03, 0.25, 0.97, 0.77, dim(case, 0.2), 0.06)
    canvas.box(0.08, 0.31, 0.92, 0.7, (14, 18, 18), 0.03)
    glow = rng.choice(((120, 255, 140), (255, 110, 90), (120, 210, 255)))
    canvas.text(0.5, 0.505, f"{hour}:{15 * quarter:02d}", "mono", 0.27, glow)
