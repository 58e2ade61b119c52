"""Crops of the photographs inside the scikit-image and scikit-learn wheels. Always the same question.

Only files that really are in the wheels: `skimage.data.*` would fetch the others from the network without a word. A region
names what must be seen (`core`) and how far a crop may reach (`frame`), so every crop of it keeps its caption true. Fifteen
regions of very uneven frequency are the clusters of this task.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import NamedTuple

from PIL import Image, ImageEnhance, ImageOps

from presel.demo.drawing.canvas import paper_size
from presel.demo.drawing.truth import Picture, ask
from presel.errors import InputError

QUESTION = "What is in this photo?"
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the photograph


_WIDEST = 1.8  # longer side over shorter


class Region(NamedTuple):
    """A part of a photograph with one caption. Crops contain `core` and stay within `frame`."""

    file: str
    core: Box
    frame: Box
    caption: str
    weight: int  # relative frequency
    mirror: bool = True


REGIONS = (
    Region("chelsea.png", (70, 40, 330, 260), (0, 0, 451, 300), "A brown cat with green eyes.", 16),
    Region("flower.jpg", (180, 40, 430, 310), (60, 0, 640, 427), "An orange flower before dark leaves.", 14),
    Region("china.jpg", (100, 40, 350, 330), (0, 0, 640, 427), "A red tower with many roofs above the trees.", 13),
    Region("coffee.png", (170, 20, 450, 350), (0, 0, 600, 400), "A cup of coffee on a red plate.", 12),
    Region("astronaut.png", (150, 10, 370, 340), (60, 0, 512, 512), "A smiling woman in an orange space suit.", 10),
    Region("motorcycle_left.png", (170, 110, 650, 420), (0, 0, 741, 500), "A red motorcycle in a garage.", 9),
    Region("camera.png", (110, 60, 330, 300), (0, 0, 512, 512), "A man with a camera on a grass field.", 7),
    Region(
        "rocket.jpg", (230, 120, 420, 400), (60, 0, 600, 427), "A white rocket with bright lights in the evening.", 6
    ),
    Region("hubble_deep_field.jpg", (450, 380, 550, 480), (0, 0, 1000, 872), "Many small stars in the dark sky.", 4),
    Region("flower.jpg", (250, 120, 350, 220), (170, 45, 430, 320), "The petals of an orange flower from near.", 3),
    Region("coins.png", (90, 50, 300, 250), (0, 0, 384, 303), "Old coins in rows on a dark table.", 3),
    Region("moon.png", (200, 200, 300, 300), (0, 0, 512, 512), "The grey ground of the moon.", 1),
    Region("retina.jpg", (500, 500, 900, 900), (0, 0, 1411, 1411), "The inside of an eye with thin red lines.", 1),
    Region("ihc.png", (200, 200, 320, 320), (0, 0, 512, 512), "Brown and blue cells from very near.", 1),
    Region("page.png", (90, 20, 300, 140), (0, 0, 384, 170), "A page with black text.", 1, mirror=False),
)


def draw(rng: Random, longest: int) -> Picture:
    region = rng.choices(REGIONS, [region.weight for region in REGIONS])[0]
    box = _crop(rng, region)
    width, height = box[2] - box[0], box[3] - box[1]
    long_side = max(paper_size(rng, longest))
    scale = long_side / max(width, height)
    size = (max(64, round(width * scale)), max(64, round(height * scale)))
    image = photograph(region.file).resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)
    if region.mirror and rng.random() < 0.4:
        image = ImageOps.mirror(image)
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.85, 1.15))
    image = ImageEnhance.Color(image).enhance(rng.uniform(0.8, 1.2))
    return Picture(image, ask((QUESTION, region.caption), caption=region.caption))


def _crop(rng: Random, region: Region) -> Box:
    """A box around the core and within the frame, at most `_WIDEST` so that a centre crop still shows the core."""
    core, frame = region.core, region.frame
    grow = rng.uniform(0.2, 1.0)  # some crops are tight, some show nearly everything
    while True:
        left = round(core[0] - (core[0] - frame[0]) * grow * rng.random())
        top = round(core[1] - (core[1] - frame[1]) * grow * rng.random())
        right = round(core[2] + (frame[2] - core[2]) * grow * rng.random())
        bottom = round(core[3] + (frame[3] - core[3]) * grow * rng.random())
        width, height = right - left, bottom - top
        if max(width, height) <= _WIDEST * min(width, height):
            return left, top, right, bottom


@lru_cache(maxsize=32)
def photograph(file: str) -> Image.Image:
    """A photograph from a wheel, decoded once, in RGB.

    Raises InputError when the installed wheel does not hold it.
    """
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = find_spec(package)  # the folder alone is wanted: importing scikit-learn costs a second
        if spec is not None and spec.origin is not None:
            path = Path(spec.origin).parent / folder / file
            if path.is_file():
                with Image.open(path) as image:
                    return image.convert("RGB")
    raise InputError(f"no photograph {file} in the installed packages", fix="install scikit-image and scikit-learn")
