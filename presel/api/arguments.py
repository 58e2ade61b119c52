"""Arguments as researchers pass them: lists, arrays of any float, tensors, series with any index. All are taken by position.

What is wrong with one row leaves that row out, and a warning says so; what is wrong with a whole argument is an InputError.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from presel.errors import InputError
from presel.selection.checks import embedding_matrix, finite_lengths, numbers

Rows = NDArray[np.int64]
Task: TypeAlias = "str | int"
_BLOCK = 4096


def as_array(value: Any, name: str, dtype: Any = None) -> NDArray[Any]:
    """An array of what may be a torch tensor on any device, in any float type, or a column of vectors."""
    if hasattr(value, "detach"):  # torch: numpy knows neither its gradients, nor its devices, nor its bfloat16
        value = value.detach().cpu()
        value = (value.float() if value.dtype.is_floating_point and value.dtype.itemsize == 2 else value).numpy()
    try:
        found = np.asarray(value, dtype=dtype)
        if found.dtype == object and found.ndim == 1 and len(found) and isinstance(found[0], np.ndarray | list | tuple):
            found = np.stack([np.asarray(row) for row in found])  # a data frame's column of vectors
    except (TypeError, ValueError) as error:
        got = f"{type(value).__name__}: {error}"
        raise InputError(
            f"`{name}` is no array with rows of one length", where="presel", expected="one row a sample", got=got
        ) from error
    return found


def vectors(value: Any) -> NDArray[Any]:
    """Embeddings as a matrix, one row a sample, in the float type they came in."""
    matrix = as_array(value, "embeddings")
    if matrix.size == 0 and matrix.ndim == 1:
        return np.zeros((0, 1), dtype=np.float32)
    if matrix.dtype == object:  # numbers that numpy was not told the type of: a slice of a data frame, decimals
        matrix = numbers(matrix, "presel.select", name="embeddings")
    fits = matrix.ndim == 2 and matrix.dtype.kind in "fiu"
    embedding_matrix(matrix[:1] if fits else matrix, "presel.select")  # an error names the whole shape
    return matrix


def usable(matrix: NDArray[Any]) -> NDArray[np.bool_]:
    """Rows that have a direction: finite, not zero, of a length that float32 can square."""
    good = [np.zeros(0, dtype=np.bool_)]
    for start in range(0, len(matrix), _BLOCK):
        block = embedding_matrix(matrix[start : start + _BLOCK], "presel.select")
        good.append(finite_lengths(block) & block.any(axis=1))
    return np.concatenate(good)


@dataclass(frozen=True)
class Pool:
    """The usable rows of every task: `tasks` sorted, `rows` of each by ascending id, `ids` of all n rows (str or int)."""

    tasks: list[Task]
    rows: list[Rows]
    ids: NDArray[Any]
    left_out: list[int]

    @property
    def sizes(self) -> list[int]:
        return [len(rows) for rows in self.rows]


def pool_of(tasks: Any, ids: Any, good: NDArray[np.bool_] | None, where: str) -> Pool:
    """Rows by task. `good`: rows whose embedding can be used, None where there are no embeddings.

    Rows without a task are left out as well. Raises InputError where lengths differ, tasks or ids are of mixed or
    other kinds than text and whole numbers, or an id repeats in a task.
    """
    named = labels(tasks, where, "tasks")
    count = len(named)
    if good is not None and len(good) != count:
        raise InputError("tasks must name every row", where=where, expected=f"[{len(good)}]", got=f"[{count}]")
    idents = np.arange(count) if ids is None else _ids(ids, count, where)
    known = np.array([name is not None for name in named], dtype=np.bool_)
    kept = known if good is None else known & good
    members: dict[Task, list[int]] = {}
    for row in np.flatnonzero(kept).tolist():
        members.setdefault(cast("Task", named[row]), []).append(row)
    _say_left_out(kept, known, where)
    order = sorted(members)
    rows = [_by_id(np.array(members[task], dtype=np.int64), idents, task, where) for task in order]
    return Pool(order, rows, idents, np.flatnonzero(~kept).tolist())


def labels(value: Any, where: str, name: str) -> list[Task | None]:
    """One name a row, all text or all whole numbers; None where it is missing."""
    # As objects: numpy would turn a list of both kinds into strings without a word.
    given = as_array(value, name, None if isinstance(value, np.ndarray) else object)
    if given.size == 0:
        return []
    if given.ndim != 1:
        raise InputError(f"`{name}` must hold one value a row", where=where, expected="[n]", got=list(given.shape))
    found = [_label(one) for one in given.tolist()]
    kinds = {type(one) for one in found if one is not None}
    if not kinds <= {str} and not kinds <= {int}:
        got = sorted({type(one).__name__ for one in given.tolist()})
        raise InputError(f"`{name}` are of mixed or other kinds", where=where, expected="all str or all int", got=got)
    return found


def _label(one: Any) -> Any:
    if one is None or one is _pandas_missing(one):
        return None
    if isinstance(one, float):
        return None if math.isnan(one) else int(one) if one.is_integer() else one
    return str(one) if isinstance(one, str) else one


def _pandas_missing(one: Any) -> Any:
    """`one` itself where it is pandas' NA or NaT."""
    return one if type(one).__name__ in ("NAType", "NaTType") else ...


def _ids(value: Any, count: int, where: str) -> NDArray[Any]:
    found = labels(value, where, "ids")
    if len(found) != count:
        raise InputError("`ids` must name every row", where=where, expected=f"[{count}]", got=f"[{len(found)}]")
    if None in found:
        raise InputError("an id is missing", where=where, expected="one a row", got=f"row {found.index(None)}")
    return np.array(found, dtype=np.int64 if found and isinstance(found[0], int) else object)


