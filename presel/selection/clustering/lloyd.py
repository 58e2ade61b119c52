"""Plain Lloyd and the two measures every engine shares: the nearest centroid, and the inertia."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Labels = NDArray[np.int64]


def lloyd(rows: Matrix, centroids: Matrix, limit: int) -> Matrix:
    """Centroids after assigning and averaging until no label changes; empty clusters restart at the farthest rows."""
    labels = np.full(len(rows), -1, dtype=np.int64)
    for _ in range(limit):
        nearest, distance = assign(rows, centroids)
        if np.array_equal(nearest, labels):
            break
        labels = nearest
        centroids = _means(rows, labels, centroids, distance)
    return centroids


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
