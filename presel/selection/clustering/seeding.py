"""Starts for many clusters: greedy k-means++ inside coarse cells of a sample.

Greedy k-means++ over all rows costs as much as several Lloyd passes (scikit-learn spends most of its time there).
Two savings keep its quality. A sample of PER_CENTROID rows a centroid (AT_LEAST in all) stands for the pool, since
passes over all rows follow. And the sample is cut into coarse cells: a seed only competes inside its cell, whose rows
stay in the processor's cache while its 45 seeds are drawn.
Cells receive seats in ROUNDS rounds by the error they still have, so that a cell with many kinds gets more of them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from presel.concurrency.blocks import each
from presel.selection.budget import allocate
from presel.selection.clustering.lloyd import assign, lloyd

Matrix = NDArray[np.float32]
PER_CENTROID = 16
AT_LEAST = 4096
PER_CELL = 45
ROUNDS = 8
COARSE_ITERATIONS = 8


class Cell:
    """One coarse cell of the sample while it is being seeded: `error` is each row's squared distance to its nearest seed."""

    def __init__(self, rows: Matrix, members: NDArray[np.int64], generator: np.random.Generator) -> None:
        self.members, self.generator = members, generator
        self.rows = rows[members]
        self.square = np.einsum("ij,ij->i", self.rows, self.rows)
        self.error = np.square(self.rows - self.rows.mean(axis=0)).sum(axis=1)
        self.picks: list[int] = []

    def add(self, seats: int) -> None:
        """Greedy k-means++: of 2 + ln(seats) rows drawn by error, keep the one that lowers the error most."""
        tries = 2 + int(math.log(max(seats + len(self.picks), 1)))
        for _ in range(seats):
            mass = np.cumsum(self.error, dtype=np.float64)
            drawn = np.searchsorted(mass, self.generator.random(tries) * mass[-1], side="right")
            drawn = drawn.clip(max=len(mass) - 1)
            distance = np.maximum(self.square - 2 * (self.rows[drawn] @ self.rows.T) + self.square[drawn][:, None], 0)
            lowered = np.minimum(self.error, distance) if self.picks else distance
            best = int(lowered.sum(axis=1).argmin())
            self.picks.append(int(drawn[best]))
            self.error = lowered[best]


class Seeds(NamedTuple):
    """rows float32[k, d], those of one cell together; cell int64[k], ascending; coarse float32[cells, d], each of which
    holds at least one seed."""

    rows: Matrix
    cell: NDArray[np.int64]
    coarse: Matrix


def seeds(rows: Matrix, k: int, seed: int, start: int = 0) -> Seeds:
    """k rows to start from; `start` numbers independent draws of the same seed."""
    generator = np.random.default_rng([seed, start])
    size = min(len(rows), max(AT_LEAST, PER_CENTROID * k))
    sample = rows[np.sort(generator.choice(len(rows), size, replace=False))] if size < len(rows) else rows
    coarse, labels = _coarse(sample, max(1, round(k / PER_CELL)), generator)
    order = np.argsort(labels, kind="stable")
    groups = [g for g in np.split(order, np.cumsum(np.bincount(labels))[:-1]) if len(g)]
    cells = each(lambda c: Cell(sample, groups[c], np.random.default_rng([seed, start, c])), list(range(len(groups))))
    given = 0
    for turn in range(1, ROUNDS + 1):
        room = np.array([len(cell.members) - len(cell.picks) for cell in cells])
        seats = allocate([float(cell.error.sum(dtype=np.float64)) for cell in cells], room, k * turn // ROUNDS - given)
        given += int(seats.sum())
        each(lambda turn: turn[0].add(turn[1]), list(zip(cells, seats.tolist(), strict=True)))
    used = [cell for cell in cells if cell.picks]
    picks = np.concatenate([cell.members[cell.picks] for cell in used])
    owner = np.repeat(np.arange(len(used)), [len(cell.picks) for cell in used])
    return Seeds(sample[picks], owner, coarse[[int(labels[cell.members[0]]) for cell in used]])


def _coarse(sample: Matrix, cells: int, generator: np.random.Generator) -> tuple[Matrix, NDArray[np.int64]]:
    """Coarse centroids, and labels of the sample: a few Lloyd passes on a part of it, then one assignment."""
    part = sample[np.sort(generator.choice(len(sample), min(len(sample), 100 * cells), replace=False))]
    start = part[generator.choice(len(part), cells, replace=False)]
    centroids = lloyd(part, start, COARSE_ITERATIONS)
    blocks = [slice(i, i + 4096) for i in range(0, len(sample), 4096)]
    return centroids, np.concatenate(each(lambda block: assign(sample[block], centroids)[0], blocks))
