"""Clustering through faiss, on a GPU: our starts and swaps, and between them faiss's own k-means.

One exact pass at n = 1 M, k = 10,000, d = 768 is 1.5e13 multiplications: a fraction of a second on a current GPU, minutes on
two cores. So there are no candidate lists here: faiss moves the centroids by Lloyd passes, its exact search names the two
nearest of every row, and our swaps move those centroids that hardly matter to where one is missing. The last step is faiss's
assignment, so that labels fit the centroids. Everything random is drawn by our plan from the seed.

A GPU sums in another order than a CPU, and so do two kinds of GPU: the clusters are as good, but they are others. That is
why nobody is sent here unasked, and why the stage's key says so. The same code runs with faiss on the CPU (`device="faiss"`),
where the tests hold it to the contract; it has not been run on a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from presel.errors import InputError, require
from presel.selection.clustering.schedule import WIDE_PASSES, best_of
from presel.selection.clustering.seeding import Seeds
from presel.selection.clustering.state import Matrix, State
from presel.selection.clustering.swaps import Swapper

WHERE = "presel.selection.clustering.kmeans"
LLOYD_PASSES = 6
SWAP_ROUNDS = 4
ON_CPU = -1


def cluster_through_faiss(
    rows: Matrix, k: int, seed: int, quality: str, gpu: int
) -> tuple[Matrix, NDArray[np.int64], int]:
    """(centroids float32[k, d], labels int64[n], passes); `gpu`: its number, or ON_CPU. See `kmeans`."""
    faiss = _faiss(gpu)
    search = _index(faiss, rows.shape[1], gpu)
    return best_of(rows, k, seed, quality, lambda start: _run(faiss, search, rows, start, quality))


def _run(faiss: Any, search: Any, rows: Matrix, start: Seeds, quality: str) -> tuple[State, int]:
    state, done = State(rows, start.rows), 0
    swapper = Swapper(state)
    for turn in range(SWAP_ROUNDS + 1):
        last = turn == SWAP_ROUNDS
        passes = LLOYD_PASSES + (WIDE_PASSES[quality] if last else 0)
        state.centroids = _lloyd(faiss, search, rows, state.centroids, passes)
        _assign(search, state)
        done += passes
        if last or not swapper.swap():
            break
        state.update(0.0)
    return state, done


def _lloyd(faiss: Any, search: Any, rows: Matrix, centroids: Matrix, passes: int) -> Matrix:
    k, dimensions = centroids.shape
    settings = faiss.ClusteringParameters()
    settings.niter, settings.nredo, settings.seed = (
        passes,
        1,
        1,
    )  # the seed is only drawn from for starts, which it is given
    settings.min_points_per_centroid, settings.max_points_per_centroid = 1, len(rows)  # every row, no sample
    run = faiss.Clustering(dimensions, k, settings)
    faiss.copy_array_to_vector(np.ascontiguousarray(centroids).ravel(), run.centroids)
    run.train(rows, search)
    return np.asarray(faiss.vector_to_array(run.centroids), dtype=np.float32).reshape(k, dimensions)


def _assign(search: Any, state: State) -> None:
    """The nearest and second nearest centroid of every row."""
    search.reset()
    search.add(state.centroids)
    distance, label = search.search(state.rows, min(2, state.k))
    state.distance = np.maximum(distance[:, 0], 0)
    if state.k > 1:
        state.runner_up, state.second = np.maximum(distance[:, 1], 0), label[:, 1].astype(np.int64)
    state.relabel(np.arange(len(state.rows)), label[:, 0].astype(np.int64))


def _index(faiss: Any, dimensions: int, gpu: int) -> Any:
    """Exact search by Euclidean distance."""
    flat = faiss.IndexFlatL2(dimensions)
    if gpu == ON_CPU:
        return flat
    held = faiss.StandardGpuResources()
    index = faiss.index_cpu_to_gpu(held, gpu, flat)
    index.presel_resources = held  # the index must not outlive them
    return index


def _faiss(gpu: int) -> Any:
    """The library, if it can do what is asked."""
    require("gpu", "clustering on a GPU")
    import faiss

    there = getattr(faiss, "get_num_gpus", lambda: 0)()
    if gpu != ON_CPU and gpu >= there:
        raise InputError(
            "faiss sees no such GPU",
            where=WHERE,
            expected=f"GPU number {gpu}",
            got=f"{there} GPUs",
            fix="check the driver, CUDA_VISIBLE_DEVICES and that faiss was built for GPUs, or set clustering.engine: cpu "
            "(other clusters of the same quality, under another key)",
        )
    return faiss
