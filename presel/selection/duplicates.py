"""Near-duplicates inside a cluster: a row that repeats an earlier pick is never picked.

Centrality rewards density, and nothing is denser than a clump of copies: the released scripts give 20 of 20 picks to
one clump of near-identical images. The guard walks a cluster best first and leaves out every row whose cosine to a row
kept before it (or to a row already paid for) reaches the threshold. It looks inside one cluster at a time, as METHOD
says: near-identical rows share their nearest centroid, and all pairs of 200,000 rows are 100 times the comparisons of
one exact k-means pass. The row that stays is always the better one, so a smaller budget is still a prefix of a larger.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 512
USUAL_THRESHOLD = 0.98
"""Where nothing is known of what the encoder makes of a retake."""
_EXCEEDED_BY, _ORDINARY = 0.95, 0.99
SLACK = 1e-6
"""Float32 cosines err by up to 4e-7: without slack a threshold of 1 would miss exact copies."""


def calibrated_threshold(retakes: NDArray[np.floating], others: NDArray[np.floating]) -> float:
    """The cosine from which two images of this pool, seen by this encoder, are takes of one scene.

    retakes float[r]: cosines of images to retakes of themselves, of which 95 % exceed the threshold. others float[o]: cosines
    of images to random others of their task; the threshold is never below what 99 % of them stay under, or ordinary
    neighbours would count as copies. Without retakes USUAL_THRESHOLD.
    """
    if len(retakes) == 0:
        return USUAL_THRESHOLD
    found = float(np.quantile(retakes, 1 - _EXCEEDED_BY))
    bound = float(np.quantile(others, _ORDINARY)) if len(others) else -1.0
    return round(min(max(found, bound), 1.0), 6)


def copies_of_earlier(
    rows: NDArray[np.float32], anchors: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Which rows repeat an anchor or an earlier kept row.

    rows float32[m, d] best first; anchors float32[c, d], taken already; threshold: cosine in (-1, 1]. Returns
    (copy_of int64[m], cosine float32[m]): copy_of is -1 for a row that is kept, else the most similar of those it
    repeats: i < c for anchor i, c + j for row j. Rows are compared with kept rows only, so chains of gradual change
    are thinned, not swallowed whole. Memory: two copies of the cluster and BLOCK similarities a row.
    """
    count = len(anchors)
    unit = unit_rows(np.concatenate([anchors, rows]))
    kept = np.empty_like(unit)
    kept[:count] = unit[:count]
    source = list(range(count))
    copy_of = np.full(len(rows), -1, dtype=np.int64)
    cosine = np.zeros(len(rows), dtype=np.float32)
    for start in range(0, len(rows), BLOCK):
        block = unit[count + start : count + start + BLOCK]
        fresh = _block_copies(block, kept[: len(source)], threshold - SLACK)
        for i, (nearest, value) in fresh.items():
            copy_of[start + i] = source[nearest] if nearest >= 0 else count + start - nearest - 1
            cosine[start + i] = value
        new = np.flatnonzero(copy_of[start : start + len(block)] < 0)
        kept[len(source) : len(source) + len(new)] = block[new]
        source.extend((count + start + new).tolist())
    return copy_of, cosine


def closest(rows: NDArray[np.float32], anchors: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each row the place of the most similar anchor and their cosine; 0 and -1 where there are no anchors."""
    nearest, value = np.zeros(len(rows), dtype=np.int64), np.full(len(rows), -1.0, dtype=np.float32)
    if not len(anchors):
        return nearest, value
    unit, others = unit_rows(rows), unit_rows(anchors)
    for start in range(0, len(rows), BLOCK):
        cosines = unit[start : start + BLOCK] @ others.T
        nearest[start : start + BLOCK], value[start : start + BLOCK] = cosines.argmax(axis=1), cosines.max(axis=1)
    return nearest, value


def _block_copies(
    block: NDArray[np.float32], kept: NDArray[np.float32], threshold: float
) -> dict[int, tuple[int, float]]:
    """Row of the block -> (index into `kept`, or -1 - i for row i of the block; cosine), for rows that are copies."""
    inside = block @ block.T
    inside[np.triu_indices(len(block))] = -np.inf
    outside = block @ kept.T if len(kept) else np.full((len(block), 1), -np.inf, dtype=np.float32)
    nearest, value = outside.argmax(axis=1), outside.max(axis=1)
    copies: dict[int, tuple[int, float]] = {}
    for i in np.flatnonzero((value >= threshold) | (inside.max(axis=1) >= threshold)).tolist():
        # A row of this block that is itself a copy is no pick, so it cannot make others copies.
        inside[i, list(copies)] = -np.inf
        j = int(inside[i].argmax())
        if max(float(value[i]), float(inside[i, j])) < threshold:
            continue
        copies[i] = (int(nearest[i]), float(value[i])) if value[i] >= inside[i, j] else (-1 - j, float(inside[i, j]))
    return copies


def nearest(rows: NDArray[np.float32], others: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Which of `others` each row is most like, and the cosine: int64[n], float32[n].

    rows float32[n, d], others float32[m, d], m > 0, both of unit length. Memory: BLOCK times m similarities.
    """
    place, cosine = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        alike = rows[start : start + BLOCK] @ others.T
        best = alike.argmax(axis=1)
        place[start : start + BLOCK], cosine[start : start + BLOCK] = best, alike[np.arange(len(best)), best]
    return place, cosine


def unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows at length 1; a zero row stays zero, so its cosine to anything is 0."""
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    unit = np.zeros_like(rows)
    np.divide(rows, length, out=unit, where=length > 0)
    return unit
