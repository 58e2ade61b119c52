"""From a table's vector column to a matrix of unit rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def unit_vectors(table: pa.Table) -> npt.NDArray[np.float32]:
    """float32 [n, d], rows of length one: float16 on disk is off by up to 1e-3, so they are normalised again."""
    column = table["vector"].combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    matrix = flat.reshape(len(column), column.type.list_size).astype(np.float32)
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = matrix / np.maximum(norms, np.finfo(np.float32).tiny)
    return unit
