"""Landscapes in five places and four lights, with a few things in them: the largest task, with the longest answers."""

from __future__ import annotations

from random import Random

from presel.demo.drawing import icons
from presel.demo.drawing.canvas import Canvas, paper_size
from presel.demo.drawing.palette import Rgb, clear, dim, gradient, jitter, light, mix, shade
from presel.demo.drawing.truth import NUMBERS, Facts, Picture, an, are, ask, listed, plural, sentence, several

PLACES = {"field": 30, "beach": 26, "mountains": 20, "city": 16, "desert": 8}
LIGHTS = {"day": 52, "sunset": 24, "night": 20, "snow": 4}
_SKY: dict[str, tuple[Rgb, Rgb]] = {
    "day": ((92, 160, 226), (216, 236, 246)),
    "sunset": ((92, 70, 130), (252, 176, 96)),
    "night": ((10, 16, 42), (58, 66, 116)),
    "snow": ((168, 180, 194), (226, 230, 236)),
}
_GROUND: dict[str, Rgb] = {
    "field": (118, 170, 84),
    "beach": (234, 208, 150),
    "mountains": (104, 146, 92),
    "city": (112, 114, 120),
    "desert": (226, 180, 112),
}
_WHEN = {"day": "on a clear day", "sunset": "at sunset", "night": "at night", "snow": "in the snow"}
_WHERE = {
    "field": "a green field",
    "beach": "a beach by the sea",
    "mountains": "a place near the mountains",
    "city": "a city with tall buildings",
    "desert": "a desert",
}
_GREENERY = {"field": "tree", "beach": "umbrella", "mountains": "pine", "city": "lamp", "desert": "cactus"}
_GUEST = {"field": ("house", "car", "cat"), "beach": ("boat", "ball", "boat"), "mountains": ("house", "boat"),
          "city": ("car", "car", "cat"), "desert": ("car", "house")}  # fmt: skip


def draw(rng: Random, longest: int) -> Picture:
    place = rng.choices(list(PLACES), list(PLACES.values()))[0]
    when = rng.choices(list(LIGHTS), list(LIGHTS.values()))[0]
    when = "day" if when == "snow" and place in ("beach", "desert") else when
    canvas = Canvas(gradient(paper_size(rng, longest), *(jitter(rng, colour, 8) for colour in _SKY[when])))
    above = _sky(rng, canvas, when, 0.17 if place in ("city", "mountains") else 0.26)
    horizon = rng.uniform(0.52, 0.62)
    _land(rng, canvas, place, when, horizon)
    count = rng.choices((0, 1, 2, 3, 4), (10, 25, 30, 20, 15))[0]
    guest = rng.choice(_GUEST[place]) if rng.random() < 0.6 else None
    _things(rng, canvas, (place, when, horizon), count, guest)
    if when == "snow":
        for _ in range(70):
            x, y = rng.uniform(canvas.left, canvas.right), rng.uniform(canvas.top, canvas.bottom)
            canvas.disc(x, y, rng.uniform(0.004, 0.009), (255, 255, 255, 220))
    return Picture(canvas.finish(), _facts(place, when, above, count, guest))


def _lit(colour: Rgb, when: str) -> Rgb:
    """A daylight colour under another light."""
    if when == "night":
        return mix(colour, (18, 24, 52), 0.62)
    if when == "sunset":
        return mix(colour, (150, 70, 60), 0.3)
    return mix(colour, (240, 244, 248), 0.78) if when == "snow" else colour


