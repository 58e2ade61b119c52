"""Reading one word: on road signs, notes, blackboards, screens, neon and (rarely) a stamp. Always the same question."""

from __future__ import annotations

from random import Random

from PIL import Image

from presel.demo.drawing.canvas import Canvas, paper_size
from presel.demo.drawing.palette import CHALK, INK, NAMED, PALE, Rgb, clear, dim, gradient, ground, jitter, light, shade
from presel.demo.drawing.truth import Picture, ask

QUESTION = "What does it say?"
KINDS = {"sign": 30, "note": 24, "board": 18, "screen": 15, "neon": 9, "stamp": 4}
WORDS = (
    "open", "stop", "exit", "tea", "milk", "bread", "fish", "cake", "rain", "snow", "sun", "moon", "star", "sea", "lake",
    "road", "park", "home", "door", "book", "page", "pen", "red", "blue", "green", "dog", "cat", "bird", "horse", "cow",
    "one", "two", "ten", "left", "right", "north", "south", "east", "west", "hello", "love", "time", "day", "night",
    "farm", "shop", "bank", "bus", "train", "boat", "car", "slow", "fast", "hot", "cold", "new", "old", "big", "free", "help",
)  # fmt: skip


def draw(rng: Random, longest: int) -> Picture:
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    size, word = paper_size(rng, longest), rng.choice(WORDS)
    picture = {"sign": _sign, "note": _note, "board": _board, "screen": _screen, "neon": _neon, "stamp": _stamp}[kind]
    noun = {"board": "blackboard", "neon": "neon sign"}.get(kind, kind)
    answer = f"The {noun} says {word}." if rng.random() < 0.7 else f"It says {word}."
    return Picture(picture(rng, size, word), ask((QUESTION, answer), caption=f"A {noun} that says {word}."))


def _fitted(canvas: Canvas, word: str, face: str, width: float, tallest: float) -> float:
    """The largest text height up to `tallest` at which the word is at most `width` wide."""
    return tallest * min(1.0, width / canvas.text_width(word, face, tallest))


def _sign(rng: Random, size: tuple[int, int], word: str) -> Image.Image:
    canvas = Canvas(gradient(size, jitter(rng, (140, 186, 226), 14), (222, 234, 240)))
    canvas.box(canvas.left, 0.86, canvas.right, canvas.bottom, jitter(rng, (112, 142, 92), 12))
    canvas.box(0.47, 0.3, 0.53, canvas.bottom, (132, 136, 142))
    plate = shade(rng, rng.choice(("green", "blue", "red", "orange", "white")))
    ink = INK if sum(plate) > 600 else CHALK
    canvas.box(0.045, 0.225, 0.965, 0.685, clear((0, 0, 0), 50), 0.06)
    canvas.box(0.04, 0.2, 0.96, 0.66, ink, 0.06)
    canvas.box(0.06, 0.22, 0.94, 0.64, plate, 0.045)
    face, shown = rng.choice(("bold", "sans", "slanted")), word.upper() if rng.random() < 0.7 else word
    canvas.text(0.5, 0.43, shown, face, _fitted(canvas, shown, face, 0.78, 0.3), ink)
    return canvas.finish()


def _note(rng: Random, size: tuple[int, int], word: str) -> Image.Image:
    desk = jitter(rng, (150, 110, 74), 14)
    canvas = Canvas(gradient(size, desk, dim(desk, 0.2)))
    canvas.box(0.07, 0.09, 0.97, 0.97, clear((0, 0, 0), 70))
    canvas.box(0.05, 0.06, 0.95, 0.94, jitter(rng, rng.choice(((252, 244, 170), (250, 249, 244), (214, 236, 250))), 4))
    for line in range(1, 7):
        canvas.line([(0.05, 0.06 + 0.125 * line), (0.95, 0.06 + 0.125 * line)], (120, 150, 200, 90), 0.004)
    face, ink = rng.choice(("book", "serif", "typed", "book bold")), rng.choice((INK, (36, 60, 150), (150, 30, 40)))
    height = _fitted(canvas, word, face, 0.76, 0.36)
    canvas.turned_text(0.5, 0.5, word, face, height, ink, rng.uniform(-9, 9))
    return canvas.finish()


