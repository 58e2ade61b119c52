"""One assignment pass over the rows: against all centroids, or against the few near each row's own.

The exact pass is one product of all rows with all centroids, n k d: at k = n / 100 it grows with the square of n and is
what makes plain Lloyd slow. Rows rarely move further than to a neighbour of their cluster, so the near pass compares a
cluster's members with its `width` nearest centroids only, one small product per cluster: n width d, linear in n. It
skips clusters whose neighbourhood has not moved since they were last looked at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from presel.concurrency.blocks import each
from presel.selection.clustering.lloyd import assign
from presel.selection.clustering.seeding import Seeds
from presel.selection.clustering.state import BLOCK, Ints, Matrix, State, chunks

SHORTER = 8
LEAST_DIMENSIONS = 32
SCORES = 1 << 21
PROBE = 16


class NearPasses:
    """Near passes on one state, with the candidate lists kept between them."""

    def __init__(self, state: State, width: int) -> None:
        self.state, self.width = state, width
        self.lists = state.neighbours(width, np.arange(state.k))

    def run(self, *, refresh: bool = True) -> int:
        """Move rows to the nearest candidate of their cluster, wherever one of those moved; returns how many rows did.

        Without `refresh` the lists stay as they are; a centroid that moved gets its new one when it next moves. (Making
        up for those lists in the next pass saved nothing and changed the inertia by 2 in 137,780.)
        """
        if refresh:
            self._refresh()
        state, members = self.state, self.state.members()
        active = [c for c in np.flatnonzero(state.moved[self.lists].any(axis=1)).tolist() if len(members[c])]

        def visit(places: range) -> int:
            changed = 0
            for cluster in active[places.start : places.stop]:
                rows = members[cluster]
                changed += _settle(state, rows, np.take(state.rows, rows, axis=0), self.lists[cluster])
            return changed

        moved = sum(each(visit, chunks(len(active))))
        state.moved[:] = False
        return moved

    def _refresh(self) -> None:
        """New lists for the centroids that moved, and for those that now are near one of them."""
        moved = np.flatnonzero(self.state.moved)
        self.lists[moved] = self.state.neighbours(self.width, moved)
        others = np.setdiff1d(self.lists[moved], moved)
        self.lists[others] = self.state.neighbours(self.width, others)


def exact_pass(state: State) -> int:
    """Move each row to the nearest of all centroids; returns how many rows moved."""
    everywhere = np.arange(state.k)

    def visit(start: int) -> int:
        rows = np.arange(start, min(start + BLOCK, len(state.rows)))
        return _settle(state, rows, state.rows[start : start + BLOCK], everywhere)

    return sum(each(visit, list(range(0, len(state.rows), BLOCK))))


def cell_pass(state: State, seeds: Seeds) -> None:
    """First labels: each row's nearest coarse centroid, then the nearest seed of that cell."""
    blocks = [state.rows[start : start + BLOCK] for start in range(0, len(state.rows), BLOCK)]
    cells = np.concatenate(each(lambda block: assign(block, seeds.coarse)[0], blocks))
    order = np.argsort(cells, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(cells, minlength=len(seeds.coarse)))[:-1])
    inside = [np.flatnonzero(seeds.cell == cell) for cell in range(len(groups))]
    jobs = [
        (rows[i : i + BLOCK], near)
        for rows, near in zip(groups, inside, strict=True)
        for i in range(0, len(rows), BLOCK)
    ]
    each(lambda job: _settle(state, job[0], np.take(state.rows, job[0], axis=0), job[1]), jobs)


def projected_pass(state: State, settled: float) -> int:
    """Offer each row the centroid that looks nearest in an eighth of the dimensions; it moves if that one is truly nearer.

    The dimensions are the longest axes of the centroids, where they differ most; the offer is checked in all of them.
    One block in PROBE is tried first: when no more than the share `settled` moves there, the others are left alone.
    Returns how many rows moved (from a probe alone: the estimate for all).
    """
    centre = state.centroids.mean(axis=0)
    spread = state.centroids - centre
    _, axes = np.linalg.eigh(spread.T @ spread)
    axes = np.ascontiguousarray(axes[:, -max(LEAST_DIMENSIONS, state.rows.shape[1] // SHORTER) :])
    short = spread @ axes
    # One more dimension carries |c|^2 / 2, so that the product alone ranks the centroids.
    short = np.hstack([short, -np.einsum("ij,ij->i", short, short)[:, None] / 2])
    step = max(128, min(BLOCK, SCORES // state.k))

    def visit(start: int) -> int:
        vectors = state.rows[start : start + step]
        here = slice(start, start + len(vectors))
        query = np.hstack([(vectors - centre) @ axes, np.ones((len(vectors), 1), dtype=np.float32)])
        offer = (query @ short.T).argmax(axis=1)
        difference = vectors - state.centroids[offer]
        distance = np.einsum("ij,ij->i", difference, difference)
        better = (distance < state.distance[here]) & (offer != state.labels[here])
        rows = np.flatnonzero(better) + start
        state.runner_up[rows], state.second[rows] = state.distance[rows], state.labels[rows]
        state.distance[rows] = distance[better]
        return state.relabel(rows, offer[better])

    starts = list(range(0, len(state.rows), step))
    probe = sum(each(visit, starts[::PROBE]))
    if probe * PROBE <= settled * len(state.rows):
        return probe * PROBE
    return probe + sum(each(visit, [start for i, start in enumerate(starts) if i % PROBE]))


def _settle(state: State, rows: Ints, vectors: Matrix, candidates: Ints) -> int:
    """Write the nearest and second nearest candidate of each row into the state; rows of other calls are untouched."""
    centroids = state.centroids[candidates]
    score: NDArray[np.float32] = np.einsum("ij,ij->i", centroids, centroids) - 2 * (vectors @ centroids.T)
    here = np.arange(len(rows))
    best = score.argmin(axis=1)
    square = state.square[rows]
    state.distance[rows] = np.maximum(score[here, best] + square, 0)
    if len(candidates) > 1:
        score[here, best] = np.inf
        second = score.argmin(axis=1)
        state.runner_up[rows] = np.maximum(score[here, second] + square, 0)
        state.second[rows] = candidates[second]
    return state.relabel(rows, candidates[best])
