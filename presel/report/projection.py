"""A flat picture of the pool: which points to show, and where.

Honest first. The points are a uniform sample of all samples (ids are hashes, so the first ones in id order are one), never
more of the picked ones than there are: a map that showed every pick beside a thinned-out pool would flatter the selection.
t-SNE, because selection is about neighbours and t-SNE keeps neighbours, where the first two principal components of ten
tasks are one cloud; started from those components, so that the large order stays theirs; and with the share of
neighbours it kept printed below it. Its distances between islands mean nothing, which the caption says too.

1,500 points take about 5 s on a busy core (500 steps; 1,000 steps look the same and take twice as long) and come out the
same for one thread and for two. Time grows faster than points, so beyond LANDMARKS the others are placed beside the landmarks
that they are most like; the share of neighbours that is printed is measured over all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POINTS = 20_000
"""Samples on the map at most."""
LANDMARKS = 2_000
"""So many are placed by t-SNE; the others beside those that they are most like."""
_NEIGHBOURS = 10
_PROBES = 3_000
_FEW = 30
"""Below it there are no neighbourhoods to keep: principal components."""


@dataclass(frozen=True)
class Projection:
    """Positions in the unit square (float32 [n, 2]), and how they came about."""

    positions: NDArray[np.float32]
    method: str
    kept: float | None
    """Share of the 10 nearest neighbours that are among the 10 nearest on the map, 0 to 1; None for too few points."""
    placed: int = 0
    """How many lie beside landmarks rather than where t-SNE put them."""


def project(vectors: NDArray[np.float32], seed: int = 0) -> Projection:
    """Unit vectors float32 [n, d] to the unit square. The same for the same vectors in the same order."""
    if len(vectors) <= _FEW:
        return Projection(_unit_square(_components(vectors, 2)), "principal components", None)
    from sklearn.manifold import TSNE

    reduced = _components(vectors, 50)
    marks = reduced[:LANDMARKS]
    tsne = TSNE(2, perplexity=min(30.0, (len(marks) - 1) / 3), init="pca", max_iter=500, random_state=seed)
    flat = tsne.fit_transform(marks)
    if len(reduced) > len(marks):
        flat = np.concatenate([flat, _beside(reduced[LANDMARKS:], marks, flat, seed)])
    return Projection(_unit_square(flat), "t-SNE", neighbours_kept(reduced, flat), len(reduced) - len(marks))


def _beside(
    points: NDArray[np.float32], marks: NDArray[np.float32], flat: NDArray[np.float32], seed: int
) -> NDArray[np.float32]:
    """Each point by its nearest landmark: on the way to the second and third where these lie near by on the map, and off by
    a little, drawn by the seed, so that points do not cover each other."""
    from sklearn.neighbors import NearestNeighbors

    distance, near = NearestNeighbors(n_neighbors=min(3, len(marks))).fit(marks).kneighbors(points)
    apart, _ = NearestNeighbors(n_neighbors=1).fit(flat).kneighbors()
    step = float(np.median(apart))
    first = flat[near[:, 0]]
    close = np.linalg.norm(flat[near] - first[:, None], axis=-1) < 8 * step
    weight = np.where(close, 1 / np.maximum(distance, 1e-9), 0.0)
    middle = (flat[near] * weight[..., None]).sum(axis=1) / weight.sum(axis=1, keepdims=True)
    shaken = np.random.default_rng(seed).normal(scale=step / 2, size=middle.shape)
    return np.asarray(middle + shaken, dtype=np.float32)


def neighbours_kept(high: NDArray[np.float32], low: NDArray[np.float32], k: int = _NEIGHBOURS) -> float:
    """Mean share of a point's `k` nearest in `high` that are among its `k` nearest in `low`; over the first 3,000 points."""
    from sklearn.neighbors import NearestNeighbors

    probes = np.arange(min(len(high), _PROBES))

    def near(points: NDArray[np.float32]) -> list[NDArray[np.int64]]:
        found = NearestNeighbors(n_neighbors=k + 1).fit(points).kneighbors(points[probes], return_distance=False)
        return [row[row != own][:k] for own, row in zip(probes, found, strict=True)]

    shared = [len(np.intersect1d(one, other)) for one, other in zip(near(high), near(low), strict=True)]
    return float(np.mean(shared)) / k


def _components(vectors: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Principal components by an exact eigendecomposition; a sign convention makes them unique."""
    centred = (
        vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64, keepdims=True) if len(vectors) else vectors
    )
    if min(centred.shape) == 0:
        return np.zeros((len(vectors), count), dtype=np.float32)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :count]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    found = (centred @ axes).astype(np.float32)
    return np.pad(found, ((0, 0), (0, max(0, count - found.shape[1]))))


def _unit_square(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each axis from 0 to 1: the map's aspect means as little as its axes."""
    low, high = points.min(axis=0, initial=0.0), points.max(axis=0, initial=0.0)
    if len(points):
        low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    placed: NDArray[np.float32] = np.where(high > low, (points - low) / span, 0.5).astype(np.float32)
    return placed
