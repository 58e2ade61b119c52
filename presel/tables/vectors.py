"""From a table's vector column to a matrix of unit rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from presel.selection import unit


def unit_vectors(table: pa.Table) -> npt.NDArray[np.float32]:
    """float32 [n, d], rows of length one: float16 on disk is off by up to 1e-3, so they are normalised again."""
    column = table["vector"]
    dimensions = column.type.list_size
    blocks = (chunk.flatten().to_numpy(zero_copy_only=False).reshape(-1, dimensions) for chunk in column.chunks)
    return unit.unit_vectors(blocks, len(column), dimensions)
