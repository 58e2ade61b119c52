"""`rank` and `select`: check the arguments, form the clusters, leave copies out, let the strategy arrange the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from presel.concurrency.blocks import each
from presel.errors import InputError
from presel.selection.checks import (
    cluster_labels,
    embedding_matrix,
    finite_lengths,
    finite_rows,
    real_number,
    row_mask,
    whole_number,
)
from presel.selection.duplicates import SLACK, closest, copies_of_earlier, unit_rows
from presel.selection.strategies.clusters import Cluster, Rows, chances, clusters_of, id_array, id_order
from presel.selection.strategies.orders import STRATEGIES, Kept

WHERE = "presel.selection.strategies"
CLOSEST = 16
"""Clusters around one in which its copies are looked for."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """All pickable rows of a task in pick order, and the copies left out.

    rows int64[p], clusters int64[p] (labels), centrality float32[p], rank_in_cluster int64[p] (0 = the cluster's first
    pick). Centrality is rounded to 1e-6: later digits are the CPU's. copies int64[c] are left out;
    copy_of int64[c] is the kept or chosen row each repeats most, cosine float32[c].
    `len(ranking)` is the task's supply.
    """

    rows: Rows
    clusters: Rows
    centrality: NDArray[np.float32]
    rank_in_cluster: Rows
    copies: Rows
    copy_of: Rows
    cosine: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)


def select(
    embeddings: ArrayLike,
    labels: ArrayLike,
    budget: int,
    *,
    available: ArrayLike | None = None,
    strategy: str = "presel",
    ids: ArrayLike | None = None,
    seed: int = 0,
    near_duplicate: float | None = None,
    chosen: ArrayLike | None = None,
) -> Rows:
    """Row numbers of the first `min(budget, supply)` picks of `rank`, in pick order. budget >= 0."""
    wanted = whole_number(budget, WHERE, name="budget", least=0)
    ranking = rank(
        embeddings,
        labels,
        available=available,
        chosen=chosen,
        strategy=strategy,
        ids=ids,
        seed=seed,
        near_duplicate=near_duplicate,
        wanted=wanted,
    )
    return ranking.rows[:wanted]


def rank(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    available: ArrayLike | None = None,
    chosen: ArrayLike | None = None,
    held: ArrayLike | None = None,
    strategy: str = "presel",
    ids: ArrayLike | None = None,
    seed: int = 0,
    near_duplicate: float | None = None,
    across: bool = False,
    wanted: int | None = None,
) -> Ranking:
    """The whole pick order of the available rows.

    embeddings float[n, d]; labels int[n]; available bool[n] (None: all). chosen bool[n]: rows taken elsewhere (the
    reference set), never picked, but they cover their cluster and, with the guard on, their copies are left out.
    held bool[n], None: none: rows picked by an earlier selection; as chosen, and each holds a seat of its cluster.
    near_duplicate in (0, 1]: the cosine from which a row of the same cluster counts as a copy of an earlier pick;
    None: no guard (paper). across: a copy of a pick of a neighbouring cluster counts, too. ids: unique str or int a row; ties
    break by id and nothing depends on the order of rows.
    seed >= 0 moves only `random`, `balanced` and the start of `kcentre`. wanted: picks that will be used (only `kcentre`
    stops there). Raises InputError for shapes that differ, an unknown strategy, a threshold or seed out of range, ids
    that repeat or are neither all str nor all int, and a row that is available or chosen and holds NaN or infinity or
    whose length is not 0 or 1e-18 to 1e19.
    """
    vectors = embedding_matrix(embeddings, WHERE)
    count = len(vectors)
    groups = cluster_labels(labels, count, WHERE)
    seated = row_mask(held, count, WHERE, name="held", default=False)
    taken = row_mask(chosen, count, WHERE, name="chosen", default=False) | seated
    pickable = row_mask(available, count, WHERE, name="available", default=True) & ~taken
    finite_rows(~(pickable | taken) | finite_lengths(vectors), WHERE)
    start = whole_number(seed, WHERE, name="seed", least=0)
    _check(strategy, near_duplicate)
    names = None if ids is None else id_array(ids, count, WHERE)
    by_id, chance = id_order(names, count, WHERE), chances(names, count, start)
    clusters = clusters_of(vectors, groups, pickable, taken, seated, by_id, chance)
    if not clusters:
        return _ranking(vectors, [], np.zeros(0, dtype=np.int64), groups)
    plan = STRATEGIES[strategy]
    guarded = each(lambda one: _guard(vectors, one, plan.best_first(vectors, one), near_duplicate), clusters)
    if across and near_duplicate is not None:
        beside = np.concatenate([one.taken for one in clusters])
        guarded = _guarded_across(vectors, guarded, near_duplicate, np.setdiff1d(np.flatnonzero(taken), beside))
    kept = [one.kept for one in guarded]
    picks = plan.arrange(vectors, kept, count if wanted is None else wanted)
    return _ranking(vectors, guarded, picks, groups)


@dataclass(frozen=True, slots=True)
class _Guarded:
    kept: Kept
    copies: Rows
    copy_of: Rows
    cosine: NDArray[np.float32]


def _guard(vectors: NDArray[np.float32], cluster: Cluster, order: Rows, threshold: float | None) -> _Guarded:
    """A cluster without the members that repeat a better one."""
    if threshold is None:
        nothing = np.zeros(0, dtype=np.int64)
        return _Guarded(Kept(cluster, order), nothing, nothing, np.zeros(0, dtype=np.float32))
    rows = cluster.members[order]
    copy_of, cosine = copies_of_earlier(vectors[rows], vectors[cluster.taken], threshold)
    copy = copy_of >= 0
    origin = np.concatenate([cluster.taken, rows])[copy_of[copy]]
    return _Guarded(Kept(cluster, order[~copy]), rows[copy], origin, cosine[copy])


def _guarded_across(
    vectors: NDArray[np.float32], guarded: list[_Guarded], threshold: float, alone: Rows
) -> list[_Guarded]:
    """Without what repeats a row of a neighbouring cluster that comes before, by size and then label, or was taken there.

    The largest cluster keeps the scene: its picks have most seats. Only the CLOSEST clusters by centroid are compared, so
    the cost stays that of a few clusters. alone: rows taken in clusters that have nothing left to pick; all are compared.
    """
    order = sorted(
        range(len(guarded)), key=lambda n: (-len(guarded[n].kept.cluster.members), guarded[n].kept.cluster.label)
    )
    centres = unit_rows(np.array([vectors[guarded[n].kept.cluster.members].mean(axis=0) for n in range(len(guarded))]))
    place = {n: at for at, n in enumerate(order)}
    found = list(guarded)
    for n in order:
        near = np.argsort(-(centres @ centres[n]), kind="stable")[: CLOSEST + 1].tolist()
        others = sorted((m for m in near if m != n), key=place.__getitem__)
        before = [found[m].kept.rows for m in others if place[m] < place[n]]
        taken = [found[m].kept.cluster.taken for m in others]
        found[n] = _without(vectors, found[n], np.concatenate([*before, *taken, alone]), threshold)
    return _resolved(found)


def _resolved(guarded: list[_Guarded]) -> list[_Guarded]:
    """Where what a copy repeats was left out itself, that one's original is named."""
    origin = {c: o for one in guarded for c, o in zip(one.copies.tolist(), one.copy_of.tolist(), strict=True)}

    def first(row: int) -> int:
        while row in origin:
            row = origin[row]
        return row

    return [
        replace(one, copy_of=np.array([first(row) for row in one.copy_of.tolist()], dtype=np.int64)) for one in guarded
    ]


