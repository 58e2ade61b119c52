"""The six strategies as data: who comes first inside a cluster, and which cluster is asked next.

A strategy is two choices. `best_first` orders a cluster's members; the duplicate guard walks that order, so of two
copies the better one stays. `arrange` merges the clusters' remaining members into one pick order. Seats always count a
cluster's *available* members, copies included: what the guard leaves out is replaced by the cluster's next, and only a
cluster that runs out hands its seats on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from presel.concurrency.blocks import each
from presel.selection.centrality import nearest_cosines
from presel.selection.strategies.clusters import Cluster, Rows
from presel.selection.strategies.facility_location import facility_order
from presel.selection.strategies.farthest_first import farthest_first

TYPICALITY_NEIGHBOURS = 20
"""TypiClust's K (its authors take min(20, cluster size))."""

Matrix = NDArray[np.float32]


class Kept(NamedTuple):
    """A cluster and the places of its members that the guard left in, best first."""

    cluster: Cluster
    places: Rows

    @property
    def rows(self) -> Rows:
        return self.cluster.members[self.places]


class Strategy(NamedTuple):
    best_first: Callable[[Matrix, Cluster], Rows]
    arrange: Callable[[Matrix, Sequence[Kept], int], Rows]


def _central_first(_: Matrix, cluster: Cluster) -> Rows:
    return np.argsort(-cluster.centrality, kind="stable")


def _lucky_first(_: Matrix, cluster: Cluster) -> Rows:
    return np.argsort(cluster.chance, kind="stable")


def _id_first(_: Matrix, cluster: Cluster) -> Rows:
    return np.arange(len(cluster.members))


def _typical_first(embeddings: Matrix, cluster: Cluster) -> Rows:
    """By mean Euclidean distance to the nearest neighbours, smallest first (typicality is its inverse)."""
    count = len(cluster.members)
    if count == 1:
        return np.zeros(1, dtype=np.int64)
    rows = embeddings[cluster.members].astype(np.float64)
    blocks = nearest_cosines(rows, np.arange(count), min(TYPICALITY_NEIGHBOURS, count - 1))
    distance = np.concatenate([np.sqrt(np.maximum(0, 2 - 2 * block)).mean(axis=1) for block in blocks])
    return np.argsort(distance.round(6), kind="stable")


def _proportional(_: Matrix, kept: Sequence[Kept], __: int) -> Rows:
    """Sainte-Lague over available members, one seat after another; equal claims to the lowest label.

    Seats that are held count, and their holders count as members, as they did when they were picked: the sequence goes on.
    """
    return _by_seats(
        kept, lambda one, seat: -(len(one.cluster.members) + one.cluster.held) / (2 * (seat + one.cluster.held) + 1)
    )


def _equal(_: Matrix, kept: Sequence[Kept], __: int) -> Rows:
    return _by_seats(kept, lambda one, seat: (seat + one.cluster.held).astype(np.float64))


def _least_covered(_: Matrix, kept: Sequence[Kept], __: int) -> Rows:
    """The cluster with the fewest rows taken, of those the largest."""
    most = 1 + max(len(one.cluster.members) for one in kept)
    return _by_seats(kept, lambda one, seat: seat + len(one.cluster.taken) - len(one.cluster.members) / most)


def _covering(embeddings: Matrix, kept: Sequence[Kept], wanted: int) -> Rows:
    def ordered(one: Kept) -> Kept:
        return Kept(one.cluster, facility_order(embeddings, one.cluster, np.sort(one.places)))

    return _proportional(embeddings, each(ordered, kept), wanted)


def _shuffled(_: Matrix, kept: Sequence[Kept], __: int) -> Rows:
    rows = np.concatenate([one.rows for one in kept])
    chance = np.concatenate([one.cluster.chance[one.places] for one in kept])
    return rows[np.argsort(chance, kind="stable")]


def _farthest(embeddings: Matrix, kept: Sequence[Kept], wanted: int) -> Rows:
    rows = np.concatenate([one.rows for one in kept])
    chance = np.concatenate([one.cluster.chance[one.places] for one in kept])
    taken = np.concatenate([one.cluster.taken for one in kept])
    if not len(rows):  # every member repeats a row that was chosen elsewhere
        return rows
    return rows[farthest_first(embeddings[rows], embeddings[taken], first=int(chance.argmin()), wanted=wanted)]


def _by_seats(kept: Sequence[Kept], claim: Callable[[Kept, Rows], NDArray[np.floating]]) -> Rows:
    """Members in the order of their seats' claims, smallest first; equal claims to the lowest label.

    Exact: the quotients of whole numbers below 2^25 are equal as floats only when they are equal.
    """
    rows = np.concatenate([one.rows for one in kept])
    claims = np.concatenate([claim(one, np.arange(len(one.places))) for one in kept])
    return rows[np.argsort(claims, kind="stable")]


STRATEGIES: dict[str, Strategy] = {
    "presel": Strategy(_central_first, _proportional),
    "coverage": Strategy(_central_first, _covering),
    "typiclust": Strategy(_typical_first, _least_covered),
    "balanced": Strategy(_lucky_first, _equal),
    "kcentre": Strategy(_id_first, _farthest),
    "random": Strategy(_lucky_first, _shuffled),
}
