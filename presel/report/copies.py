"""Pairs of samples that are nearly one: what the guard took out, and the picks that came closest to each other.

A selection that spends two seats on one scene wastes one. So the page shows both sides: the copies that the guard found, each
beside what it repeats, and the most alike of the picks that it let through.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from presel.images.reasons import Reason
from presel.report.contents import Copy, Face
from presel.report.gallery import spread
from presel.report.neighbours import either_side
from presel.tables.schemas import rows_of

A_TASK = 8
"""Pairs of either kind that a task shows."""
MOST_PICKS = 4_000
_SAID = re.compile(r"cosine (-?[0-9.]+) with (.*)", re.DOTALL)


def taken_out(task: str, table: pa.Table, rejects: pa.Table) -> tuple[list[Copy], int]:
    """What the guard took out of a task, at even steps from the most alike to the least, and how many there are in all.

    `rejects`: REJECTS with `sample_id` in place of `id`, of samples of `table`.
    """
    rows = rows_of(rejects.filter(pc.equal(rejects["reason"], Reason.NEAR_DUPLICATE)))
    said = [(row, found) for row in rows if (found := _SAID.fullmatch(row["detail"]))]
    ordered = sorted(said, key=lambda pair: (-float(pair[1][1]), pair[0]["sample_id"]))
    shown = spread(ordered, A_TASK)
    originals = _by(table, "key", [found[2] for _, found in shown])
    contents = _by(table, "sample_id", [row["sample_id"] for row, _ in shown])
    return [
        Copy(
            task,
            contents.get(row["sample_id"], Face(row["sample_id"], row["key"])),
            originals.get(found[2]),
            float(found[1]),
        )
        for row, found in shown
    ], len(said)


def most_alike(task: str, table: pa.Table, vectors: NDArray[np.float32], picks: NDArray[np.int64]) -> list[Copy]:
    """The pairs of picks of a task that are most alike, the most alike first; of its first 4,000 picks."""
    picks = picks[:MOST_PICKS]
    nearest, _ = either_side(vectors[picks], np.arange(len(picks)), np.ones(len(picks), dtype=np.bool_))
    pairs = {
        (min(i, int(j)), max(i, int(j))): float(cosine)
        for i, (j, cosine) in enumerate(zip(nearest.row, nearest.cosine, strict=True))
        if j >= 0
    }
    best = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:A_TASK]
    return [
        Copy(task, _face(table, int(picks[later])), _face(table, int(picks[earlier])), cosine)
        for (earlier, later), cosine in best
    ]


def _face(table: pa.Table, row: int) -> Face:
    return Face(*(table[name][row].as_py() for name in ("sample_id", "key", "content")))


def _by(table: pa.Table, column: str, wanted: Sequence[str]) -> dict[str, Face]:
    found = table.filter(pc.is_in(table[column], value_set=pa.array(wanted, pa.string())))
    rows = rows_of(found.select(["sample_id", "key", "content"]))
    return {row[column]: Face(**row) for row in rows}
