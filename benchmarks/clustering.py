"""k-means side by side: scikit-learn as the released scripts call it, faiss, and ours, on the same seeded vectors.

    python -m benchmarks.clustering                       50,000 clustered and diffuse, every way (about 2 minutes)
    python -m benchmarks.clustering --cases 200k 200k-diffuse --ways ours faiss10
    python -m benchmarks.clustering --cases 200k --ways sklearn          about 11 minutes of one core
    python -m benchmarks.clustering --cases 1m --ways ours

Each way runs in a process of its own, one after another, and makes its vectors there: the peak memory is its own, and
its CPU-seconds can be compared even when other work shares the machine (wall times then cannot). Inertia is measured by
one function for all of them. `ours-repeat` runs on one, two and four threads and says whether labels and centroids are
the same bytes; `ours-facts` says what memory was asked for and how many rows have a nearer centroid than their own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from typing import Any

import numpy as np

from benchmarks.pools import Matrix, clustered, diffuse

CASES = {
    "250": (250, 768, 2, True),
    "50k": (50_000, 768, 500, True),
    "50k-diffuse": (50_000, 768, 500, False),
    "200k": (200_000, 768, 2_000, True),
    "200k-diffuse": (200_000, 768, 2_000, False),
    "1m": (1_000_000, 256, 10_000, True),
}
WAYS = ("ours", "faiss10", "faiss25", "sklearn", "ours-repeat", "ours-facts")


def vectors(case: str) -> tuple[Matrix, int]:
    n, d, k, real = CASES[case]
    return (clustered(n, d, k * 6 // 5, seed=1) if real else diffuse(n, d, seed=1)), k


def inertia(rows: Matrix, centroids: Matrix) -> float:
    """Sum of squared distances to the nearest centroid, in blocks, float64 accumulation."""
    square, total = np.einsum("ij,ij->i", centroids, centroids), 0.0
    for start in range(0, len(rows), 4096):
        block = rows[start : start + 4096]
        nearest = (square - 2 * (block @ centroids.T)).min(axis=1) + np.einsum("ij,ij->i", block, block)
        total += float(nearest.sum(dtype=np.float64))
    return total


def fit(way: str, rows: Matrix, k: int) -> Matrix:
    if way.startswith("faiss"):
        import faiss

        model = faiss.Kmeans(rows.shape[1], k, niter=int(way[5:]), seed=1, max_points_per_centroid=len(rows))
        model.train(rows)
        return np.asarray(model.centroids)
    if way == "sklearn":
        from sklearn.cluster import KMeans

        return np.asarray(KMeans(n_clusters=k, random_state=1).fit(rows).cluster_centers_)
    from presel.selection.clustering import kmeans

    return kmeans(rows, k, seed=1, device="cpu").centroids


def facts(rows: Matrix, k: int) -> dict[str, object]:
    """Memory that was allocated beside the embeddings, and how far the labels are from nearest (8,000 rows)."""
    import tracemalloc

    from presel.selection.clustering import kmeans

    tracemalloc.start()
    found = kmeans(rows, k, seed=1, device="cpu")
    peak = tracemalloc.get_traced_memory()[1] / rows.nbytes
    tracemalloc.stop()
    seen = np.random.default_rng(0).choice(len(rows), min(8000, len(rows)), replace=False)
    part, own = rows[seen], found.labels[seen]
    squared = np.einsum("ij,ij->i", found.centroids, found.centroids) - 2 * (part @ found.centroids.T)
    lost = squared[np.arange(len(seen)), own] - squared.min(axis=1)
    return {
        "memory beside the embeddings / embeddings": round(peak, 2),
        "rows with a nearer centroid, %": round(100 * float((lost > 1e-6).mean()), 2),
        "by which share of the inertia, %": round(100 * float(lost.sum()) * len(rows) / len(seen) / found.inertia, 4),
    }


def repeat(rows: Matrix, k: int) -> bool:
    """Whether one, two and four threads give the same bytes."""
    import os

    from presel.selection.clustering import kmeans

    found = set()
    for threads in ("1", "2", "4"):
        os.environ["OMP_NUM_THREADS"] = threads
        result = kmeans(rows, k, seed=1, device="cpu")
        found.add(result.labels.tobytes() + result.centroids.tobytes())
    return len(found) == 1


def measure(case: str, way: str, answer: Any) -> None:
    rows, k = vectors(case)
    row: dict[str, object] = {"case": case, "way": way}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    if way == "ours-repeat":
        row["same bytes for 1, 2 and 4 threads"] = repeat(rows, k)
    elif way == "ours-facts":
        row |= facts(rows, k)
    else:
        centroids = fit(way, rows, k)
        row |= {"wall s": round(time.perf_counter() - wall, 1), "CPU s": round(time.process_time() - cpu, 1)}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / rows.nbytes
        row |= {
            "peak memory / embeddings": round(peak, 2),
            "of it before the fit": round(before * 1024 / rows.nbytes, 2),
        }
        row["inertia"] = round(inertia(rows, centroids), 1)
    answer.put(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["50k", "50k-diffuse"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["ours", "faiss10", "faiss25", "sklearn"])
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    for case in arguments.cases:
        for way in arguments.ways:
            answer = context.Queue()
            process = context.Process(target=measure, args=(case, way, answer))
            process.start()
            print(json.dumps(answer.get()), flush=True)
            process.join()


if __name__ == "__main__":
    main()