def _sky(rng: Random, canvas: Canvas, when: str, lowest: float) -> str:
    """Paints what is in the sky, centred no lower than `lowest` lest it hide behind the land, and names it."""
    x, y = rng.uniform(0.15, 0.85), rng.uniform(0.12, lowest)
    if when == "night":
        for _ in range(40):
            at = rng.uniform(canvas.left, canvas.right), rng.uniform(canvas.top, 0.5)
            canvas.disc(*at, rng.uniform(0.002, 0.005), (244, 244, 226))
        canvas.disc(x, y, 0.13, (250, 246, 216, 30))
        canvas.disc(x, y, 0.08, (246, 242, 214))
        canvas.disc(x - 0.025, y - 0.02, 0.018, (222, 216, 186))
        return "the moon and stars"
    if when == "snow":
        for cloud_x in (rng.uniform(0.0, 0.3), rng.uniform(0.4, 0.6), rng.uniform(0.7, 1.0)):
            icons.cloud(
                canvas,
                cloud_x,
                rng.uniform(0.14, lowest + 0.04),
                rng.uniform(0.2, 0.3),
                jitter(rng, (150, 158, 168), 8),
            )
        return "grey clouds"
    if when == "sunset":
        y = 0.46 if lowest > 0.2 else 0.2
        canvas.disc(x, y, 0.2, (255, 214, 130, 60))
        canvas.disc(x, y, 0.12, (255, 206, 104))
        return "a low sun"
    cover = rng.choice(("sun", "clouds", "birds"))
    if cover == "sun":
        canvas.disc(x, y, 0.13, (255, 240, 150, 70))
        canvas.disc(x, y, 0.08, (255, 222, 84))
        return "the sun"
    if cover == "clouds":
        for cloud_x in (rng.uniform(0.0, 0.3), rng.uniform(0.4, 0.6), rng.uniform(0.7, 1.0)):
            icons.cloud(canvas, cloud_x, rng.uniform(0.14, lowest + 0.06), rng.uniform(0.16, 0.26), (252, 253, 254))
        return "white clouds"
    for _ in range(5):
        at = rng.uniform(0.1, 0.9), rng.uniform(0.1, lowest + 0.08)
        icons.bird(canvas, *at, rng.uniform(0.06, 0.1), (60, 66, 80))
    return "birds"


def _land(rng: Random, canvas: Canvas, place: str, when: str, horizon: float) -> None:
    """Everything below the sky but the things: what rises behind the horizon, then the ground."""
    base = _lit(jitter(rng, _GROUND[place], 10), when)
    if place == "mountains":
        for step in range(-1, 5):
            _peak(canvas, step * 0.3 + rng.uniform(-0.08, 0.08), horizon, rng.uniform(0.18, 0.3), when)
    elif place == "city":
        for block in range(-3, 11):  # beyond the widest picture: what is drawn next must not depend on its width
            _tower(rng, canvas, block / 8, horizon, when)
    elif place == "field":
        canvas.disc(rng.uniform(0.1, 0.4), horizon + 0.75, 0.85, light(base, 0.14))
    elif place == "desert":
        for _ in range(3):
            dune = rng.uniform(canvas.left, canvas.right)
            canvas.disc(dune, horizon + 0.02, rng.uniform(0.3, 0.5), dim(base, 0.08), flat=0.24)
    canvas.box(canvas.left, horizon, canvas.right, canvas.bottom, base)
    if place == "beach":
        _sea(rng, canvas, when, horizon)
    elif place == "city":
        canvas.box(canvas.left, 0.84, canvas.right, 0.86, _lit((222, 216, 190), when))


def _sea(rng: Random, canvas: Canvas, when: str, horizon: float) -> None:
    sea = _lit(jitter(rng, (48, 130, 186), 12), when)
    canvas.box(canvas.left, horizon, canvas.right, horizon + 0.18, sea)
    for wave in range(4):
        y = horizon + 0.03 + 0.04 * wave
        canvas.line([(canvas.left, y), (canvas.right, y)], clear((255, 255, 255), 46), 0.006)
    canvas.box(canvas.left, horizon + 0.17, canvas.right, horizon + 0.19, clear((255, 255, 255), 130))


def _peak(canvas: Canvas, x: float, horizon: float, height: float, when: str) -> None:
    rock, half, top = _lit((120, 126, 142), when), 0.34, horizon - height
    canvas.polygon([(x - half, horizon), (x + half, horizon), (x, top)], rock)
    canvas.polygon([(x, top), (x + half, horizon), (x + 0.08, horizon)], dim(rock, 0.18))
    tip = 0.3
    snow = _lit((246, 248, 250), when)
    canvas.polygon(
        [
            (x - half * tip, top + height * tip),
            (x, top),
            (x + half * tip, top + height * tip),
            (x, top + height * 0.22),
        ],
        snow,
    )


