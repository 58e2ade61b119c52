"""How much of a task its picks stand for: the curve behind "is 15 % enough?".

An image is covered when some pick (or reference image) lies within a cosine of it. One ranking answers for all budgets,
since budgets nest: each image has a first pick that covers it, and the curve counts those. Comparing 200,000 images
with 100,000 picks would take minutes, so the share is measured on up to `sample` images drawn by the seed; 4,000 give
it to within 1.6 percentage points (95 %), and smaller tasks are measured whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from presel.errors import InputError
from presel.selection.checks import (
    array,
    embedding_matrix,
    finite_lengths,
    finite_rows,
    real_number,
    row_mask,
    whole_number,
)
from presel.selection.duplicates import SLACK, unit_rows

WHERE = "presel.selection.coverage.coverage_curve"
BLOCK = 1024


def coverage_curve(
    embeddings: ArrayLike,
    picks: ArrayLike,
    budgets: ArrayLike,
    *,
    cosine: float,
    chosen: ArrayLike | None = None,
    sample: int = 4000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Share of the images within `cosine` of one of the first b picks, for each b of `budgets`.

    embeddings float[n, d], all images of one task; picks int[p] row numbers in pick order; budgets int[m] (beyond p
    counts all picks); cosine in (-1, 1]; chosen bool[n]: rows that cover from the start (the reference set). Returns
    float64[m] in [0, 1], never falling as b grows; 0 for an empty task. Raises InputError for picks or budgets that are
    not whole or out of range, and for NaN or infinity in a row that was looked at.
    """
    rows = embedding_matrix(embeddings, WHERE)
    order = _row_numbers(picks, len(rows) - 1, name="picks")
    if not -1 < real_number(cosine, WHERE, name="cosine", expected="(-1, 1]") <= 1:
        raise InputError("`cosine` is out of range", where=WHERE, expected="(-1, 1]", got=cosine)
    anchors = np.flatnonzero(row_mask(chosen, len(rows), WHERE, name="chosen", default=False))
    size = min(len(rows), whole_number(sample, WHERE, name="sample", least=1))
    start = whole_number(seed, WHERE, name="seed", least=0)
    seen = np.sort(np.random.default_rng(start).choice(len(rows), size, replace=False)) if size else anchors[:0]
    _finite(rows, seen, anchors, order)
    first = _first_cover(unit_rows(rows[seen]), rows, np.concatenate([anchors, order]), cosine - SLACK)
    limits = np.minimum(_row_numbers(budgets, None, name="budgets"), len(order)) + len(anchors)
    return np.searchsorted(np.sort(first), limits, side="left") / max(1, len(seen))


def _row_numbers(value: ArrayLike, most: int | None, *, name: str) -> NDArray[np.int64]:
    found = array(value, WHERE, name=name)
    whole = found.dtype.kind in "iu" or found.size == 0
    if found.ndim != 1 or not whole or (found < 0).any() or (most is not None and (found > most).any()):
        limit = "whole numbers >= 0" if most is None else f"whole numbers 0..{most}"
        raise InputError(f"`{name}` is out of range", where=WHERE, expected=limit, got=str(found)[:80])
    return found.astype(np.int64)


def _finite(rows: NDArray[np.float32], *used: NDArray[np.int64]) -> None:
    wanted = np.unique(np.concatenate(used))
    good = np.ones(len(rows), dtype=np.bool_)
    good[wanted] = finite_lengths(rows[wanted])
    finite_rows(good, WHERE)


def _first_cover(
    images: NDArray[np.float32], rows: NDArray[np.float32], order: NDArray[np.int64], cosine: float
) -> NDArray[np.int64]:
    """Position in `order` of the first row within the cosine of each image; len(order) when there is none."""
    first = np.full(len(images), len(order), dtype=np.int64)
    open_images = np.arange(len(images))
    for start in range(0, len(order), BLOCK):
        if len(open_images) == 0:
            break
        near = images[open_images] @ unit_rows(rows[order[start : start + BLOCK]]).T >= cosine
        hit = near.any(axis=1)
        first[open_images[hit]] = start + near[hit].argmax(axis=1)
        open_images = open_images[~hit]
    return first
