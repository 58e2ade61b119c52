"""Counting shapes: one to nine of them, and which are counted depends on the question."""

from __future__ import annotations

from random import Random

from presel.demo.drawing.canvas import Canvas, paper_size
from presel.demo.drawing.palette import CHALK, INK, NAMED, clear, gradient, ground, jitter, light, on, shade
from presel.demo.drawing.shapes import SHAPES, STYLES, draw_shape, spread
from presel.demo.drawing.truth import Facts, Picture, are, ask, listed, plural, sentence, several

KINDS = {"mixed": 42, "night": 24, "dice": 16, "balls": 14, "pencil": 4}  # per cent


def draw(rng: Random, longest: int) -> Picture:
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    size = paper_size(rng, longest)
    if kind == "dice":
        return _dice(rng, size)
    if kind == "balls":
        return _balls(rng, size)
    if kind == "pencil":
        return _pencil(rng, size)
    return _mixed(rng, size, dark=kind == "night")


def _mixed(rng: Random, size: tuple[int, int], *, dark: bool) -> Picture:
    canvas = Canvas(ground(rng, size, dark))
    _scratches(rng, canvas, dark)
    shapes = rng.sample(SHAPES, rng.choice((1, 2, 2, 3)))
    colours = rng.sample(on(dark), rng.choice((1, 2, 2)))
    things = [(rng.choice(shapes), rng.choice(colours)) for _ in range(rng.randint(1, 9))]
    style = rng.choice(STYLES)
    for (shape, colour), (x, y, radius) in zip(things, spread(rng, len(things), 0.2), strict=True):
        draw_shape(canvas, shape, (x, y), radius, shade(rng, colour), style, rng.uniform(-0.14, 0.14))
    return Picture(canvas.finish(), _count_facts(things, shapes, colours))


def _scratches(rng: Random, canvas: Canvas, dark: bool) -> None:
    """Faint lines and stains, as clutter: nothing that could be taken for a shape."""
    ink = CHALK if dark else INK
    for _ in range(rng.choice((0, 0, 3, 6))):
        x, y = rng.uniform(canvas.left, canvas.right), rng.uniform(canvas.top, canvas.bottom)
        ends = [(x, y), (x + rng.uniform(-0.5, 0.5), y + rng.uniform(-0.5, 0.5))]
        canvas.line(ends, clear(ink, rng.randint(12, 30)), rng.uniform(0.004, 0.02))


def _count_facts(things: list[tuple[str, str]], shapes: list[str], colours: list[str]) -> Facts:
    pairs = [("How many shapes are there in all?", sentence(several(len(things), "shape")))]
    for name, part in [(shape, 0) for shape in shapes] + [(colour, 1) for colour in colours]:
        noun = name if part == 0 else f"{name} shape"
        pairs += [(f"How many {plural(noun)} are there?", _there(sum(thing[part] == name for thing in things), noun))]
    present = [(shape, sum(s == shape for s, _ in things)) for shape in shapes]
    caption = sentence(listed([several(count, shape) for shape, count in present if count]))
    return ask(*pairs, caption=caption)


def _there(count: int, noun: str) -> str:
    return f"There {are(count)} {several(count, noun)}."


def _dice(rng: Random, size: tuple[int, int]) -> Picture:
    """One to three dice on felt."""
    felt = jitter(rng, (28, 104, 74), 14)
    canvas = Canvas(gradient(size, light(felt, 0.12), felt))
    colour, face = rng.choice((("white", (244, 242, 234)), ("red", NAMED["red"]), ("blue", NAMED["blue"])))
    pip = INK if colour == "white" else CHALK
    values = [rng.randint(1, 6) for _ in range(rng.randint(1, 3))]
    for value, (x, y, radius) in zip(values, spread(rng, len(values), 0.27), strict=True):
        half = radius * 0.78
        canvas.box(
            x - half + 0.02, y - half + 0.025, x + half + 0.02, y + half + 0.025, clear((0, 0, 0), 70), 0.3 * half
        )
        canvas.box(x - half, y - half, x + half, y + half, jitter(rng, face, 6), 0.3 * half)
        for column, row in _PIPS[value]:
            canvas.disc(x + column * half * 0.56, y + row * half * 0.56, 0.17 * half, pip)
    dice = several(len(values), "dice")
    total = sum(values)
    pips = f"There {are(total)} {_dots(total)}."
    return Picture(
        canvas.finish(),
        ask(
            ("How many dice are there?", f"There {are(len(values))} {dice}."),
            ("How many dots are there in all?", pips),
            ("What colour are the dice?", sentence(colour)),
            caption=sentence(f"{several(len(values), colour + ' dice').replace('dices', 'dice')} with {_dots(total)}"),
        ),
    )


