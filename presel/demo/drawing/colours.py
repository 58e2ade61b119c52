"""Naming a colour: of a shape among others, of a car, of a cup, of a flag's stripe."""

from __future__ import annotations

from random import Random

from presel.demo.drawing import icons
from presel.demo.drawing.canvas import Canvas, paper_size
from presel.demo.drawing.palette import NAMED, clear, gradient, ground, jitter, light, on, shade
from presel.demo.drawing.shapes import SHAPES, STYLES, draw_shape, spread
from presel.demo.drawing.truth import Picture, an, ask, listed, sentence

KINDS = {"shapes": 46, "car": 26, "cups": 22, "flag": 6}


def draw(rng: Random, longest: int) -> Picture:
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    size = paper_size(rng, longest)
    return {"shapes": _shapes, "car": _car, "cups": _cups, "flag": _flag}[kind](rng, size)


def _shapes(rng: Random, size: tuple[int, int]) -> Picture:
    dark = rng.random() < 0.4
    canvas = Canvas(ground(rng, size, dark))
    count = rng.randint(2, 4)
    shapes, colours = rng.sample(SHAPES, count), rng.sample(on(dark), count)
    style = rng.choice(STYLES)
    for shape, colour, (x, y, radius) in zip(shapes, colours, spread(rng, count, 0.26), strict=True):
        draw_shape(canvas, shape, (x, y), radius, shade(rng, colour), style, rng.uniform(-0.12, 0.12))
    pairs = [(f"What colour is the {s}?", f"The {s} is {c}.") for s, c in zip(shapes, colours, strict=True)]
    named = [an(f"{colour} {shape}") for shape, colour in zip(shapes, colours, strict=True)]
    return Picture(canvas.finish(), ask(*pairs, caption=sentence(listed(named))))


def _car(rng: Random, size: tuple[int, int]) -> Picture:
    """A car before a house: each has its colour."""
    canvas = Canvas(gradient(size, jitter(rng, (170, 205, 235), 12), (226, 238, 246)))
    road = rng.uniform(0.78, 0.84)
    canvas.box(canvas.left, road - 0.08, canvas.right, canvas.bottom, jitter(rng, (116, 150, 96), 10))
    canvas.box(canvas.left, road, canvas.right, canvas.bottom, jitter(rng, (92, 94, 100), 6))
    car, house = rng.sample(
        ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "black"), 2
    )
    side = rng.choice((-1, 1))
    icons.house(canvas, 0.5 - side * 0.16, road - 0.06, 0.52, shade(rng, house))
    icons.tree(canvas, 0.5 + side * 0.3, road - 0.05, 0.4, (74, 130, 70))
    icons.car(canvas, 0.5 + side * rng.uniform(0.0, 0.1), road + 0.08, 0.36, shade(rng, car))
    pairs = [("What colour is the car?", f"The car is {car}."), ("What colour is the house?", f"The house is {house}.")]
    return Picture(canvas.finish(), ask(*pairs, caption=sentence(f"{an(car + ' car')} near {an(house + ' house')}")))


def _cups(rng: Random, size: tuple[int, int]) -> Picture:
    """One to three cups on a shelf, told apart by their place."""
    wall = jitter(rng, rng.choice(((214, 222, 226), (232, 224, 210), (208, 220, 208))), 8)
    canvas = Canvas(gradient(size, light(wall, 0.3), wall))
    shelf = rng.uniform(0.7, 0.8)
    canvas.box(canvas.left, shelf, canvas.right, shelf + 0.06, jitter(rng, (150, 108, 66), 10))
    canvas.box(canvas.left, shelf + 0.06, canvas.right, shelf + 0.1, clear((0, 0, 0), 40))
    count = rng.randint(1, 3)
    colours = rng.sample(("red", "orange", "yellow", "green", "blue", "purple", "pink", "black"), count)
    for place, colour in enumerate(colours):
        icons.cup(canvas, (place + 0.5) / count, shelf, min(0.38, 0.84 / count), shade(rng, colour))
    places = {1: [""], 2: ["left", "right"], 3: ["left", "middle", "right"]}[count]
    names = [f"{place} cup".strip() for place in places]
    pairs = [(f"What colour is the {n}?", f"The {n} is {c}.") for n, c in zip(names, colours, strict=True)]
    caption = f"{listed([an(f'{colour} cup') for colour in colours])} on a shelf"
    return Picture(canvas.finish(), ask(*pairs, caption=sentence(caption)))


def _flag(rng: Random, size: tuple[int, int]) -> Picture:
    """The rare kind: a flag of three stripes on a pole."""
    canvas = Canvas(gradient(size, jitter(rng, (120, 170, 220), 12), (214, 230, 242)))
    colours = rng.sample([name for name in NAMED if name not in ("grey", "brown", "pink")], 3)
    canvas.box(0.12, 0.08, 0.15, canvas.bottom, (150, 152, 158))
    canvas.disc(0.135, 0.08, 0.025, (220, 186, 80))
    for stripe, colour in enumerate(colours):
        y = 0.14 + 0.17 * stripe
        canvas.box(0.15, y, 0.9, y + 0.175, shade(rng, colour))
    pairs = [
        (f"What colour is the {place} stripe?", f"The {place} stripe is {colour}.")
        for place, colour in zip(("top", "middle", "bottom"), colours, strict=True)
    ]
    caption = sentence(f"A flag with {listed([f'{colour}' for colour in colours])} stripes")
    return Picture(canvas.finish(), ask(*pairs, caption=caption))
