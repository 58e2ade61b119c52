"""Yes or no: is a thing in the picture? Half of the questions are about things that are."""

from __future__ import annotations

from random import Random

from presel.demo.drawing import icons
from presel.demo.drawing.canvas import Canvas, paper_size
from presel.demo.drawing.palette import clear, gradient, jitter, light, shade
from presel.demo.drawing.truth import Picture, an, ask, listed, sentence

KINDS = {"park": 38, "room": 30, "street": 22, "night": 10}
_MAY_BE = {
    "park": ("tree", "flower", "ball", "cat", "book", "chair", "umbrella", "lamp"),
    "room": ("cup", "book", "lamp", "chair", "cat", "ball", "flower", "fish"),
    "street": ("house", "car", "tree", "lamp", "cat", "umbrella", "ball", "flower"),
    "night": ("house", "car", "tree", "lamp", "cat", "boat", "chair", "umbrella"),
}
_PAINT = ("red", "orange", "blue", "purple", "pink", "yellow")


def draw(rng: Random, longest: int) -> Picture:
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    canvas = _place(rng, paper_size(rng, longest), kind)
    there = rng.sample(_MAY_BE[kind], rng.randint(2, 4))
    for place, thing in enumerate(there):
        x = (place + 0.5) / len(there) + rng.uniform(-0.03, 0.03)
        height = min(0.52, 0.98 / len(there)) * rng.uniform(0.85, 1.0)
        height *= 0.56 if thing == "car" else 1.0
        colour = "green" if thing == "tree" else rng.choice(_PAINT)
        icons.THINGS[thing](canvas, x, 0.88 + rng.uniform(-0.05, 0.03), height, shade(rng, colour))
    missing = rng.sample([thing for thing in icons.THINGS if thing not in there], len(there))
    pairs = [(f"Is there {an(thing)} in the picture?", f"Yes, there is {an(thing)}.") for thing in there]
    pairs += [(f"Is there {an(thing)} in the picture?", f"No, there is no {thing}.") for thing in missing]
    setting = {"park": "in a park", "room": "in a room", "street": "on a street", "night": "at night"}[kind]
    caption = sentence(f"{listed([an(thing) for thing in there])} {setting}")
    return Picture(canvas.finish(), ask(*pairs, caption=caption))


def _place(rng: Random, size: tuple[int, int], kind: str) -> Canvas:
    """The setting, without any of the things asked about."""
    if kind == "room":
        wall = jitter(rng, rng.choice(((226, 206, 184), (190, 210, 214), (216, 206, 224), (200, 214, 190))), 8)
        canvas = Canvas(gradient(size, light(wall, 0.2), wall))
        for stripe in range(-6, 18):
            canvas.box(stripe / 12, canvas.top, stripe / 12 + 0.03, 0.72, clear((255, 255, 255), 34))
        canvas.box(canvas.left, 0.7, canvas.right, 0.74, (246, 244, 240))
        canvas.box(canvas.left, 0.74, canvas.right, canvas.bottom, jitter(rng, (168, 124, 84), 12))
        return canvas
    if kind == "night":
        canvas = Canvas(gradient(size, (12, 18, 44), jitter(rng, (52, 58, 104), 10)))
        for _ in range(26):
            x, y = rng.uniform(canvas.left, canvas.right), rng.uniform(canvas.top, 0.6)
            canvas.disc(x, y, 0.005, (240, 240, 220))
        canvas.box(canvas.left, 0.76, canvas.right, canvas.bottom, jitter(rng, (44, 58, 62), 6))
        return canvas
    canvas = Canvas(gradient(size, jitter(rng, (138, 190, 232), 12), (226, 240, 246)))
    icons.cloud(canvas, rng.uniform(0.1, 0.9), rng.uniform(0.16, 0.3), 0.2, (250, 252, 253))
    if kind == "park":
        canvas.disc(0.5 + rng.uniform(-0.4, 0.4), 1.3, 0.72, jitter(rng, (152, 194, 122), 8))
        canvas.box(canvas.left, 0.74, canvas.right, canvas.bottom, jitter(rng, (124, 176, 96), 10))
    else:
        for block in range(-3, 8):
            top = rng.uniform(0.3, 0.6)
            canvas.box(block / 5, top, block / 5 + 0.19, 0.76, jitter(rng, (178, 186, 200), 10))
        canvas.box(canvas.left, 0.74, canvas.right, canvas.bottom, jitter(rng, (150, 150, 154), 8))
        canvas.box(canvas.left, 0.92, canvas.right, 0.93, (226, 222, 190))
    return canvas
