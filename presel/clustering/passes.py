"""One assignment pass over the rows: against all centroids, or against the few near each row's own.

The exact pass is one product of all rows with all centroids, n k d: at k = n / 100 it grows with the square of n and is
what makes plain Lloyd slow. Rows rarely move further than to a neighbour of their cluster, so the near pass compares a
cluster's members with its `width` nearest centroids only, one small product per cluster: n width d, linear in n. It
skips clusters whose neighbourhood has not moved since they were last looked at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from presel.clustering.lloyd import assign
from presel.clustering.seeding import Seeds
from presel.clustering.state import BLOCK, Ints, Matrix, State, chunks
from presel.parallel import each

PROJECTED = 96
PROBE = 16


def near_pass(state: State, width: int, *, everything: bool = False) -> int:
    """Move each row to the nearest of its centroid's `width` neighbours; returns how many rows moved."""
    near, members = state.neighbours(width), state.members()
    active = np.flatnonzero(state.moved[near].any(axis=1)) if not everything else np.arange(state.k)
    active = active[[len(members[c]) > 0 for c in active]] if len(active) else active

    def visit(places: range) -> int:
        changed = 0
        for cluster in active[places.start : places.stop].tolist():
            rows = members[cluster]
            changed += _settle(state, rows, np.take(state.rows, rows, axis=0), near[cluster])
        return changed

    return sum(each(visit, chunks(len(active))))


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
    """Offer each row the centroid that looks nearest in PROJECTED dimensions; it moves if that one is truly nearer.

    The dimensions are the longest axes of the centroids, where they differ most; the offer is checked in all of them.
    One block in PROBE is tried first: when no more than the share `settled` moves there, the others are left alone.
    Returns how many rows moved (from a probe alone: the estimate for all).
    """
    centre = state.centroids.mean(axis=0)
    spread = state.centroids - centre
    _, axes = np.linalg.eigh(spread.T @ spread)
    axes = np.ascontiguousarray(axes[:, -PROJECTED:])
    short = spread @ axes
    half = np.einsum("ij,ij->i", short, short) / 2

    def visit(start: int) -> int:
        vectors = state.rows[start : start + BLOCK]
        here = slice(start, start + len(vectors))
        offer = ((vectors - centre) @ axes @ short.T - half).argmax(axis=1)
        difference = vectors - state.centroids[offer]
        distance = np.einsum("ij,ij->i", difference, difference)
        better = (distance < state.distance[here]) & (offer != state.labels[here])
        rows = np.flatnonzero(better) + start
        state.runner_up[rows], state.second[rows] = state.distance[rows], state.labels[rows]
        state.distance[rows] = distance[better]
        return state.relabel(rows, offer[better])

    starts = list(range(0, len(state.rows), BLOCK))
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
