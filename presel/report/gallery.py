"""Which samples a page shows: few, chosen by rule, so that a gallery cannot be prettier than the selection.

Of each task's picks those at even steps through the order in which they were picked, first and last included; of its
scored reference samples those at either end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from presel.formats import CHOSEN_ORIGINS

Row = Mapping[str, Any]
PER_TASK = 12
ALTOGETHER = 168
"""At 10 kB a thumbnail and a third more in base64, 2.2 MB of a page of 4.5; the ends of tasks are another 2.1."""


def picks_to_show(
    records: Sequence[Row], order: Mapping[str, int], per_task: int = PER_TASK, altogether: int = ALTOGETHER
) -> dict[str, list[Row]]:
    """Task to some of its selected records, by order. `order` maps sample id to the pick's place in its task."""
    by_task: dict[str, list[Row]] = defaultdict(list)
    for record in records:
        if record["origin"] in CHOSEN_ORIGINS:
            by_task[record["task"]].append(record)
    room = max(1, min(per_task, altogether // max(1, len(by_task))))
    shown = {
        task: _spread(sorted(by_task[task], key=lambda row: (order[row["sample_id"]], row["sample_id"])), room)
        for task in sorted(by_task)
    }
    return dict(list(shown.items())[:altogether])


def relevance_extremes(records: Sequence[Row], count: int = 6) -> tuple[list[Row], list[Row]]:
    """Scored reference samples with the lowest and with the highest IRS, at most one per task on either side at first.

    Returns two lists of at most `count`, lowest first and highest first, that share no sample.
    """
    scored = sorted((row for row in records if row["irs"] is not None), key=lambda row: (row["irs"], row["sample_id"]))
    count = min(count, len(scored) // 2)
    return _varied(scored, count), _varied(scored[::-1], count)


def task_ends(records: Sequence[Row], each: int = 5, altogether: int = 160) -> dict[str, tuple[list[Row], list[Row]]]:
    """Task to its reference samples of lowest and of highest IRS, at most `each` a side, as `presel explain --task` has them.

    Many tasks share the room; of more tasks than there is room for, those that come last by name are left out.
    """
    by_task: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(
        (row for row in records if row["irs"] is not None), key=lambda row: (row["irs"], row["sample_id"])
    ):
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


def _spread(rows: Sequence[Row], count: int) -> list[Row]:
    if len(rows) <= count:
        return list(rows)
    if count == 1:
        return [rows[0]]
    return [rows[round(i * (len(rows) - 1) / (count - 1))] for i in range(count)]
