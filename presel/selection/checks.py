"""What the arithmetic accepts as an argument, said once.

Arithmetic is called from stages that have already turned bad *data* into rejects, and from notebooks that have not. A
NaN that slips through here would not fail: it would win or lose every comparison and quietly move other images' ranks.
So each public function checks shape, type and range on entry and raises `InputError`, which names the argument. Finite
values are checked by the callers where a norm is at hand anyway (looking at every value of 200,000 x 768 costs
0.4 CPU-seconds, half of neighbour centrality).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from presel.errors import InputError

SHORTEST_SQUARE = 1e-36
"""Float32 holds squares from 1.2e-38 in full precision; 768 of them must still add up."""


def embedding_matrix(value: ArrayLike, where: str) -> NDArray[np.float32]:
    """`value` as a C-contiguous float32 matrix; a view when it already is one."""
    matrix = array(value, where, name="embeddings")
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        raise InputError(
            "embeddings must be a numeric matrix, one row a sample",
            where=where,
            expected="float32[n, d]",
            got=f"{matrix.dtype}{list(matrix.shape)}",
        )
    if matrix.shape[1] == 0:
        raise InputError("embeddings have no dimensions", where=where, expected="d >= 1", got="d = 0")
    # What float32 cannot hold becomes infinite here and is named by `finite_rows`.
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(matrix, dtype=np.float32)


def cluster_labels(value: ArrayLike, rows: int, where: str) -> NDArray[np.int64]:
    """One integer a row; any values, gaps allowed."""
    labels = array(value, where, name="labels")
    if rows == 0 and labels.size == 0:
        return np.zeros(0, dtype=np.int64)
    if labels.dtype.kind not in "iu" or labels.shape != (rows,):
        raise InputError(
            "labels must hold one integer for each row",
            where=where,
            expected=f"int[{rows}]",
            got=f"{labels.dtype}{list(labels.shape)}",
        )
    if labels.dtype.kind == "u" and (labels > np.iinfo(np.int64).max).any():
        raise InputError("labels are too large", where=where, expected="int64", got=str(labels.max()))
    return labels.astype(np.int64)


def row_mask(value: ArrayLike | None, rows: int, where: str, *, name: str, default: bool) -> NDArray[np.bool_]:
    """One truth value a row; None means `default` for every row."""
    if value is None:
        return np.full(rows, default)
    mask = array(value, where, name=name)
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
        whole = bool(number == value) and not isinstance(value, bool | np.bool_)
    except (TypeError, ValueError, OverflowError):
        whole, number = False, 0
    if not whole or number < least:
        raise InputError(f"`{name}` is out of range", where=where, expected=f"a whole number >= {least}", got=value)
    return number


def array(value: ArrayLike, where: str, *, name: str) -> NDArray[Any]:
    """`value` as an array; rows of different lengths are an InputError."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"`{name}` is no array", where=where, expected="numbers", got=type(value).__name__) from error


def numbers(value: ArrayLike, where: str, *, name: str) -> NDArray[np.float64]:
    """`value` as float64, any shape; None inside becomes NaN, text is an InputError even where it spells a number."""
    given = array(value, where, name=name)
    try:
        text = given.dtype.kind not in "biufO" or (given.dtype.kind == "O" and _holds_text(given))
        if not text or given.size == 0:
            return given.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        pass
    raise InputError(f"`{name}` must hold numbers", where=where, expected="float64", got=str(given)[:80])


def real_number(value: Any, where: str, *, name: str, expected: str) -> float:
    """`value` as a float; text, None, truth values and NaN are an InputError. `expected` says the range in the message."""
    try:
        number = float(value)
        usable = not isinstance(value, str | bytes | bool | np.bool_) and not math.isnan(number)
    except (TypeError, ValueError, OverflowError):
        usable = False
    if not usable:
        raise InputError(f"`{name}` is out of range", where=where, expected=expected, got=repr(value))
    return number


def _holds_text(given: NDArray[Any]) -> bool:
    return any(isinstance(one, str | bytes) for one in given.ravel().tolist())


def finite_lengths(rows: NDArray[np.float32], block: int = 4096) -> NDArray[np.bool_]:
    """Rows whose length can be squared: no NaN, no infinity, not above 1e19 or so, and zero or at least 1e-18.

    Below, float32 squares lose their digits (subnormal) and then vanish: a cosine would come out infinite or NaN.
    """
    parts = [rows[start : start + block] for start in range(0, len(rows), block)]
    return np.concatenate([np.zeros(0, dtype=np.bool_), *(_measurable(part) for part in parts)])


def _measurable(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        square = np.einsum("ij,ij->i", rows, rows)
    good: NDArray[np.bool_] = np.isfinite(square)
    short = np.flatnonzero(square < SHORTEST_SQUARE)
    good[short] = ~rows[short].any(axis=1)
    return good


def finite_rows(good: NDArray[np.bool_], where: str) -> None:
    """Raise unless every row is finite; names the first few rows that are not."""
    if good.all():
        return
    bad = np.flatnonzero(~good)
    raise InputError(
        f"{len(bad)} row(s) hold NaN or infinity, or are too large or too small to square",
        where=where,
        expected="finite values, lengths of 0 or 1e-18 to 1e19",
        got=f"rows {bad[:5].tolist()}",
        fix="make them rejects, or mark them not available",
    )
