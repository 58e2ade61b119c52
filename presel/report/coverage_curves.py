"""What the money buys: the share of the pool that has an instructed image close by, as answers are bought one after another.

"Close" is set by the pool itself, task by task: the median cosine of an image to its fifth nearest neighbour, five being the
method's own neighbourhood. Beside the plan's picks stands a random choice of as many images from the same tasks (the mean of
three draws), because a curve that rises proves nothing alone: the difference is what the selection adds. It can be
negative, and then it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from presel.selection.coverage import coverage_curve

STEPS = 20
_NEIGHBOURS = 5
_PROBES = 500
_SEED = 0
_DRAWS = 3


@dataclass(frozen=True)
class TaskCoverage:
    """One task: how many images stand behind it, and the covered shares (float64 [STEPS + 1]) along its quota."""

    images: int
    picks: int
    planned: NDArray[np.float64]
    random: NDArray[np.float64]


@dataclass(frozen=True)
class Coverage:
    """Over the pool: records instructed at each step, and the share of images covered, 0 to 1."""

    records: tuple[float, ...]
    planned: tuple[float, ...]
    random: tuple[float, ...]


def of_task(vectors: NDArray[np.float32], picks: NDArray[np.int64], reference: NDArray[np.bool_]) -> TaskCoverage:
    """Unit vectors float32 [n, d] of all images; picks as row numbers in pick order; reference bool [n]."""
    close = closeness(vectors)
    budgets = np.rint(np.linspace(0, len(picks), STEPS + 1)).astype(np.int64)
    free = np.flatnonzero(~reference)

    def covered(order: NDArray[np.int64]) -> NDArray[np.float64]:
        return coverage_curve(vectors, order, budgets, cosine=close, chosen=reference)

    chances = [np.random.default_rng([_SEED, draw]).permutation(free)[: len(picks)] for draw in range(_DRAWS)]
    return TaskCoverage(
        len(vectors), len(picks), covered(picks), np.mean([covered(order) for order in chances], axis=0)
    )


def closeness(vectors: NDArray[np.float32]) -> float:
    """Median cosine to the fifth nearest neighbour, over up to 500 images. Within (-1, 1]; 1 for a single image."""
    if len(vectors) < 2:
        return 1.0
    probes = np.random.default_rng(_SEED).permutation(len(vectors))[:_PROBES]
    cosine = vectors[probes] @ vectors.T
    cosine[np.arange(len(probes)), probes] = -np.inf
    k = min(_NEIGHBOURS, len(vectors) - 1)
    nearest = np.partition(cosine, -k, axis=1)[:, -k]
    return float(np.clip(np.median(nearest), -0.999, 1.0))


def together(tasks: Sequence[TaskCoverage], reference: int) -> Coverage | None:
    """The pool's curve: every task as far along its quota, its images counted alike. None when nothing was picked."""
    images, picks = sum(task.images for task in tasks), sum(task.picks for task in tasks)
    if not images or not picks:
        return None
    shares = np.array([task.images for task in tasks], dtype=np.float64) / images
    planned = shares @ np.stack([task.planned for task in tasks])
    random = shares @ np.stack([task.random for task in tasks])
    records = reference + picks * np.linspace(0, 1, STEPS + 1)
    return Coverage(tuple(records.tolist()), tuple(planned.tolist()), tuple(random.tolist()))
