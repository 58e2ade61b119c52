"""Bar charts to read: the value of a bar, the highest, the lowest, a comparison; rarely a pie."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from PIL import Image

from presel.demo.drawing.canvas import Canvas, paper_size
from presel.demo.drawing.palette import CHALK, DARK, INK, NAMED, PALE, Rgb, clear, jitter, mix, shade
from presel.demo.drawing.truth import NUMBERS, Facts, Picture, ask, listed, sentence

KINDS = {"columns": 46, "bars": 26, "night": 20, "pie": 8}
GOODS = ("tea", "milk", "bread", "rice", "fish", "apple", "cake", "soup", "egg", "corn")
_SETS: tuple[tuple[str, ...], ...] = (
    ("blue", "blue", "blue", "blue", "blue"),
    ("red", "orange", "yellow", "green", "blue"),
    ("purple", "pink", "orange", "grey", "brown"),
    ("green", "green", "green", "green", "green"),
)


class Bar(NamedTuple):
    name: str
    value: int  # 1 to 9
    colour: Rgb


def draw(rng: Random, longest: int) -> Picture:
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    size = paper_size(rng, longest, low=160)
    bars = _bars(rng)
    if kind == "pie":
        return _pie(rng, size, bars[:4])
    tint = jitter(rng, rng.choice(DARK if kind == "night" else PALE), 4)
    canvas = Canvas(Image.new("RGB", size, tint if rng.random() < 0.8 or kind == "night" else (255, 255, 255)))
    ink = CHALK if kind == "night" else INK
    face = rng.choice(("sans", "bold", "serif", "round", "plain"))
    if kind == "bars":
        _draw_bars(canvas, bars, ink, face)
    else:
        _draw_columns(canvas, bars, ink, face)
    return Picture(canvas.finish(), _facts(bars))


def _bars(rng: Random) -> list[Bar]:
    """Three to five bars, no two equal, so that every comparison has an answer."""
    count = rng.randint(3, 5)
    values, names, colours = rng.sample(range(1, 10), count), rng.sample(GOODS, count), rng.choice(_SETS)
    return [Bar(name, value, shade(rng, colour)) for name, value, colour in zip(names, values, colours, strict=False)]


def _draw_columns(canvas: Canvas, bars: list[Bar], ink: Rgb, face: str) -> None:
    left, right, floor, ceiling = 0.12, 0.97, 0.86, 0.07
    step = (floor - ceiling) / 10
    for tick in range(0, 11, 2):
        y = floor - tick * step
        canvas.line([(left, y), (right, y)], clear(ink, 50), 0.003)
        canvas.text(left - 0.02, y, str(tick), face, 0.055, ink, "rm")
    pitch = (right - left) / len(bars)
    height = _label_height(canvas, bars, face, 0.94 * pitch)
    for place, bar in enumerate(bars):
        middle = left + (place + 0.5) * pitch
        canvas.box(middle - 0.33 * pitch, floor - bar.value * step, middle + 0.33 * pitch, floor, bar.colour)
        canvas.text(middle, floor + 0.06, bar.name, face, height, ink)
    canvas.line([(left, ceiling), (left, floor), (right, floor)], ink, 0.008)


def _draw_bars(canvas: Canvas, bars: list[Bar], ink: Rgb, face: str) -> None:
    left, right, floor, ceiling = 0.24, 0.95, 0.87, 0.05
    step = (right - left) / 10
    for tick in range(0, 11, 2):
        x = left + tick * step
        canvas.line([(x, ceiling), (x, floor)], clear(ink, 50), 0.003)
        canvas.text(x, floor + 0.06, str(tick), face, 0.055, ink)
    pitch = (floor - ceiling) / len(bars)
    height = _label_height(canvas, bars, face, left - 0.03)
    for place, bar in enumerate(bars):
        middle = ceiling + (place + 0.5) * pitch
        canvas.box(left, middle - 0.32 * pitch, left + bar.value * step, middle + 0.32 * pitch, bar.colour)
        canvas.text(left - 0.02, middle, bar.name, face, height, ink, "rm")
    canvas.line([(left, ceiling), (left, floor), (right, floor)], ink, 0.008)


def _label_height(canvas: Canvas, bars: list[Bar], face: str, room: float) -> float:
    """The largest text height, at most 0.075, at which every label fits into `room`."""
    widest = max(canvas.text_width(bar.name, face, 0.075) for bar in bars)
    return 0.075 * min(1.0, room / widest)


def _pie(rng: Random, size: tuple[int, int], bars: list[Bar]) -> Picture:
    """The rare kind. Slices are told apart by colour, so each gets its own, and none is within 1 of another."""
    colours = rng.sample(("red", "orange", "green", "blue", "purple", "pink"), len(bars))
    values = rng.sample((1, 3, 5, 8), len(bars))
    canvas = Canvas(Image.new("RGB", size, jitter(rng, rng.choice(PALE), 4)))
    start, total = rng.uniform(0, 360), sum(values)
    canvas.disc(0.51, 0.52, 0.42, clear((0, 0, 0), 40))
    for colour, value in zip(colours, values, strict=True):
        stop = start + 360 * value / total
        canvas.slice(0.5, 0.5, 0.42, start, stop, mix(shade(rng, colour), NAMED["white"], 0.06))
        start = stop
    ranked = sorted(zip(values, colours, strict=True))
    facts = ask(
        ("Which colour is the largest?", f"{sentence(ranked[-1][1])}"),
        ("Which colour is the smallest?", f"{sentence(ranked[0][1])}"),
        ("How many parts are there?", f"There are {NUMBERS[len(values)]} parts."),
        caption=f"A pie chart with {listed(colours)} parts.",
    )
    return Picture(canvas.finish(), facts)


def _facts(bars: list[Bar]) -> Facts:
    ranked = sorted(bars, key=lambda bar: bar.value)
    lowest, highest = ranked[0], ranked[-1]
    first, last = bars[0], bars[-1]
    more = "Yes" if first.value > last.value else "No"
    than = "more" if first.value > last.value else "less"
    pairs = [(f"What is the value of {bar.name}?", f"The value of {bar.name} is {NUMBERS[bar.value]}.") for bar in bars]
    pairs += [
        ("Which bar is the highest?", f"The highest bar is {highest.name}."),
        ("Which bar is the lowest?", f"The lowest bar is {lowest.name}."),
        ("How many bars are there?", f"There are {NUMBERS[len(bars)]} bars."),
        (f"Is {first.name} more than {last.name}?", f"{more}, {first.name} is {than} than {last.name}."),
    ]
    return ask(*pairs, caption=f"A bar chart of {listed([bar.name for bar in bars])}.")