def _board(rng: Random, size: tuple[int, int], word: str) -> Image.Image:
    slate = jitter(rng, rng.choice(((38, 62, 54), (44, 48, 52))), 8)
    canvas = Canvas(Image.new("RGB", size, (146, 104, 62)))
    canvas.box(canvas.left + 0.04, canvas.top + 0.04, canvas.right - 0.04, canvas.bottom - 0.04, slate)
    for _ in range(7):  # where the sponge went
        x, y = rng.uniform(0.1, 0.9), rng.uniform(0.15, 0.85)
        canvas.line([(x - 0.25, y), (x + 0.25, y + rng.uniform(-0.1, 0.1))], clear(CHALK, 10), 0.09)
    face = rng.choice(("round", "book", "sans"))
    ink = rng.choice((CHALK, CHALK, (250, 226, 140), (250, 190, 200)))
    canvas.turned_text(0.5, 0.47, word, face, _fitted(canvas, word, face, 0.74, 0.34), ink, rng.uniform(-5, 5))
    canvas.line([(0.2, 0.76), (0.8, 0.76 + rng.uniform(-0.02, 0.02))], clear(ink, 150), 0.012)
    return canvas.finish()


def _screen(rng: Random, size: tuple[int, int], word: str) -> Image.Image:
    canvas = Canvas(ground(rng, size, dark=False))
    canvas.box(0.02, 0.12, 0.98, 0.86, (54, 58, 66), 0.03)
    dark = rng.random() < 0.5
    page: Rgb = (24, 28, 34) if dark else (252, 252, 252)
    ink = rng.choice(((120, 230, 140), CHALK, (130, 190, 255))) if dark else rng.choice((INK, (30, 70, 170)))
    canvas.box(0.04, 0.22, 0.96, 0.84, page)
    for place, colour in enumerate(("red", "yellow", "green")):
        canvas.disc(0.075 + 0.055 * place, 0.17, 0.018, NAMED[colour])
    for row in (0.3, 0.36, 0.72, 0.78):
        canvas.box(0.1, row, 0.1 + rng.uniform(0.2, 0.75), row + 0.02, clear(ink, 60), 0.01)
    face = rng.choice(("mono", "typed", "plain", "sans"))
    canvas.text(0.5, 0.54, word, face, _fitted(canvas, word, face, 0.76, 0.28), ink)
    return canvas.finish()


def _neon(rng: Random, size: tuple[int, int], word: str) -> Image.Image:
    wall = jitter(rng, (30, 24, 40), 8)
    canvas = Canvas(gradient(size, wall, dim(wall, 0.4)))
    glow = rng.choice(((255, 70, 150), (70, 210, 255), (255, 190, 60), (120, 255, 140)))
    for radius in (0.5, 0.4, 0.3):
        canvas.disc(0.5, 0.5, radius, clear(glow, 14), flat=0.6)
    face, shown = rng.choice(("round", "slanted", "sans")), word.upper() if rng.random() < 0.5 else word
    height = _fitted(canvas, shown, face, 0.76, 0.3)
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        canvas.text(0.5 + 0.008 * dx, 0.5 + 0.008 * dy, shown, face, height, clear(glow, 150))
    canvas.text(0.5, 0.5, shown, face, height, light(glow, 0.75))
    canvas.line([(0.12, 0.74), (0.88, 0.74)], light(glow, 0.3), 0.014)
    return canvas.finish()


def _stamp(rng: Random, size: tuple[int, int], word: str) -> Image.Image:
    """The rare kind: a slanted stamp on paper."""
    canvas = Canvas(Image.new("RGB", size, jitter(rng, rng.choice(PALE), 4)))
    for row in range(12):
        y = 0.06 + 0.08 * row
        canvas.box(0.06, y, rng.uniform(0.6, 0.94), y + 0.014, clear(INK, 36))
    ink = rng.choice(((190, 40, 50), (40, 70, 160)))
    canvas.ring(0.5, 0.5, 0.46, clear(ink, 220), 0.02)
    canvas.ring(0.5, 0.5, 0.42, clear(ink, 220), 0.008)
    height = _fitted(canvas, word.upper(), "bold", 0.64, 0.24)
    canvas.turned_text(0.5, 0.5, word.upper(), "bold", height, ink, rng.uniform(8, 24))
    return canvas.finish()
