"""The eleven tasks, and any picture of any of them.

A pool that says something about selection must have structure. So tasks differ in what a question adds (six ask one of several
questions of a picture, five always the same: that is what the instruction relevance score measures), in size (60 to 560 of
2,400) and, inside a task, in kinds: from half of it down to one in twenty-five. One picture in eight is a *retake*: the same
scene as a few others, cropped, lit and scaled anew, as bursts of photographs are.

Each picture depends on (seed, task, index) alone. That costs a generator per picture and buys any index in any order: a
captioning base trains on index 1,000,000 and up, and no picture changes when a task is added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import NamedTuple

from PIL import Image, ImageEnhance

from presel.demo import photos
from presel.demo.drawing import charts, clocks, colours, counting, digits, presence, scenes, spatial, textures, words
from presel.demo.drawing.encode import encode
from presel.demo.drawing.truth import Facts, Picture
from presel.errors import InputError

_BLOCK = 500  # indices that share their repeated scenes: a pool of any size has the same redundancy


class Redundancy(NamedTuple):
    """How much of a pool is retakes, and of how many scenes a task and block; the first scenes have the most."""

    retakes: float = 0.125
    scenes: int = 4


DEMO = Redundancy()


@dataclass(frozen=True)
class TaskSpec:
    """A task of the pool: what it asks, its share, and the one question it asks if it is always the same."""

    description: str
    share: float  # of the images, before rounding; all shares add up to 1
    question: str | None  # None: one of several, and the answer depends on which
    draw: Callable[[Random, int], Picture]
    graphic: bool = False  # mostly saved without loss


class Drawn(NamedTuple):
    """One file of the pool."""

    task: str
    name: str  # file name within the task
    data: bytes
    facts: Facts

    @property
    def key(self) -> str:
        """Where it lies below the pool's root: "chart/000123.png"."""
        return f"{self.task}/{self.name}"


TASKS: Mapping[str, TaskSpec] = MappingProxyType(
    {
        "scene": TaskSpec("Questions about landscapes", 560 / 2400, None, scenes.draw),
        "photo": TaskSpec("Captions of photographs", 400 / 2400, photos.QUESTION, photos.draw),
        "count": TaskSpec("Counting shapes, dots and balls", 300 / 2400, None, counting.draw),
        "presence": TaskSpec("Is a thing in the picture?", 240 / 2400, None, presence.draw),
        "ocr": TaskSpec("Reading one word", 200 / 2400, words.QUESTION, words.draw),
        "digits": TaskSpec("Handwritten digits", 180 / 2400, digits.QUESTION, digits.draw),
        "spatial": TaskSpec("Where one thing is, seen from another", 160 / 2400, None, spatial.draw),
        "colour": TaskSpec("Naming a colour", 120 / 2400, None, colours.draw),
        "chart": TaskSpec("Reading bar charts", 100 / 2400, None, charts.draw, graphic=True),
        "texture": TaskSpec("Naming a texture", 80 / 2400, textures.QUESTION, textures.draw),
        "clock": TaskSpec("Telling the time", 60 / 2400, clocks.QUESTION, clocks.draw),
    }
)


def draw(task: str, index: int, seed: int) -> Drawn:
    """Image `index` (any integer >= 0) of a task: the same bytes whenever it is asked for.

    Raises InputError for a task that does not exist or a negative index.
    """
    picture = sketch(task, index, seed)
    rng = Random(f"{seed}/{task}/{index}/file")
    extension, data = encode(rng, picture.image, graphic=TASKS[task].graphic)
    return Drawn(task, f"{index:06d}.{extension}", data, picture.facts)


def sketch(task: str, index: int, seed: int, *, longest: int = 640, redundancy: Redundancy = DEMO) -> Picture:
    """The same picture before it is encoded (RGB), its longer side at most `longest` pixels: quick material for training."""
    spec = TASKS.get(task)
    if spec is None:
        raise InputError("no such task in the demo pool", expected=", ".join(TASKS), got=task)
    if index < 0:
        raise InputError("an image's index is negative", where=task, expected=">= 0", got=index)
    rng = Random(f"{seed}/{task}/{index}")
    if rng.random() >= redundancy.retakes:
        return spec.draw(rng, longest)
    scene = int(redundancy.scenes * rng.random() ** 2)
    picture = spec.draw(Random(f"{seed}/{task}/block {index // _BLOCK}/scene {scene}"), longest)
    return picture._replace(image=_retake(rng, picture.image))


def _retake(rng: Random, image: Image.Image) -> Image.Image:
    """The scene once more: up to 4 % cropped from each edge, 10 % in light, 15 % in size."""
    width, height = image.size
    left, top, right, bottom = (rng.uniform(0, 0.04) for _ in range(4))
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    scale = rng.uniform(0.85, 1.0)
    size = (max(64, round(width * scale)), max(64, round(height * scale)))
    cropped = image.resize(size, Image.Resampling.BICUBIC, box=box)
    return ImageEnhance.Brightness(cropped).enhance(rng.uniform(0.9, 1.1))
