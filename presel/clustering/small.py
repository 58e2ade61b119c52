"""Small problems: the best of several greedy k-means++ starts, each run to convergence, in plain numpy.

A task of 250 images and 2 clusters takes milliseconds, so quality is bought with restarts and nothing is compiled (the
compiled path of `large` costs seconds in a process that meets it first). The start decides more than the iterations do:
from random starts inertia stays about 5 % worse for ever, the best of 8 greedy starts lies at or below the best of
scikit-learn's ten seeds on the recorded cases.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Labels = NDArray[np.int64]
ITERATIONS = 300


def best_of_starts(rows: Matrix, k: int, seed: int, starts: int) -> tuple[Matrix, Labels, int]:
    """(centroids float32[k, d], labels int64[n], iterations of the winning start): lowest inertia, then first start."""
    best: tuple[float, Matrix, Labels, int] | None = None
    for start in range(starts):
        generator = np.random.default_rng([seed, start])
        centroids, labels, iterations = lloyd(rows, greedy_plus_plus(rows, k, generator))
        found = squared_error(rows, centroids, labels)
        if best is None or found < best[0]:
            best = (found, centroids, labels, iterations)
    assert best is not None
    return best[1:]


def greedy_plus_plus(rows: Matrix, k: int, generator: np.random.Generator) -> Matrix:
    """k-means++ that draws 2 + ln k candidates a step and keeps the one that lowers the error most (Arthur 2007)."""
    square = np.einsum("ij,ij->i", rows, rows)
    tries = 2 + int(math.log(k))
    first = int(generator.integers(len(rows)))
    picks = [first]
    error = _distances(rows, square, np.array([first]))[0]
    for _ in range(k - 1):
        mass = np.cumsum(error, dtype=np.float64)
        drawn = np.searchsorted(mass, generator.random(tries) * mass[-1], side="right").clip(max=len(rows) - 1)
        lowered = np.minimum(error, _distances(rows, square, drawn))
        best = int(lowered.sum(axis=1, dtype=np.float64).argmin())
        picks.append(int(drawn[best]))
        error = lowered[best]
    return rows[picks].copy()


def lloyd(rows: Matrix, centroids: Matrix) -> tuple[Matrix, Labels, int]:
    """Assign and average until no label changes. An empty cluster restarts at the row farthest from its centroid."""
    labels = np.full(len(rows), -1, dtype=np.int64)
    for iteration in range(1, ITERATIONS + 1):
        nearest, distance = assign(rows, centroids)
        if np.array_equal(nearest, labels):
            return centroids, labels, iteration
        labels = nearest
        centroids = _means(rows, labels, centroids, distance)
    return centroids, assign(rows, centroids)[0], ITERATIONS


def assign(rows: Matrix, centroids: Matrix) -> tuple[Labels, NDArray[np.float32]]:
    """Nearest centroid of each row (lowest label on ties) and the squared distance to it less the row's own square."""
    score = np.einsum("ij,ij->i", centroids, centroids) - 2 * (rows @ centroids.T)
    labels = score.argmin(axis=1)
    return labels, score[np.arange(len(rows)), labels]


def squared_error(rows: Matrix, centroids: Matrix, labels: Labels, block: int = 4096) -> float:
    """Inertia: the sum of squared distances to the assigned centroid, accumulated in float64 over fixed blocks."""
    total = 0.0
    for start in range(0, len(rows), block):
        difference = rows[start : start + block] - centroids[labels[start : start + block]]
        total += float(np.einsum("ij,ij->", difference, difference, dtype=np.float64))
    return total


def _distances(rows: Matrix, square: NDArray[np.float32], picks: Labels) -> Matrix:
    return np.maximum(square - 2 * (rows[picks] @ rows.T) + square[picks][:, None], 0)


def _means(rows: Matrix, labels: Labels, old: Matrix, score: NDArray[np.float32]) -> Matrix:
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    sums = np.add.reduceat(rows[order], starts, axis=0, dtype=np.float64)
    centroids = old.copy()
    centroids[present] = sums / np.diff(np.append(starts, len(rows)))[:, None]
    if len(present) < len(old):
        empty = np.setdiff1d(np.arange(len(old)), present)
        distance = score + np.einsum("ij,ij->i", rows, rows)
        far = np.argsort(-distance, kind="stable")[: len(empty)]
        far = far[distance[far] > 1e-6]
        centroids[empty[: len(far)]] = rows[far]
    return centroids
