"""A task's clusters as the strategies see them: members in id order, so that no result depends on row order.

Every sum and every tie below this point runs over rows sorted by id. Where chance is asked for, a row's number comes
from its id and the seed alone (a 64-bit mix), not from a generator's position: a pool that grows keeps the order of the
rows it had.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from presel.concurrency.blocks import each
from presel.errors import InputError
from presel.selection.centrality import cluster_members, member_centrality

NEIGHBOURS = 5
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cluster:
    """members: row numbers of the available rows by ascending id, with their centrality (float32) and chance (uint64).
    taken: rows of this cluster that were chosen elsewhere (the reference set, kept samples), by ascending id.
    held: how many of these hold a seat of the cluster already."""

    label: int
    members: Rows
    taken: Rows
    centrality: NDArray[np.float32]
    chance: NDArray[np.uint64]
    held: int = 0


def clusters_of(
    embeddings: NDArray[np.float32],
    labels: Rows,
    pickable: NDArray[np.bool_],
    taken: NDArray[np.bool_],
    held: NDArray[np.bool_],
    by_id: Rows,
    chance: NDArray[np.uint64],
) -> list[Cluster]:
    """Clusters with at least one pickable member, by ascending label. by_id: row numbers in id order."""
    ordered = labels[by_id]
    members = [by_id[places] for places in cluster_members(ordered, pickable[by_id])]
    others = {int(ordered[places[0]]): by_id[places] for places in cluster_members(ordered, taken[by_id])}
    holders, seats = np.unique(labels[held], return_counts=True)
    seated = dict(zip(holders.tolist(), seats.tolist(), strict=True))
    nothing = np.zeros(0, dtype=np.int64)
    values = each(lambda rows: member_centrality(embeddings, rows, NEIGHBOURS), members)
    found = [(int(labels[rows[0]]), rows, value) for rows, value in zip(members, values, strict=True)]
    return [
        Cluster(label, rows, others.get(label, nothing), value, chance[rows], seated.get(label, 0))
        for label, rows, value in found
    ]


def id_order(ids: NDArray[Any] | None, rows: int, where: str) -> Rows:
    """Row numbers by ascending id (str or int, unique); by row number when there are no ids."""
    if ids is None:
        return np.arange(rows)
    order = np.argsort(ids, kind="stable").astype(np.int64)
    repeated = np.flatnonzero(ids[order][1:] == ids[order][:-1])
    if len(repeated):
        raise InputError("ids repeat", where=where, expected="unique ids", got=str(ids[order][repeated[0]]))
    return order


def id_array(ids: ArrayLike, rows: int, where: str) -> NDArray[Any]:
    """The ids as an array of strings or of integers; anything else, or both, is an InputError."""
    # As objects first: numpy would turn a list of both into strings without a word.
    given = ids if isinstance(ids, np.ndarray) else np.asarray(ids, dtype=object)
    if given.shape != (rows,):
        raise InputError("`ids` must name every row", where=where, expected=f"[{rows}]", got=list(given.shape))
    if given.dtype.kind in "iuUS" or rows == 0:
        return given
    kinds = {"str" if isinstance(one, str) else type(one).__name__ for one in given.tolist()}
    if kinds not in ({"str"}, {"bytes"}, {"int"}):
        raise InputError("ids are of the wrong kind", where=where, expected="all str or all int", got=sorted(kinds))
    plain = np.asarray(given.tolist())
    return plain if kinds == {"int"} and plain.dtype.kind in "iu" else given


def chances(ids: NDArray[Any] | None, rows: int, seed: int) -> NDArray[np.uint64]:
    """A uniform 64-bit number a row, from its id and the seed (splitmix64's finaliser; strings by BLAKE2 first)."""
    names = np.arange(rows) if ids is None else ids
    if names.dtype.kind in "iu":
        words = names.astype(np.uint64)
    else:
        digests = b"".join(hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in names.tolist())
        words = np.frombuffer(digests, dtype=np.uint64)
    salt = hashlib.blake2b(str(int(seed)).encode(), digest_size=8).digest()
    return _mixed(_mixed(words) + np.frombuffer(salt, dtype=np.uint64))


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
