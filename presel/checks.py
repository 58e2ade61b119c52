"""What the arithmetic accepts as an argument, said once.

Arithmetic is called from stages that have already turned bad *data* into rejects, and from notebooks that have not. A
NaN that slips through here would not fail: it would win or lose every comparison and quietly move other images' ranks.
So each public function checks shape, type and range on entry and raises `InputError`, which names the argument. Finite
values are checked by the callers where a norm is at hand anyway (looking at every value of 200,000 x 768 costs
0.4 CPU-seconds, half of neighbour centrality).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from presel.errors import InputError


def embedding_matrix(value: ArrayLike, where: str) -> NDArray[np.float32]:
    """`value` as a C-contiguous float32 matrix; a view when it already is one."""
    matrix = np.asarray(value)
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        raise InputError(
            "embeddings must be a numeric matrix, one row a sample",
            where=where,
            expected="float32[n, d]",
            got=f"{matrix.dtype}{list(matrix.shape)}",
        )
    if matrix.shape[1] == 0:
        raise InputError("embeddings have no dimensions", where=where, expected="d >= 1", got="d = 0")
    return np.ascontiguousarray(matrix, dtype=np.float32)


def cluster_labels(value: ArrayLike, rows: int, where: str) -> NDArray[np.int64]:
    """One integer a row; any values, gaps allowed."""
    labels = np.asarray(value)
    if rows == 0 and labels.size == 0:
        return np.zeros(0, dtype=np.int64)
    if labels.dtype.kind not in "iu" or labels.shape != (rows,):
        raise InputError(
            "labels must hold one integer for each row",
            where=where,
            expected=f"int[{rows}]",
            got=f"{labels.dtype}{list(labels.shape)}",
        )
    return labels.astype(np.int64)


def row_mask(value: ArrayLike | None, rows: int, where: str, *, name: str, default: bool) -> NDArray[np.bool_]:
    """One truth value a row; None means `default` for every row."""
    if value is None:
        return np.full(rows, default)
    mask = np.asarray(value)
    if mask.size == 0 and rows == 0:
        return np.zeros(0, dtype=np.bool_)
    if mask.dtype != np.bool_ or mask.shape != (rows,):
        raise InputError(
            f"`{name}` must hold one bool for each row",
            where=where,
            expected=f"bool[{rows}]",
            got=f"{mask.dtype}{list(mask.shape)}",
            fix="a list of row numbers becomes a mask with numpy.isin(numpy.arange(n), rows)",
        )
    return mask


def whole_number(value: Any, where: str, *, name: str, least: int) -> int:
    """`value` as an int of at least `least`; a float counts only when it is whole."""
    try:
        number = int(value)
        whole = number == value and not isinstance(value, bool | np.bool_)
    except (TypeError, ValueError, OverflowError):
        whole, number = False, 0
    if not whole or number < least:
        raise InputError(f"`{name}` is out of range", where=where, expected=f"a whole number >= {least}", got=value)
    return number


def finite_lengths(rows: NDArray[np.float32], block: int = 4096) -> NDArray[np.bool_]:
    """Rows whose squared length is finite: no NaN, no infinity, nothing too large to square."""
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [rows[start : start + block] for start in range(0, len(rows), block)]
        squares = [np.einsum("ij,ij->i", part, part) for part in parts]
    finite: NDArray[np.bool_] = np.isfinite(np.concatenate([np.zeros(0, dtype=np.float32), *squares]))
    return finite


def finite_rows(good: NDArray[np.bool_], where: str) -> None:
    """Raise unless every row is finite; names the first few rows that are not."""
    if good.all():
        return
    bad = np.flatnonzero(~good)
    raise InputError(
        f"{len(bad)} row(s) hold NaN, infinity or values too large to square",
        where=where,
        expected="finite values",
        got=f"rows {bad[:5].tolist()}",
        fix="make them rejects, or mark them not available",
    )