def _tower(rng: Random, canvas: Canvas, x: float, horizon: float, when: str) -> None:
    top = horizon - rng.uniform(0.1, 0.28)
    wall = _lit(jitter(rng, rng.choice(((150, 156, 172), (176, 158, 146), (132, 148, 160))), 10), when)
    canvas.box(x, top, x + 0.115, horizon, wall)
    lamp: Rgb = (250, 222, 130)
    for row in range(int((horizon - top) / 0.05)):
        for column in range(3):
            bright = when in ("night", "sunset") and rng.random() < 0.6
            left, upper = x + 0.016 + 0.031 * column, top + 0.02 + 0.05 * row
            canvas.box(left, upper, left + 0.02, upper + 0.026, lamp if bright else dim(wall, 0.24))


def _things(rng: Random, canvas: Canvas, setting: tuple[str, str, float], count: int, guest: str | None) -> None:
    """`count` of the place's own things in a row of slots, and one guest in front or on the water."""
    place, when, horizon = setting
    own = _GREENERY[place]
    slots = rng.sample(range(5), 5)
    floor = max(horizon + 0.2, 0.76)
    for slot in sorted(slots[:count]):
        at = 0.1 + 0.2 * slot + rng.uniform(-0.03, 0.03), floor + rng.uniform(-0.03, 0.03)
        _own(canvas, own, at, rng.uniform(0.26, 0.32), _lit(_own_colour(rng, own), when))
    if guest is None:
        return
    paint = _lit(shade(rng, rng.choice(("red", "blue", "white", "orange"))), when)
    on_water = guest == "boat"
    y = horizon + 0.1 if on_water and place == "beach" else 0.94
    if on_water and place == "mountains":
        canvas.disc(0.5, 0.94, 0.46, _lit((70, 140, 190), when), flat=0.16)
    size = {"house": 0.26, "car": 0.15, "cat": 0.18, "ball": 0.13, "boat": 0.2}[guest]
    icons.THINGS[guest](canvas, 0.14 + 0.18 * slots[-1], y, size, paint)  # a free slot: it hides nothing


def _own_colour(rng: Random, own: str) -> Rgb:
    if own in ("umbrella", "lamp"):
        return shade(rng, rng.choice(("red", "blue", "yellow", "orange")))
    return jitter(rng, {"tree": (70, 134, 62), "pine": (52, 104, 72), "cactus": (76, 132, 80)}[own], 10)


def _own(canvas: Canvas, name: str, at: tuple[float, float], s: float, colour: Rgb) -> None:
    x, y = at
    if name == "cactus":
        canvas.box(x - 0.07 * s, y - 0.9 * s, x + 0.07 * s, y, colour, 0.07 * s)
        for side, low in ((-1, 0.35), (1, 0.5)):
            canvas.line(
                [(x, y - low * s), (x + side * 0.24 * s, y - low * s), (x + side * 0.24 * s, y - (low + 0.3) * s)],
                colour,
                0.1 * s,
            )
        return
    (icons.pine if name == "pine" else icons.THINGS[name])(canvas, x, y, s, colour)


def _facts(place: str, when: str, above: str, count: int, guest: str | None) -> Facts:
    own = {"pine": "tree", "umbrella": "umbrella"}.get(_GREENERY[place], _GREENERY[place])
    here = ([several(count, own)] if count else []) + ([an(guest)] if guest else [])
    where = "a field" if place == "field" and when == "snow" else _WHERE[place]
    scene = f"{where} {_WHEN[when]}"
    caption = sentence(f"{scene} with {listed(here)}" if here else scene)
    other = guest or "boat"
    seen = f"Yes, there is {an(other)}." if guest else f"No, there is no {other}."
    return ask(
        ("What place is this?", f"This is {where}."),
        (
            "What time is it?",
            {"day": "It is day.", "sunset": "It is sunset.", "night": "It is night."}.get(when, "It is a winter day."),
        ),
        ("What is in the sky?", sentence(above)),
        (
            f"How many {plural(own)} are there?",
            f"There {are(count)} {NUMBERS[count]} {own if count == 1 else plural(own)}.",
        ),
        (f"Is there {an(other)}?", seen),
        ("Describe the picture.", caption),
        caption=caption,
    )
