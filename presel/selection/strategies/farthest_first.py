"""k-centre's greedy 2-approximation: always the row farthest from everything taken (Gonzalez 1985).

A baseline, kept for comparison: it costs one product of all rows with each pick (n x picks x d), minutes where the
other strategies take a second, so it stops at the picks that are wanted. Only `select` knows how many are. The
pipeline ranks a task before any budget is known, so there this strategy walks to the end: n^2 d, quadratic in the task,
93 s for 8,000 picks of 20,000 rows, a hundred times that for ten times the rows. Use it for comparisons on small tasks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from presel.selection.duplicates import unit_rows


def farthest_first(
    rows: NDArray[np.float32], taken: NDArray[np.float32], *, first: int, wanted: int
) -> NDArray[np.int64]:
    """Places of up to `wanted` rows in pick order.

    rows float32[n, d] in id order, taken float32[c, d]; without taken rows the walk starts at `first`. Distances are
    compared as cosines rounded to 1e-6, so that copies tie and go by id.
    """
    rows, taken = unit_rows(rows), unit_rows(taken)
    nearest = np.full(len(rows), -np.inf, dtype=np.float32)
    for anchor in taken:
        np.maximum(nearest, np.round(rows @ anchor, 6), out=nearest)
    picks: list[int] = []
    for _ in range(min(wanted, len(rows))):
        pick = int(nearest.argmin()) if picks or len(taken) else first
        picks.append(pick)
        np.maximum(nearest, np.round(rows @ rows[pick], 6), out=nearest)
        nearest[pick] = np.inf
    return np.array(picks, dtype=np.int64)