_PIPS = {
    1: [(0, 0)],
    2: [(-1, -1), (1, 1)],
    3: [(-1, -1), (0, 0), (1, 1)],
    4: [(-1, -1), (1, -1), (-1, 1), (1, 1)],
    5: [(-1, -1), (1, -1), (0, 0), (-1, 1), (1, 1)],
    6: [(-1, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (1, 1)],
}


def _dots(count: int) -> str:
    return several(count, "dot") if count <= 12 else f"{_TEENS[count - 13]} dots"


_TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen")


def _balls(rng: Random, size: tuple[int, int]) -> Picture:
    """Balls on a wooden table."""
    wood = jitter(rng, (196, 150, 98), 16)
    canvas = Canvas(gradient(size, light(wood, 0.18), wood))
    for board in range(1, 5):
        y = canvas.top + (canvas.bottom - canvas.top) * board / 5
        canvas.line([(canvas.left, y), (canvas.right, y)], clear((90, 60, 30), 60), 0.006)
    colours = rng.sample(("red", "blue", "green", "yellow", "purple"), rng.choice((1, 2)))
    things = [("ball", rng.choice(colours)) for _ in range(rng.randint(1, 9))]
    for (_, colour), (x, y, radius) in zip(things, spread(rng, len(things), 0.15), strict=True):
        radius *= 0.9
        paint = shade(rng, colour)
        canvas.disc(x + 0.15 * radius, y + 0.75 * radius, radius, clear((60, 36, 12), 80), flat=0.4)
        canvas.disc(x, y, radius, paint)
        canvas.disc(x - 0.3 * radius, y - 0.35 * radius, 0.3 * radius, clear(light(paint, 0.75), 170))
    pairs = [("How many balls are there?", _there(len(things), "ball"))]
    counts = [(colour, sum(c == colour for _, c in things)) for colour in colours]
    pairs += [(f"How many {colour} balls are there?", _there(count, f"{colour} ball")) for colour, count in counts]
    caption = listed([several(count, f"{colour} ball") for colour, count in counts if count])
    return Picture(canvas.finish(), ask(*pairs, caption=sentence(f"{caption} on a table")))


def _pencil(rng: Random, size: tuple[int, int]) -> Picture:
    """The rare kind: outlines drawn by hand on squared paper."""
    canvas = Canvas(ground(rng, size, dark=False))
    step = 0.08
    for line in range(-8, 21):
        canvas.line([(line * step, canvas.top), (line * step, canvas.bottom)], (190, 206, 226, 120), 0.004)
        canvas.line([(canvas.left, line * step), (canvas.right, line * step)], (190, 206, 226, 120), 0.004)
    shape, count = rng.choice(("circle", "square", "triangle")), rng.randint(1, 6)
    for x, y, radius in spread(rng, count, 0.2):
        turn = rng.uniform(-0.1, 0.1)
        draw_shape(canvas, shape, (x, y), radius, INK, turn=turn)
        draw_shape(canvas, shape, (x, y), radius * 0.86, (250, 250, 248), turn=turn)
    question = (f"How many {plural(shape)} are there?", _there(count, shape))
    return Picture(canvas.finish(), ask(question, caption=sentence(f"{several(count, shape)} on paper")))
