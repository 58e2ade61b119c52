"""k-means side by side: scikit-learn as the released scripts call it, faiss, and ours, on the same seeded vectors.

    python -m benchmarks.clustering                       50,000 clustered and diffuse, every way (about 2 minutes)
    python -m benchmarks.clustering --cases 200k 200k-diffuse --ways ours faiss10
    python -m benchmarks.clustering --cases 200k --ways sklearn          about 11 minutes of one core
    python -m benchmarks.clustering --cases 1m --ways ours

Each way runs in a process of its own, one after another, and makes its vectors there: the peak memory is its own, and
its CPU-seconds can be compared even when other work shares the machine (wall times then cannot). Inertia is measured by
one function for all of them. `ours-repeat` runs twice, on one thread and on all, and says whether the labels agree.
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
    "50k": (50_000, 768, 500, True),
    "50k-diffuse": (50_000, 768, 500, False),
    "200k": (200_000, 768, 2_000, True),
    "200k-diffuse": (200_000, 768, 2_000, False),
    "1m": (1_000_000, 256, 10_000, True),
}
WAYS = ("ours", "faiss10", "faiss25", "sklearn", "ours-repeat")


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
    from presel.clustering import kmeans

    return kmeans(rows, k, seed=1, device="cpu").centroids


def repeat(rows: Matrix, k: int) -> bool:
    """Whether one thread and several give the same labels."""
    import os

    from presel.clustering import kmeans

    labels = []
    for threads in ("1", "4"):
        os.environ["OMP_NUM_THREADS"] = threads
        labels.append(kmeans(rows, k, seed=1, device="cpu").labels)
    return bool(np.array_equal(*labels))


def measure(case: str, way: str, answer: Any) -> None:
    rows, k = vectors(case)
    row: dict[str, object] = {"case": case, "way": way}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    if way == "ours-repeat":
        row["same labels for 1 and 4 threads"] = repeat(rows, k)
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
