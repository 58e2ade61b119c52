"""Neighbour centrality: how typical an image is of its cluster.

NC of an image is its mean cosine to the k = 5 nearest other available members of its cluster (PreSel, section 3.3).
The peers build one exact search index per cluster; at 200,000 images in 2,000 clusters that is 2,000 small indexes.
Here each cluster is one product of its members with themselves (BLAS computes half of it, by symmetry) and a partial
sort, clusters run on all cores, and memory is one block of similarities per thread whatever the cluster's size.

Ranks must not hang on rounding: float32 similarities differ in the last bit with the layout of a product, so exact
copies could come out in any order. Rows whose centrality lies within 1e-6 of a neighbour in rank (about 0.1 % of random rows)
are computed again in float64 and only then rounded to float32: copies tie exactly, and ties break by id. Of a large
cluster, WIDE members at a time are converted for that.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from presel.concurrency.blocks import each
from presel.selection.checks import (
    SHORTEST_SQUARE,
    cluster_labels,
    embedding_matrix,
    finite_lengths,
    finite_rows,
    row_mask,
    whole_number,
)

WHERE = "presel.selection.centrality.neighbor_centrality"
BLOCK = 1 << 22
"""Similarities held at once by a thread: 16 MB of float32."""
CLOSE = 1e-6
"""Nearer than this counts as undecided. Float32 cosines of random rows err by up to 4e-7, by up to 2e-6 where all rows
point one way; such rows are so close to each other that nearly all of them are computed again."""
WIDE = 4096
"""Members converted to float64 at once: 25 MB at 768 dimensions."""

Cosines = NDArray[np.float32] | NDArray[np.float64]


def neighbor_centrality(
    embeddings: ArrayLike, labels: ArrayLike, *, k: int = 5, available: ArrayLike | None = None
) -> NDArray[np.float32]:
    """Mean cosine of each available row to its `min(k, members - 1)` nearest available rows of the same label.

    embeddings float[n, d] (rows of length 0 or 1e-18 to 1e19: cosines are taken; a zero row has cosine 0 to all);
    labels int[n], any values; available bool[n], None for all. Returns float32[n] in [-1, 1]: 0 for a row alone in its
    cluster, NaN where not available. Raises InputError for shapes that differ, k < 1, and available rows that hold NaN
    or infinity or are shorter or longer than that.
    """
    rows = embedding_matrix(embeddings, WHERE)
    groups = cluster_labels(labels, len(rows), WHERE)
    usable = row_mask(available, len(rows), WHERE, name="available", default=True)
    neighbours = whole_number(k, WHERE, name="k", least=1)
    result = np.full(len(rows), np.nan, dtype=np.float32)

    def fill(member: NDArray[np.int64]) -> None:
        result[member] = member_centrality(rows, member, neighbours)

    each(fill, list(cluster_members(groups, usable)))
    if not np.isfinite(result[usable]).all():
        finite_rows(~usable | finite_lengths(rows), WHERE)
    return result


def cluster_members(labels: NDArray[np.int64], usable: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    """Row numbers of each label's usable rows, labels ascending, rows ascending; labels without any are skipped."""
    chosen = np.flatnonzero(usable)
    order = chosen[np.argsort(labels[chosen], kind="stable")]
    # The lowest label wraps to the highest here: still another one.
    starts = np.flatnonzero(np.diff(labels[order], prepend=labels[order[:1]] - 1)) if len(order) else order
    yield from np.split(order, starts[1:]) if len(order) else ()


def nearest_cosines(rows: Cosines, asked: NDArray[np.int64], k: int) -> Iterator[Cosines]:
    """The k < len(rows) largest cosines of the rows `asked` to the other rows, ascending, in blocks [b, k]."""
    whole = len(asked) == len(rows) and len(rows) ** 2 <= BLOCK
    # A whole cluster times itself is symmetric: numpy then computes one half (syrk), and the diagonal holds the lengths.
    first = rows @ rows.T if whole else None
    square = np.einsum("ij,ij->i", rows, rows) if first is None else first.diagonal()
    scale = _inverse_lengths(rows, square)
    step = len(asked) if whole else max(1, BLOCK // len(rows))
    for start in range(0, len(asked), step):
        block = asked[start : start + step]
        product = rows[block] @ rows.T if first is None else first
        product *= scale
        product[np.arange(len(block)), block] = -np.inf
        product.partition(len(rows) - k, axis=1)
        # The asking row's own length does not change its order: it is divided out of the k survivors alone.
        yield np.sort(product[:, len(rows) - k :] * scale[block][:, None], axis=1)


def _inverse_lengths(rows: Cosines, square: Cosines) -> Cosines:
    """1 / length, 0 for a zero row; NaN, which no result survives, for a row too short to be measured."""
    scale: Cosines = np.sqrt(np.divide(1, square, out=np.zeros_like(square), where=square > 0))
    # Half of what `finite_lengths` asks for, so that whatever is NaN here is named there.
    short = np.flatnonzero(square < SHORTEST_SQUARE / 2)
    scale[short[rows[short].any(axis=1)]] = np.nan
    return scale


def _mean_nearest_exact(rows: NDArray[np.float32], asked: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """As `_mean_nearest` in float64, with WIDE rows converted at a time."""
    parts = [asked[start : start + BLOCK // WIDE] for start in range(0, len(asked), BLOCK // WIDE)]
    return np.concatenate([_nearest_exact(rows, part, k).mean(axis=1) for part in parts])


def _nearest_exact(rows: NDArray[np.float32], asked: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """The k largest float64 cosines of the rows `asked` to the other rows, ascending."""
    own = _unit(rows[asked])
    best = np.full((len(asked), k), -np.inf)
    for start in range(0, len(rows), WIDE):
        cosines = own @ _unit(rows[start : start + WIDE]).T
        inside = np.flatnonzero((asked >= start) & (asked < start + WIDE))
        cosines[inside, asked[inside] - start] = -np.inf
        both = np.hstack([best, cosines])
        both.partition(both.shape[1] - k, axis=1)
        best = both[:, -k:]
    return np.sort(best, axis=1)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    return np.asarray(wide * _inverse_lengths(wide, np.einsum("ij,ij->i", wide, wide))[:, None])


def member_centrality(embeddings: NDArray[np.float32], members: NDArray[np.int64], k: int) -> NDArray[np.float32]:
    """Centrality of one cluster's members among themselves, in their order."""
    rows = np.take(embeddings, members, axis=0)
    if len(rows) == 1:
        return np.where(finite_lengths(rows), np.float32(0), np.float32(np.nan))
    k = min(k, len(rows) - 1)
    with np.errstate(invalid="ignore", over="ignore"):
        means = _mean_nearest(rows, np.arange(len(rows)), k)
        close = np.flatnonzero(_undecided(means))
        if len(close):
            means[close] = _mean_nearest_exact(rows, close, k)
    return means.astype(np.float32)


def _mean_nearest(rows: NDArray[np.float32], asked: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    blocks = [block.mean(axis=1, dtype=np.float64) for block in nearest_cosines(rows, asked, k)]
    return np.concatenate(blocks)


def _undecided(means: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows whose mean lies within CLOSE of the next in rank: their order is not settled by float32."""
    order = np.argsort(means, kind="stable")
    near = np.diff(means[order]) < CLOSE
    undecided = np.zeros(len(means), dtype=np.bool_)
    undecided[order[:-1][near]] = True
    undecided[order[1:][near]] = True
    return undecided
