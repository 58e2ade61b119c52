"""Which instructed images stand for one that was left out: its nearest among those of its task."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
from pydantic import BaseModel

from presel.runs.run_record import RunRecord
from presel.tables import table_store
from presel.tables.schemas import TableRef, rows_of
from presel.tables.vectors import unit_vectors

COUNT = 3


class Neighbour(BaseModel):
    """An image that was picked instead."""

    sample_id: str
    key: str
    content: str
    cosine: float
    """Of its vector and that of the image left out, -1 to 1."""
    origin: str
    """`picked`, or `reference`: drawn into the reference set."""


def nearest_chosen(record: RunRecord, task: str, sample_id: str, count: int = COUNT) -> list[Neighbour]:
    """The most alike chosen samples of a task, nearest first, ties by id; none where nothing is chosen."""
    samples = table_store.read(record.samples.labelled(task), ["sample_id", "key", "content", "vector"])
    ids = samples["sample_id"].to_pylist()
    origin = _chosen(record, task)
    rows = [row for row, name in enumerate(ids) if name in origin and name != sample_id]
    if not rows or sample_id not in ids:
        return []
    vectors = unit_vectors(samples)
    cosine = vectors[rows] @ vectors[ids.index(sample_id)]
    best = sorted(range(len(rows)), key=lambda place: (-cosine[place], ids[rows[place]]))[:count]
    found = rows_of(samples.select(["sample_id", "key", "content"]).take([rows[place] for place in best]))
    alike = [round(float(np.clip(cosine[place], -1, 1)), 4) for place in best]
    return [Neighbour(**row, cosine=c, origin=origin[row["sample_id"]]) for row, c in zip(found, alike, strict=True)]


def _chosen(record: RunRecord, task: str) -> dict[str, str]:
    """Samples of a task with their origin. Before anything is instructed these are the places within the quota."""
    found = dict.fromkeys(_ids(record.instructions, task), "picked")
    if not record.instructions:
        plan = table_store.read(record.plan)
        quota = plan.filter(pc.equal(plan["task"], task))["quota"][0].as_py()
        for ref in (ref for ref in record.rankings if ref.label == task):
            ranking = table_store.read(ref, ["sample_id", "order"])
            within = ranking.filter(pc.less(ranking["order"], quota))["sample_id"].to_pylist()
            found |= dict.fromkeys(within, "picked")
    return found | dict.fromkeys(_ids(record.reference_instructions, task), "reference")


def _ids(refs: tuple[TableRef, ...], task: str) -> list[str]:
    tables = (table_store.read(ref, ["sample_id", "task"]) for ref in refs if ref.rows)
    return [name for table in tables for name in table.filter(pc.equal(table["task"], task))["sample_id"].to_pylist()]
