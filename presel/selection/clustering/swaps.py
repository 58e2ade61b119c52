"""Swaps: centroids that hardly matter move to where one is missing.

Lloyd passes only slide centroids downhill; a kind that got two seeds keeps both, and two kinds that share one never part.
So: price the removal of every cluster (its rows fall to their second nearest centroid), price the split of every cluster
(a two-means along its longest axis), and move the cheapest removals to the best splits while the gain exceeds the cost.
A few such rounds do more than any number of further passes, and they cost about one near pass each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from presel.concurrency.blocks import each
from presel.selection.clustering.state import Ints, Matrix, State, chunks

MARGIN = 1.05
"""A gain must exceed its cost by this: both are estimates, and neighbours of one swap disturb another."""
POWER_STEPS = 3
TWO_MEANS_STEPS = 4


class Split(NamedTuple):
    """gain: the fall of the cluster's error; side: which members form the new cluster."""

    gain: float
    side: NDArray[np.bool_]


class Swapper:
    """Rounds of swaps on one state. A split is computed again only when the cluster's members changed since."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.splits = [Split(0.0, np.zeros(0, dtype=np.bool_))] * state.k
        self.seen: list[Ints] = [np.zeros(0, dtype=np.int64)] * state.k

    def swap(self) -> int:
        """One round; returns how many swaps it made. Labels change; centroids and distances are left stale."""
        state, members = self.state, self.state.members()
        self._refresh(members)
        lost = (state.runner_up - state.distance).astype(np.float64)
        cost = np.bincount(state.labels, weights=lost, minlength=state.k).astype(np.float64)
        pairs = _pairs(state, members, cost, np.array([one.gain for one in self.splits]))
        for removed, grown in pairs:
            state.relabel(members[removed], state.second[members[removed]])
            rows = members[grown][self.splits[grown].side]
            state.relabel(rows, np.full(len(rows), removed))
        return len(pairs)

    def _refresh(self, members: list[Ints]) -> None:
        stale = [c for c in range(self.state.k) if not np.array_equal(self.seen[c], members[c])]
        parts = each(lambda places: [self._split(members, stale[i]) for i in places], chunks(len(stale)))
        for cluster, split in zip(stale, (one for part in parts for one in part), strict=True):
            self.splits[cluster] = split
        self.seen = members

    def _split(self, members: list[Ints], cluster: int) -> Split:
        return _two_means(np.take(self.state.rows, members[cluster], axis=0))


def _pairs(
    state: State, members: list[Ints], cost: NDArray[np.float64], gain: NDArray[np.float64]
) -> list[tuple[int, int]]:
    """(cluster to remove, cluster to split), none of them touched twice; heirs of a removed cluster stay."""
    removals, growths = np.argsort(cost, kind="stable"), np.argsort(-gain, kind="stable").tolist()
    busy = np.zeros(state.k, dtype=np.bool_)
    pairs: list[tuple[int, int]] = []
    place = 0
    for removed in removals.tolist():
        heirs = np.unique(state.second[members[removed]])
        if busy[removed] or busy[heirs].any():
            continue
        while place < len(growths) and (busy[growths[place]] or growths[place] == removed):
            place += 1
        if place == len(growths) or gain[growths[place]] <= MARGIN * cost[removed]:
            break
        grown = growths[place]
        if (heirs == grown).any():
            continue
        busy[[removed, grown]] = True
        busy[heirs] = True
        pairs.append((removed, grown))
    return pairs


def _two_means(rows: Matrix) -> Split:
    """Two-means from the longest axis, found by a few power iterations."""
    count = len(rows)
    if count < 2:
        return Split(0.0, np.zeros(count, dtype=np.bool_))
    offset = rows - rows.mean(axis=0)
    axis = offset[np.einsum("ij,ij->i", offset, offset).argmax()]
    for _ in range(POWER_STEPS):
        axis = (offset @ axis) @ offset
        axis /= max(float(np.sqrt(axis @ axis)), 1e-30)
    side = offset @ axis > 0
    gain = 0.0
    for _ in range(TWO_MEANS_STEPS):
        inside = int(side.sum())
        if inside in (0, count):
            return Split(0.0, np.zeros(count, dtype=np.bool_))
        one = side.astype(np.float32) @ offset
        first, rest = one / inside, -one / (count - inside)  # offsets sum to zero
        between = first - rest
        gain = float(between @ between) * inside * (count - inside) / count
        side_next = offset @ between > float(between @ (first + rest)) / 2
        if np.array_equal(side_next, side):
            break
        side = side_next
    return Split(gain, side)
