"""Vectors without a download: colour, edges and texture, hand-made, the same on every machine and in every year.

Three classic descriptors of a picture squeezed to 96 x 96, each of unit length and weighted, side by side: a colour histogram
with a coarse layout of mean colours, a histogram of oriented gradients (HOG, Dalal & Triggs 2005) and uniform local binary
patterns (LBP, Ojala et al. 2002). Nothing is fitted to a pool, so a refresh never moves an old vector; a fitted PCA would.
It knows what pictures look like, not what they mean: enough for a demo, a test and a first look (docs/performance-notes.md).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from presel.encoders.encoder import Encoder
from presel.images.pillow import Image

SIDE = 96
_CELL, _ORIENTATIONS = 16, 9
_CELLS = SIDE // _CELL
_GRID = 4  # of mean colours
_LEVELS = 4  # per channel of the colour histogram
_PATTERNS = 59
# Chosen on the demo pool (2,400 images, 11 tasks), where the five nearest neighbours of an image share its task 0.92 of the
# time, against 0.90 with four equal weights and uncentred edges and texture.
_WEIGHTS = {"histogram": 1.0, "layout": 0.3, "edges": 1.5, "texture": 1.0}
Pixels = NDArray[np.uint8]
Vector = NDArray[np.float32]
Block = NDArray[np.float64]


class BuiltinEncoder(Encoder):
    """`builtin`: about a millisecond of one core an image, all of it in `prepare`, so that it scales with the decoders."""

    identity = "builtin-1"
    preparation = "presel.encoders.builtin:prepare"
    side = None  # texture shows how a JPEG was scaled while decoding: cosines of 0.986 at 2, 0.993 at 8 times SIDE
    dimensions = _LEVELS**3 + 3 * _GRID**2 + _CELLS**2 * _ORIENTATIONS + _PATTERNS

    def prepare(self, image: Image.Image | Pixels, size: tuple[int, int] | None = None) -> Vector:  # noqa: ARG002
        return prepare(image if isinstance(image, Image.Image) else Image.fromarray(image))

    def encode(self, batch: list[Vector]) -> Vector:
        return np.stack(batch)


def prepare(image: Image.Image) -> Vector:
    """The vector of a picture of any size."""
    return describe(np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.uint8))


def describe(pixels: Pixels) -> Vector:
    """The vector of one (96, 96, 3) uint8 picture."""
    grey = (pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)).astype(np.float32)
    blocks = {
        "histogram": _colour_histogram(pixels),
        "layout": _layout(pixels),
        "edges": _contrasted(_edges(grey)),
        "texture": _contrasted(_texture(grey)),
    }
    return np.concatenate([_WEIGHTS[name] * _unit(block) for name, block in blocks.items()]).astype(np.float32)


def _unit(block: Block) -> Block:
    unit: Block = block / max(float(np.linalg.norm(block)), 1e-8)
    return unit


def _contrasted(shares: Block) -> Block:
    """Non-negative shares all point the same way; taking most of their mean away lets a cosine tell pictures apart."""
    unit = _unit(shares)
    centred: Block = unit - 0.9 * float(unit.mean())
    return centred


def _colour_histogram(pixels: Pixels) -> Block:
    """Shares of 4 x 4 x 4 colours; the square root makes the dot product a Bhattacharyya coefficient."""
    level = (pixels >> 6).astype(np.intp)
    joint = (level[..., 0] * _LEVELS + level[..., 1]) * _LEVELS + level[..., 2]
    shares: Block = np.sqrt(np.bincount(joint.ravel(), minlength=_LEVELS**3))
    return shares


def _layout(pixels: Pixels) -> Block:
    """Mean colour of 4 x 4 fields, around mid-grey."""
    step = SIDE // _GRID
    fields = pixels.reshape(_GRID, step, _GRID, step, 3).mean(axis=(1, 3))
    around_grey: Block = (fields / 127.5 - 1).ravel()
    return around_grey


def _edges(grey: Vector) -> Block:
    """Gradient energy by direction (9, unsigned) in 6 x 6 cells, shared between the two nearest directions."""
    down, across = np.zeros_like(grey), np.zeros_like(grey)
    down[1:-1], across[:, 1:-1] = grey[2:] - grey[:-2], grey[:, 2:] - grey[:, :-2]
    energy = np.hypot(down, across)
    direction = np.arctan2(down, across) * (_ORIENTATIONS / np.pi) % _ORIENTATIONS
    lower = np.floor(direction).astype(np.intp)
    upper_share = direction - lower
    base = _cell_index() * _ORIENTATIONS
    size = _CELLS * _CELLS * _ORIENTATIONS
    lower %= _ORIENTATIONS
    votes = np.bincount((base + lower).ravel(), (energy * (1 - upper_share)).ravel(), size)
    votes += np.bincount((base + (lower + 1) % _ORIENTATIONS).ravel(), (energy * upper_share).ravel(), size)
    energies: Block = np.sqrt(votes)
    return energies


def _texture(grey: Vector) -> Block:
    """Shares of the 59 uniform binary patterns of the 8 neighbours, the flat pattern left out."""
    centre = grey[1:-1, 1:-1]
    pattern = np.zeros(centre.shape, dtype=np.uint8)
    for bit, (row, column) in enumerate(((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))):
        neighbour = grey[row : row + SIDE - 2, column : column + SIDE - 2]
        pattern |= (neighbour > centre + 2).astype(np.uint8) << np.uint8(bit)
    counts = np.bincount(_uniform_patterns()[pattern.ravel()], minlength=_PATTERNS)
    counts[0] = 0
    shares: Block = np.sqrt(counts)
    return shares


@lru_cache(maxsize=1)
def _cell_index() -> NDArray[np.intp]:
    cell = np.arange(SIDE) // _CELL
    return cell[:, None] * _CELLS + cell[None, :]


@lru_cache(maxsize=1)
def _uniform_patterns() -> NDArray[np.intp]:
    """Pattern -> bin: the 58 patterns with at most two changes around the circle have one each, all others share the last."""
    bins = np.full(256, _PATTERNS - 1, dtype=np.intp)
    uniform = [p for p in range(256) if (p ^ ((p >> 1) | (p & 1) << 7)).bit_count() <= 2]
    bins[uniform] = np.arange(_PATTERNS - 1)
    return bins