def _without(vectors: NDArray[np.float32], one: _Guarded, anchors: Rows, threshold: float) -> _Guarded:
    """A cluster without the members that repeat one of the anchors."""
    rows = one.kept.rows
    nearest, value = closest(vectors[rows], vectors[anchors])
    copy = value >= threshold - SLACK
    return _Guarded(
        Kept(one.kept.cluster, one.kept.places[~copy]),
        np.concatenate([one.copies, rows[copy]]),
        np.concatenate([one.copy_of, anchors[nearest[copy]]]) if copy.any() else one.copy_of,
        np.concatenate([one.cosine, value[copy]]),
    )


def _ranking(vectors: NDArray[np.float32], guarded: list[_Guarded], picks: Rows, labels: Rows) -> Ranking:
    centrality = np.full(len(vectors), np.nan, dtype=np.float32)
    for one in guarded:
        centrality[one.kept.cluster.members] = one.kept.cluster.centrality
    empty = np.zeros(0, dtype=np.int64)
    return Ranking(
        rows=picks,
        clusters=labels[picks],
        centrality=centrality[picks].round(6),
        rank_in_cluster=_counted(labels[picks]),
        copies=np.concatenate([empty, *(one.copies for one in guarded)]),
        copy_of=np.concatenate([empty, *(one.copy_of for one in guarded)]),
        cosine=np.concatenate([np.zeros(0, dtype=np.float32), *(one.cosine for one in guarded)]),
    )


def _counted(labels: Rows) -> Rows:
    """How many earlier entries carry the same label."""
    order = np.argsort(labels, kind="stable")
    # The lowest label wraps to the highest: still another one.
    starts = np.flatnonzero(np.diff(labels[order], prepend=labels[order[:1]] - 1))
    lengths = np.diff(np.append(starts, len(labels)))
    counted = np.empty(len(labels), dtype=np.int64)
    counted[order] = np.arange(len(labels)) - np.repeat(starts, lengths)
    return counted


def _check(strategy: str, near_duplicate: float | None) -> None:
    if not isinstance(strategy, str) or strategy not in STRATEGIES:
        raise InputError("unknown strategy", where=WHERE, expected=f"one of {sorted(STRATEGIES)}", got=strategy)
    if near_duplicate is None:
        return
    if not 0 < real_number(near_duplicate, WHERE, name="near_duplicate", expected="(0, 1]") <= 1:
        raise InputError("`near_duplicate` is out of range", where=WHERE, expected="(0, 1]", got=near_duplicate)
