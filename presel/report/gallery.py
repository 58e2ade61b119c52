"""Which samples a page shows: few, chosen by rule, so that a gallery cannot be prettier than the selection.

Of each task's picks those at even steps through the order in which they were picked, first and last included; of its
scored reference samples those at either end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

Row = Mapping[str, Any]
T = TypeVar("T")
Sides = tuple[Sequence[Row], Sequence[Row]]
"""Lowest IRS first, highest first."""
PER_TASK = 12
ALTOGETHER = 168
"""At 10 kB a thumbnail and a third more in base64, 2.2 MB of a page of 4.5; the ends of tasks are another 2.1."""


@dataclass(frozen=True)
class Shown:
    """All samples that a page shows."""

    gallery: Mapping[str, Sequence[Row]]
    extremes: Sides
    ends: Mapping[str, Sides]

    def rows(self) -> Iterator[Row]:
        """Some of them twice."""
        return chain(*self.gallery.values(), *self.extremes, *chain(*self.ends.values()))

    def completed(self, known: Mapping[str, Row]) -> Shown:
        """The same with the rows that `known` has of these samples."""

        def complete(rows: Sequence[Row]) -> list[Row]:
            return [known[row["sample_id"]] for row in rows]

        low, high = self.extremes
        return Shown(
            {task: complete(rows) for task, rows in self.gallery.items()},
            (complete(low), complete(high)),
            {task: (complete(low), complete(high)) for task, (low, high) in self.ends.items()},
        )


def choose(selection: pa.Table, scored: Sequence[Row]) -> Shown:
    """`selection`: CHOSEN, `sample_id`, `task` and `outcome` at least. `scored`: `sample_id`, `task` and `irs`."""
    return Shown(picks_to_show(selection), relevance_extremes(scored), task_ends(scored))


def picks_to_show(selection: pa.Table, per_task: int = PER_TASK, altogether: int = ALTOGETHER) -> dict[str, list[Row]]:
    """Task to some of its instructed picks, in the order in which they were picked, which is that of `selection`."""
    answered = selection.filter(pc.not_equal(selection["outcome"], "refused"))
    tasks = sorted(pc.unique(answered["task"]).to_pylist())
    room = max(1, min(per_task, altogether // max(1, len(tasks))))
    shown: dict[str, list[Row]] = {}
    for task in tasks[:altogether]:
        of_task = answered.filter(pc.equal(answered["task"], task))
        shown[task] = of_task.take(spread(range(len(of_task)), room)).to_pylist()
    return shown


def relevance_extremes(scored: Sequence[Row], count: int = 6) -> tuple[list[Row], list[Row]]:
    """Scored reference samples with the lowest and with the highest IRS, at most one per task on either side at first.

    Returns two lists of at most `count`, lowest first and highest first, that share no sample.
    """
    ordered = sorted(scored, key=lambda row: (row["irs"], row["sample_id"]))
    count = min(count, len(ordered) // 2)
    return _varied(ordered, count), _varied(ordered[::-1], count)


def task_ends(scored: Sequence[Row], each: int = 5, altogether: int = 160) -> dict[str, tuple[list[Row], list[Row]]]:
    """Task to its reference samples of lowest and of highest IRS, at most `each` a side, as `presel explain --task` has them.

    Many tasks share the room; of more tasks than there is room for, those that come last by name are left out.
    """
    by_task: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(scored, key=lambda row: (row["irs"], row["sample_id"])):
        by_task[row["task"]].append(row)
    each = max(1, min(each, altogether // (2 * max(1, len(by_task)))))
    found = {}
    for task in sorted(by_task)[: altogether // (2 * each)]:
        rows = by_task[task]
        low = min(each, (len(rows) + 1) // 2)
        found[task] = (rows[:low], rows[::-1][: min(each, len(rows) - low)])
    return found


def _varied(rows: Sequence[Row], count: int) -> list[Row]:
    """The first of each task, then the rest, all from the first half: the other half belongs to the other end."""
    half = rows[: len(rows) // 2]
    best: dict[str, Row] = {}
    for row in half:
        best.setdefault(row["task"], row)
    rest = [row for row in half if best[row["task"]] is not row]
    return [*best.values(), *rest][:count]


def spread(rows: Sequence[T], count: int) -> list[T]:
    """So many of them at even steps, the first and the last included."""
    if len(rows) <= count:
        return list(rows)
    if count == 1:
        return [rows[0]]
    return [rows[round(i * (len(rows) - 1) / (count - 1))] for i in range(count)]
