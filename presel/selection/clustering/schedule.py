"""The plan for large problems: good starts, near passes, swaps, and a wide pass at the end.

    seeds            greedy k-means++ inside coarse cells of a sample                      (seeding)
    first labels     the nearest seed of the row's own coarse cell                         n (cells + seeds a cell) d
    near passes      each row against the WIDTH nearest centroids of its own               n WIDTH d
    candidate lists  for the near passes: centroids that moved, and those near them, against all           k k d
    swaps            useless centroids move to bad clusters, two near passes after each    n d
    wide passes      against all centroids while n k d is small, else through a projection n k d, or n k d / 8

With k = n / 100 two lines grow faster than n: the wide passes with n k, and the lists with k k, which the second of two
near passes therefore does without. Measured figures, also for what did not help, are in docs/performance-notes.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from presel.selection.clustering.passes import NearPasses, cell_pass, exact_pass, projected_pass
from presel.selection.clustering.seeding import Seeds, seeds
from presel.selection.clustering.state import Matrix, State
from presel.selection.clustering.swaps import Swapper

WIDTH = 20
FIRST_PASSES = 3
SWAP_ROUNDS = {"fast": 2, "default": 6, "best": 16}
STARTS = {
    "fast": ((math.inf, 1),),
    "default": ((1e7, 6), (1e8, 3), (math.inf, 1)),
    "best": ((1e8, 12), (1e9, 4), (math.inf, 2)),
}
"""(n k d up to which, starts): swaps repair most of a poor start, so more starts pay only where they cost nothing."""
WIDE_PASSES = {"fast": 1, "default": 2, "best": 6}
EXACT_WORK = 3e10
"""Up to this n k d (one pass: 0.7 s of one core) wide passes are exact."""
CHEAP_WORK = 1e9
"""Up to this n k d wide passes go on until no row moves, at most UNTIL_STILL of them."""
UNTIL_STILL = 100
SETTLED = 0.001
"""Share of moving rows under which passes stop."""
STILL = 1e-3
"""A centroid that moved less than this share of the mean squared error counts as still."""


def cluster(rows: Matrix, k: int, seed: int, quality: str) -> tuple[Matrix, NDArray[np.int64], int]:
    """(centroids float32[k, d], labels int64[n], passes): of several starts where they are cheap, the best."""
    work = float(len(rows)) * k * rows.shape[1]
    return best_of(rows, k, seed, quality, lambda start: _run(rows, start, quality, work))


def best_of(
    rows: Matrix, k: int, seed: int, quality: str, run: Callable[[Seeds], tuple[State, int]]
) -> tuple[Matrix, NDArray[np.int64], int]:
    """What the best of several runs leaves: (centroids, labels, passes). How many starts there are depends on the work."""
    work = float(len(rows)) * k * rows.shape[1]
    starts = next(count for most, count in STARTS[quality] if work <= most)
    state, passes = min((run(seeds(rows, k, seed, n)) for n in range(starts)), key=lambda one: one[0].inertia())
    return state.centroids, state.labels, passes


def _run(rows: Matrix, start: Seeds, quality: str, work: float) -> tuple[State, int]:
    state = State(rows, start.rows)
    cell_pass(state, start)
    state.update(0.0)
    near = NearPasses(state, WIDTH)
    passes = _near(state, near, FIRST_PASSES)
    swapper = Swapper(state)
    for _ in range(SWAP_ROUNDS[quality]):
        if not swapper.swap():
            break
        passes += _near(state, near, 2)
    return state, passes + _wide(state, near, quality, work)


def _wide(state: State, near: NearPasses, quality: str, work: float) -> int:
    """Passes against all centroids; the last step is an assignment, so that labels fit the centroids."""
    limit, settled = (UNTIL_STILL, 0.0) if work <= CHEAP_WORK else (WIDE_PASSES[quality], SETTLED)
    for done in range(1, limit + 1):
        _update(state, still=0.0)
        if work <= EXACT_WORK:
            moved = exact_pass(state)
        else:
            moved = projected_pass(state, settled)
            _near(state, near, 2)
        if moved <= settled * len(state.rows):
            return done
    return limit


def _near(state: State, near: NearPasses, limit: int) -> int:
    for done in range(1, limit + 1):
        _update(state)
        # The second of a pair of passes reuses the candidate lists of the first.
        if near.run(refresh=not (limit == 2 and done == 2)) <= SETTLED * len(state.rows):
            return done
    return limit


def _update(state: State, still: float = STILL) -> None:
    state.update(still * state.inertia() / len(state.rows))
