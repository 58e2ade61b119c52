"""The moving parts of a large clustering, and the two facts every pass needs: who is in a cluster, which are near it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from presel.concurrency.blocks import each

Matrix = NDArray[np.float32]
Ints = NDArray[np.int64]
BLOCK = 2048
"""Rows a thread takes at a time; fixed, so that sums group the same way for any number of threads."""


class State:
    """rows float32[n, d]; centroids float32[k, d]; labels int64[n]; distance float32[n] squared to the own centroid,
    runner_up float32[n] squared to the second nearest seen, second int64[n] its label. touched bool[k]: gained or lost
    rows since the last update. moved bool[k]: went far enough, since the last near pass, to matter to its neighbours."""

    def __init__(self, rows: Matrix, centroids: Matrix) -> None:
        self.rows, self.centroids = rows, centroids.astype(np.float32)
        count = len(rows)
        self.square = np.concatenate(each(_squares, [rows[i : i + BLOCK] for i in range(0, count, BLOCK)]))
        self.labels = np.zeros(count, dtype=np.int64)
        self.distance = np.zeros(count, dtype=np.float32)
        self.runner_up = np.full(count, np.inf, dtype=np.float32)
        self.second = np.zeros(count, dtype=np.int64)
        self.moved = np.ones(len(centroids), dtype=np.bool_)
        self.touched = np.ones(len(centroids), dtype=np.bool_)
        self._reported = self.centroids.copy()

    @property
    def k(self) -> int:
        return len(self.centroids)

    def members(self) -> list[Ints]:
        """Rows of each cluster, ascending."""
        order = np.argsort(self.labels.astype(np.int32), kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.labels, minlength=self.k))[:-1])

    def neighbours(self, width: int, clusters: Ints) -> Ints:
        """The `width` nearest centroids of each of the clusters, itself first: int64[len(clusters), min(width, k)]."""
        width = min(width, self.k)
        square = _squares(self.centroids)

        def near(start: int) -> Ints:
            here = clusters[start : start + 128]
            score = square - 2 * (self.centroids[here] @ self.centroids.T)
            score[np.arange(len(here)), here] = -np.inf
            found = np.argpartition(score, width - 1, axis=1)[:, :width]
            return np.take_along_axis(
                found, np.lexsort((found, np.take_along_axis(score, found, axis=1)), axis=1), axis=1
            )

        parts = each(near, list(range(0, len(clusters), 128)))
        return np.concatenate([np.zeros((0, width), dtype=np.int64), *parts])

    def update(self, tolerance: float) -> None:
        """Touched centroids become the means of their rows; `moved` adds those now further than `tolerance` (squared)
        from where they were when last marked, so that slow drift is noticed too."""
        members, stale = self.members(), np.flatnonzero(self.touched)

        def mean(places: range) -> None:
            for cluster in stale[places.start : places.stop].tolist():
                if len(members[cluster]):
                    self.centroids[cluster] = self.rows[members[cluster]].mean(axis=0)

        each(mean, chunks(len(stale)))
        self.touched[:] = False
        far = _squares(self.centroids - self._reported) > tolerance
        self._reported[far] = self.centroids[far]
        self.moved |= far

    def relabel(self, rows: Ints, labels: Ints) -> int:
        """Give the rows these labels; returns how many changed."""
        before = self.labels[rows]
        changed = before != labels
        self.touched[before[changed]] = True
        self.touched[labels[changed]] = True
        self.labels[rows] = labels
        return int(changed.sum())

    def inertia(self) -> float:
        return float(self.distance.sum(dtype=np.float64))


def chunks(count: int, size: int = 32) -> list[range]:
    """0..count in ranges of `size`: enough clusters for a thread to be worth waking."""
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _squares(rows: Matrix) -> NDArray[np.float32]:
    square: NDArray[np.float32] = np.einsum("ij,ij->i", rows, rows)
    return square
