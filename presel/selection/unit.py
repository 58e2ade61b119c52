"""Rows of length one, as clustering and ranking take them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

_BLOCK = 4096


def unit_vectors(blocks: Iterable[npt.NDArray[np.floating]], rows: int, dimensions: int) -> npt.NDArray[np.float32]:
    """float32 [rows, dimensions] of length one, from matrices of any float type that follow each other; zero rows stay zero.

    Block by block, so that beside what is given there is this one matrix and no second.
    """
    unit = np.empty((rows, dimensions), dtype=np.float32)
    end = 0
    for given in blocks:
        for start in range(0, len(given), _BLOCK):
            block = given[start : start + _BLOCK]
            here = unit[end : end + len(block)]
            here[:] = block
            here /= np.maximum(np.linalg.norm(here, axis=1, keepdims=True), np.finfo(np.float32).tiny)
            end += len(block)
    return unit
