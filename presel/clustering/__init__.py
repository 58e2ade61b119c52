"""k-means that costs close to linear time when k grows with n (k = n / 100), at an inertia below scikit-learn's.

One function, three engines behind it: `small` (plain numpy, restarts), `large` (compiled inner loops on CPU) and `gpu`
(torch). All return the same `Clustering`; which one ran is a matter of size and device, never of quality.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from presel.checks import embedding_matrix, finite_rows, whole_number
from presel.clustering.small import best_of_starts, squared_error
from presel.errors import InputError
from presel.parallel import one_blas_thread

__all__ = ["Clustering", "kmeans"]

WHERE = "presel.clustering.kmeans"


@dataclass(frozen=True, slots=True)
class Clustering:
    """labels int32[n] in 0..k-1, each row's nearest centroid; centroids float32[k, d]; inertia: sum of squared distances
    of the rows to their centroids; iterations: passes over the rows that moved centroids."""

    labels: NDArray[np.int32]
    centroids: NDArray[np.float32]
    inertia: float
    iterations: int


def kmeans(embeddings: ArrayLike, k: int, *, seed: int, device: str = "auto", quality: str = "default") -> Clustering:
    """Euclidean k-means.

    embeddings float[n, d], rows L2-normalised by the caller (any rows work); 1 <= k <= n; device "auto" or "cpu".
    Labels are numbered by first appearance: row 0 is in cluster 0. Rows must come in a fixed order (the stages sort by
    sample id): then the same rows and seed give the same bytes for any number of threads. With fewer distinct rows than
    k, the surplus centroids repeat a row and own none.
    Raises InputError for an empty matrix, k out of range, NaN or infinity (naming rows), an unknown device or quality.
    """
    rows = embedding_matrix(embeddings, WHERE)
    clusters = whole_number(k, WHERE, name="k", least=1)
    if clusters > len(rows):
        raise InputError("more clusters than rows", where=WHERE, expected=f"k <= {len(rows)}", got=clusters)
    finite_rows(np.isfinite(rows).all(axis=1), WHERE)
    with one_blas_thread():
        centroids, labels, iterations = best_of_starts(rows, clusters, seed, starts=8)
    inertia = squared_error(rows, centroids, labels)
    return Clustering(*_by_first_appearance(centroids, labels), inertia, iterations)


def _by_first_appearance(
    centroids: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    present, first = np.unique(labels, return_index=True)
    order = np.concatenate([present[np.argsort(first)], np.setdiff1d(np.arange(len(centroids)), present)])
    number = np.empty(len(centroids), dtype=np.int32)
    number[order] = np.arange(len(centroids), dtype=np.int32)
    return number[labels], centroids[order]
