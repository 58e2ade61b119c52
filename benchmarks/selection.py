"""Neighbour centrality against per-cluster indexes, and what the strategies cover under the same budget.

    python -m benchmarks.selection                     all parts at 50,000 rows
    python -m benchmarks.selection --rows 200000       the size of the target (3 GB)

Centrality is timed against two peers in the same process: one exact faiss index per cluster in a plain loop, and the
bookkeeping the released scripts wrap around it (sets of ids, a dict from id to row, lists). Clusters are our k-means.
A ranking is timed whole, with and without the guard.
Coverage is the share of all rows within a cosine of a pick or a reference row (5 % at random), measured on every row.
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.pools import Matrix, clustered
from presel.selection.centrality import neighbor_centrality
from presel.selection.clustering import kmeans
from presel.selection.coverage import coverage_curve
from presel.selection.strategies import STRATEGIES, rank, select

BUDGETS = (0.05, 0.10, 0.20, 0.40)
COSINES = (0.6, 0.7)
PARTS = ("centrality", "ranking", "coverage")


def index_per_cluster(rows: Matrix, labels: NDArray[np.int32], available: NDArray[np.bool_]) -> NDArray[np.float32]:
    import faiss

    result = np.full(len(rows), np.nan, dtype=np.float32)
    for label in range(labels.max() + 1):
        members = np.flatnonzero((labels == label) & available)
        if len(members) < 2:
            continue
        index = faiss.IndexFlatIP(rows.shape[1])
        index.add(rows[members])
        found, _ = index.search(rows[members], min(5, len(members) - 1) + 1)
        result[members] = found[:, 1:].mean(axis=1)
    return result


def as_released(rows: Matrix, labels: NDArray[np.int32], available: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The same with identity kept in sets and a dict, as FORMAT.md in tests/golden describes the released function."""
    import faiss

    row_of = {identity: row for row, identity in enumerate(range(len(rows)))}
    free = set(np.flatnonzero(available).tolist())
    result = np.full(len(rows), np.nan, dtype=np.float32)
    for label in range(labels.max() + 1):
        members = list(set(np.where(labels == label)[0].tolist()) & free)
        if len(members) < 2:
            continue
        vectors = np.array([rows[row_of[identity]] for identity in members])
        index = faiss.IndexFlatIP(rows.shape[1])
        index.add(vectors)
        found, _ = index.search(vectors, min(5, len(members) - 1) + 1)
        for identity, value in zip(members, found[:, 1:].mean(axis=1).tolist(), strict=True):
            result[row_of[identity]] = value
    return result


def ours(rows: Matrix, labels: NDArray[np.int32], available: NDArray[np.bool_]) -> NDArray[np.float32]:
    return neighbor_centrality(rows, labels, available=available)


def centrality(rows: Matrix, labels: NDArray[np.int32], available: NDArray[np.bool_]) -> None:
    want: NDArray[np.float32] | None = None
    ways: list[Callable[..., NDArray[np.float32]]] = [index_per_cluster, as_released, ours]
    for way in ways * 2:
        wall, cpu = time.perf_counter(), time.process_time()
        values = way(rows, labels, available)
        spent = {"wall s": round(time.perf_counter() - wall, 2), "CPU s": round(time.process_time() - cpu, 2)}
        want = values if want is None else want
        print(
            json.dumps(
                {"centrality": way.__name__} | spent | {"largest difference": float(np.nanmax(abs(values - want)))}
            )
        )
    tracemalloc.start()
    ours(rows, labels, available)
    print(
        json.dumps({"peak memory of ours beside the embeddings, MB": round(tracemalloc.get_traced_memory()[1] / 1e6)})
    )
    tracemalloc.stop()


def ranking(rows: Matrix, labels: NDArray[np.int32], chosen: NDArray[np.bool_]) -> None:
    for guard in (None, 0.98):
        wall, cpu = time.perf_counter(), time.process_time()
        found = rank(rows, labels, near_duplicate=guard, chosen=chosen)
        spent = {"wall s": round(time.perf_counter() - wall, 2), "CPU s": round(time.process_time() - cpu, 2)}
        print(json.dumps({"ranking": len(found), "guard": guard} | spent))


def coverage(rows: Matrix, labels: NDArray[np.int32], chosen: NDArray[np.bool_]) -> None:
    counts = [round(share * len(rows)) for share in BUDGETS]
    for guard in (None, 0.98):
        for strategy in STRATEGIES:
            if strategy == "kcentre" and len(rows) > 60_000:
                continue
            wall = time.perf_counter()
            picks = select(rows, labels, counts[-1], strategy=strategy, near_duplicate=guard, chosen=chosen)
            row: dict[str, object] = {
                "strategy": strategy,
                "guard": guard,
                "wall s": round(time.perf_counter() - wall, 1),
            }
            for cosine in COSINES:
                shares = coverage_curve(rows, picks, counts, cosine=cosine, chosen=chosen, sample=20_000)
                row[f"within {cosine}"] = shares.round(3).tolist()
            print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    k = arguments.rows // 100
    rows = clustered(arguments.rows, 768, k * 6 // 5, seed=1)
    labels = kmeans(rows, k, seed=1, device="cpu").labels
    chosen = np.random.default_rng(2).random(len(rows)) < 0.05
    if "centrality" in arguments.parts:
        centrality(rows, labels, ~chosen)
    if "ranking" in arguments.parts:
        ranking(rows, labels, chosen)
    if "coverage" in arguments.parts:
        print(json.dumps({"coverage at budgets": BUDGETS}))
        coverage(rows, labels, chosen)


if __name__ == "__main__":
    main()
