"""From a table's vector column to a matrix of unit rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_BLOCK = 4096


def unit_vectors(table: pa.Table) -> npt.NDArray[np.float32]:
    """float32 [n, d], rows of length one: float16 on disk is off by up to 1e-3, so they are normalised again.

    Block by block, so that beside the table there is this one matrix and no second.
    """
    column = table["vector"]
    unit = np.empty((len(column), column.type.list_size), dtype=np.float32)
    end = 0
    for chunk in column.chunks:
        for start in range(0, len(chunk), _BLOCK):
            block = chunk.slice(start, _BLOCK)
            rows = unit[end : end + len(block)]
            rows[:] = block.flatten().to_numpy(zero_copy_only=False).reshape(rows.shape)
            rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
            end += len(block)
    return unit
