"""Who stands next to a sample: its nearest neighbour that was chosen, and its nearest that was not.

Cosines of unit vectors, exact, in blocks: one product serves both questions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 23
"""Similarities at a time: 32 MB."""


@dataclass(frozen=True)
class Nearest:
    """For each row that was asked about: which row is nearest (int64, -1 for none) and the cosine (float32)."""

    row: NDArray[np.int64]
    cosine: NDArray[np.float32]


def either_side(
    vectors: NDArray[np.float32], of: NDArray[np.int64], chosen: NDArray[np.bool_]
) -> tuple[Nearest, Nearest]:
    """The nearest chosen and the nearest other row of each row in `of`, itself left out; ties go to the lower number.

    vectors float32 [n, d] of unit length; chosen bool [n].
    """
    sides = tuple(Nearest(np.full(len(of), -1), np.zeros(len(of), np.float32)) for _ in range(2))
    rows_at_once = max(1, _BLOCK // max(1, len(vectors)))
    for start in range(0, len(of), rows_at_once):
        rows = of[start : start + rows_at_once]
        alike = vectors[rows] @ vectors.T
        alike[np.arange(len(rows)), rows] = -np.inf
        for side, wanted in zip(sides, (chosen, ~chosen), strict=True):
            _keep_best(side, np.where(wanted, alike, -np.inf), start)
    return sides[0], sides[1]


def _keep_best(side: Nearest, alike: NDArray[np.float32], start: int) -> None:
    if not alike.size:
        return
    best = alike.argmax(axis=1)
    cosine = alike[np.arange(len(best)), best]
    found = np.isfinite(cosine)
    side.row[start : start + len(best)] = np.where(found, best, -1)
    side.cosine[start : start + len(best)] = np.where(found, np.minimum(cosine, 1.0), 0.0)