def _by_id(rows: Rows, ids: NDArray[Any], task: Task, where: str) -> Rows:
    order = np.argsort(ids[rows], kind="stable")
    ordered = ids[rows][order]
    again = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(again):
        raise InputError(f"ids repeat in task {task!r}", where=where, expected="unique", got=str(ordered[again[0]]))
    return rows[order]


def _say_left_out(kept: NDArray[np.bool_], known: NDArray[np.bool_], where: str) -> None:
    for bad, why in ((known & ~kept, "an embedding that is zero, not finite, or too long or short to measure"),
                     (~known, "no task")):  # fmt: skip
        rows = np.flatnonzero(bad)
        if len(rows):
            shown = ", ".join(map(str, rows[:5].tolist())) + (", ..." if len(rows) > 5 else "")
            warn(f"{where}: {len(rows)} of {len(kept)} rows are left out ({why}): {shown}")


def warn(text: str) -> None:
    """Say something that the caller should know, at the line that called presel."""
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("presel."):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(text, UserWarning, stacklevel=depth)


def reference_rows(value: Any, pool: Pool, count: int, where: str) -> list[Rows]:
    """Rows that are instructed already, by task in their order: row numbers, or one truth value a row."""
    given = as_array(value, "reference")
    if given.dtype == np.bool_ and given.shape == (count,):
        given = np.flatnonzero(given)
    whole = given.ndim == 1 and (given.size == 0 or given.dtype.kind in "iu")
    if not whole or (given.size and (given.min() < 0 or given.max() >= count)):
        expected = f"row numbers 0..{count - 1}, or bool[{count}]"
        raise InputError("`reference` is no set of rows", where=where, expected=expected, got=str(given)[:80])
    chosen = np.unique(given.astype(np.int64))
    return [rows[np.isin(rows, chosen)] for rows in pool.rows]


def scores_by_task(value: Any, tasks: Any, pool: Pool, where: str, name: str = "irs") -> list[NDArray[np.float64]]:
    """The IRS of each task, in task order; none of a task that has none.

    Numbers below 0 are an InputError; what is not finite counts as missing. `name` is the argument's.

    A mapping or a Series from task to one score or several; a data frame with columns `task` and `irs` (what
    `presel.irs` returns); or one score a row, missing where the row was not scored.
    """
    if value is None:
        return [np.zeros(0)] * len(pool.tasks)
    if hasattr(value, "columns"):
        return _of_frame(value, pool, where, name)
    count = len(labels(tasks, where, "tasks"))
    if not isinstance(value, Mapping) and not (hasattr(value, "index") and hasattr(value, "to_dict")):
        return _of_rows(value, tasks, pool, where, name)
    if not isinstance(value, Mapping) and len(value) == count:
        return _of_rows(value, tasks, pool, where, name)
    return _of_mapping(dict(value.items()), pool, where, name)


def _of_frame(frame: Any, pool: Pool, where: str, wanted: str) -> list[NDArray[np.float64]]:
    missing = [name for name in ("task", wanted) if name not in frame.columns]
    if missing:
        got = list(map(str, frame.columns))
        raise InputError("a data frame of scores needs both columns", where=where, expected=f"task, {wanted}", got=got)
    found: dict[Any, list[float]] = {}
    for task, score in zip(labels(frame["task"], where, "task"), _numbers(frame[wanted], where, wanted), strict=True):
        found.setdefault(task, []).append(score)
    found.pop(None, None)
    return _of_mapping(found, pool, where, wanted)


def _of_mapping(found: Mapping[Any, Any], pool: Pool, where: str, name: str) -> list[NDArray[np.float64]]:
    named = {_label(task): np.asarray(_numbers(score, where, name)) for task, score in found.items()}
    unknown = [task for task in named if task not in set(pool.tasks)]
    if unknown:
        warn(f"{where}: `{name}` names tasks that no usable row has: {', '.join(map(str, unknown[:5]))}")
    return [named.get(task, np.zeros(0)) for task in pool.tasks]


def _of_rows(value: Any, tasks: Any, pool: Pool, where: str, name: str) -> list[NDArray[np.float64]]:
    score, named = np.asarray(_numbers(value, where, name)), labels(tasks, where, "tasks")
    if score.shape != (len(named),):
        expected = f"one a row [{len(named)}], or a mapping from task to score"
        raise InputError(f"`{name}` does not fit the rows", where=where, expected=expected, got=list(score.shape))
    place = {task: at for at, task in enumerate(pool.tasks)}
    found: list[list[float]] = [[] for _ in pool.tasks]
    for task, one in zip(named, score.tolist(), strict=True):
        if task in place and math.isfinite(one):
            found[place[task]].append(one)
    return [np.asarray(values, dtype=np.float64) for values in found]


def _numbers(value: Any, where: str, name: str) -> list[float]:
    missing = [None if one is _pandas_missing(one) else one for one in np.atleast_1d(as_array(value, name)).tolist()]
    found = numbers(np.array(missing, dtype=object), where, name=name).ravel()
    if (found < 0).any():  # neither a ratio of losses nor a weight can be
        raise InputError(f"`{name}` holds negative numbers", where=where, expected=">= 0", got=str(found.min()))
    return list(found.tolist())


def names(pool: Pool, rows: Sequence[int] | Rows) -> list[str]:
    """Ids of rows as the reference draw reads them."""
    return [str(one) for one in pool.ids[np.asarray(rows, dtype=np.int64)].tolist()]
