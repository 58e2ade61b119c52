"""Where is one thing, seen from another: left of, right of, above, below, and (rarely) inside."""

from __future__ import annotations

from random import Random

from presel.demo.drawing import icons
from presel.demo.drawing.canvas import Canvas, Point, paper_size
from presel.demo.drawing.palette import clear, dim, gradient, ground, jitter, light, on, shade
from presel.demo.drawing.shapes import STYLES, draw_shape
from presel.demo.drawing.truth import QA, Facts, Picture, an, ask, sentence

KINDS = {"shapes": 44, "things": 34, "grid": 16, "inside": 6}
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
_STEP: dict[str, Point] = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}


def draw(rng: Random, longest: int) -> Picture:
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    size = paper_size(rng, longest)
    return {"shapes": _shapes, "things": _things, "grid": _grid, "inside": _inside}[kind](rng, size)


def _relation_facts(one: str, relation: str, other: str) -> Facts:
    """`one` is `relation` `other`; both as noun phrases without an article."""
    back = OPPOSITE[relation]
    return Facts(
        (
            QA(f"Where is the {one}?", f"The {one} is {relation} the {other}."),
            QA(f"Where is the {other}?", f"The {other} is {back} the {one}."),
            QA(f"What is {relation} the {other}?", sentence(an(one))),
            QA(f"What is {back} the {one}?", sentence(an(other))),
        ),
        sentence(f"{an(one)} {relation} {an(other)}"),
    )


def _ends(rng: Random, relation: str, reach: float) -> tuple[Point, Point]:
    """Places for the two things: far apart along the relation, nearly level across it."""
    dx, dy = _STEP[relation]
    drift = rng.uniform(-0.05, 0.05)
    middle = (0.5 + rng.uniform(-0.06, 0.06), 0.5 + rng.uniform(-0.06, 0.06))
    across = (drift * abs(dy), drift * abs(dx))
    one = (middle[0] + dx * reach + across[0], middle[1] + dy * reach + across[1])
    return one, (middle[0] - dx * reach - across[0], middle[1] - dy * reach - across[1])


def _shapes(rng: Random, size: tuple[int, int]) -> Picture:
    dark = rng.random() < 0.4
    canvas = Canvas(ground(rng, size, dark))
    relation = rng.choice(list(_STEP))
    shapes = rng.sample(("circle", "square", "triangle", "star", "heart", "diamond"), 2)
    colours = rng.sample(on(dark), 2)
    radius, style = rng.uniform(0.13, 0.18), rng.choice(STYLES)
    for shape, colour, at in zip(shapes, colours, _ends(rng, relation, 0.24), strict=True):
        draw_shape(canvas, shape, at, radius, shade(rng, colour), style, rng.uniform(-0.1, 0.1))
    one, other = (f"{colour} {shape}" for colour, shape in zip(colours, shapes, strict=True))
    return Picture(canvas.finish(), _relation_facts(one, relation, other))


def _things(rng: Random, size: tuple[int, int]) -> Picture:
    """Two things on shelves: beside each other, or on the upper and the lower one."""
    wall = jitter(rng, rng.choice(((222, 214, 200), (206, 218, 226), (226, 222, 232))), 8)
    canvas = Canvas(gradient(size, light(wall, 0.25), wall))
    relation = rng.choice(list(_STEP))
    boards = (0.46, 0.9)
    for y in boards:
        canvas.box(canvas.left, y, canvas.right, y + 0.04, (156, 116, 76))
        canvas.box(canvas.left, y + 0.04, canvas.right, y + 0.07, clear((0, 0, 0), 36))
    one, other = rng.sample(("cup", "ball", "flower", "cat", "book", "lamp", "fish"), 2)
    colours = [shade(rng, name) for name in rng.sample(("red", "orange", "green", "blue", "purple", "pink"), 2)]
    dx, dy = _STEP[relation]
    level = rng.choice(boards)
    for sign, name, colour in ((1, one, colours[0]), (-1, other, colours[1])):
        x = 0.5 + sign * dx * rng.uniform(0.2, 0.26) + (rng.uniform(-0.04, 0.04) if dx == 0 else 0.0)
        y = level if dy == 0 else (boards[1] if sign * dy > 0 else boards[0])
        icons.THINGS[name](canvas, x, y, rng.uniform(0.3, 0.35), colour)
    return Picture(canvas.finish(), _relation_facts(one, relation, other))


def _grid(rng: Random, size: tuple[int, int]) -> Picture:
    """Four shapes in the four corners of a board."""
    dark = rng.random() < 0.3
    canvas = Canvas(ground(rng, size, dark))
    board = (70, 78, 92) if dark else (255, 255, 255)
    for left in (0.06, 0.51):
        for top in (0.06, 0.51):
            canvas.box(left, top, left + 0.43, top + 0.43, board, 0.03)
    shapes = rng.sample(("circle", "square", "triangle", "star", "heart", "diamond"), 4)
    colour = rng.choice([name for name in on(dark) if name != "grey"])
    corners = {
        "top left": (0.275, 0.275),
        "top right": (0.725, 0.275),
        "bottom left": (0.275, 0.725),
        "bottom right": (0.725, 0.725),
    }
    pairs = []
    for shape, (place, at) in zip(shapes, corners.items(), strict=True):
        draw_shape(canvas, shape, at, 0.15, shade(rng, colour))
        pairs.append((f"Where is the {shape}?", f"The {shape} is in the {place} corner."))
        pairs.append((f"What is in the {place} corner?", sentence(an(shape))))
    return Picture(canvas.finish(), ask(*pairs, caption=f"Four {colour} shapes in four corners."))


def _inside(rng: Random, size: tuple[int, int]) -> Picture:
    """The rare kind: a small shape inside a big one."""
    canvas = Canvas(ground(rng, size, dark=False))
    outer, inner = rng.sample(("circle", "square", "heart"), 2)
    one, other = rng.sample(("red", "blue", "green", "orange", "purple", "pink"), 2)
    at = (0.5 + rng.uniform(-0.04, 0.04), 0.5 + rng.uniform(-0.04, 0.04))
    big = shade(rng, one)
    draw_shape(canvas, outer, at, 0.42, dim(big, 0.15))
    draw_shape(canvas, outer, at, 0.39, big)
    draw_shape(canvas, inner, at, rng.uniform(0.15, 0.19), shade(rng, other))
    big_name, small_name = f"{one} {outer}", f"{other} {inner}"
    facts = ask(
        (f"Where is the {small_name}?", f"The {small_name} is inside the {big_name}."),
        (f"What is inside the {big_name}?", sentence(an(small_name))),
        caption=sentence(f"{an(small_name)} inside {an(big_name)}"),
    )
    return Picture(canvas.finish(), facts)
