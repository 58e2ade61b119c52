"""Coverage picks: a cluster's members in the order in which they cover the cluster.

Facility location: F(S) = sum over members j of max over s in S of cos(j, s). The greedy pick adds the most to F, given
the reference images and the earlier picks; being submodular, F loses at most 1 - 1/e of the best. Plain top-centrality
takes neighbours of the same dense spot; here the second pick has little left to gain there. Centrality stays as the
prior: it counts as one more member's worth of coverage, and decides alone once everything is covered.

A pick changes only the members that it covers better than before, so gains are corrected for those columns alone; all m
picks of a cluster cost about m^2 log m instead of m^3. Clusters above PART members are dealt into parts of equal size
by id (GreeDi, Mirzasoleiman et al. 2013) to bound memory at PART^2 similarities.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from presel.selection.duplicates import unit_rows
from presel.selection.strategies.clusters import Cluster

PART = 4096


def facility_order(embeddings: NDArray[np.float32], cluster: Cluster, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places (into `cluster.members`, ascending) in pick order; every member counts as something to cover."""
    parts = -(-len(cluster.members) // PART)
    part = np.arange(len(cluster.members)) % parts
    taken = unit_rows(embeddings[cluster.taken])
    orders = []
    for p in range(parts):
        inside = np.flatnonzero(part == p)
        candidates = places[part[places] == p]
        similar = unit_rows(embeddings[cluster.members[inside]])
        covered = (similar @ taken.T).max(axis=1).clip(min=0) if len(taken) else np.zeros(len(inside))
        cosines = similar[np.searchsorted(inside, candidates)] @ similar.T
        orders.append(candidates[_greedy(cosines, covered, cluster.centrality[candidates])])
    turn = np.concatenate([np.arange(len(order)) for order in orders])
    return np.concatenate(orders)[np.argsort(turn, kind="stable")]


def _greedy(
    cosines: NDArray[np.float32], covered: NDArray[np.floating], prior: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Pick order of the candidates (rows) against what is to be covered (columns)."""
    cover = covered.astype(np.float32)
    gain = np.maximum(cosines - cover, 0).sum(axis=1, dtype=np.float64) + prior
    picks = np.empty(len(cosines), dtype=np.int64)
    for step in range(len(cosines)):
        # Rounded, so that the gains of exact copies tie and the lowest id comes first.
        pick = int(gain.round(5).argmax())
        picks[step] = pick
        better = np.flatnonzero(cosines[pick] > cover)
        before, after = cover[better], cosines[pick, better]
        columns = cosines[:, better]
        gain -= (np.maximum(columns, before) - np.maximum(columns, after) + (after - before)).sum(
            axis=1, dtype=np.float64
        )
        cover[better] = after
        gain[pick] = -np.inf
    return picks
