"""What became of every sample, as the map tells it: one dot each, with why it was or was not picked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from presel.images.reasons import Reason
from presel.tables.schemas import Rows

TOLD = {
    "clusters": ("cluster",),
    "ranking": ("rank", "order", "centrality"),
    "records": ("origin", "irs"),
    "selection": ("outcome",),
    "rejects": ("reason", "detail"),
}
"""Which columns a sample has from which table."""
KINDS = {"reference": "reference", "selected": "picked", "kept": "picked"}


@dataclass(frozen=True)
class Near:
    """A sample's nearest neighbour of one kind among the dots: which dot, and the cosine."""

    dot: int
    cosine: float


@dataclass(frozen=True)
class Dot:
    """One sample on the map. `x` and `y` in the unit square, y upwards; `kind` is pool, reference or picked."""

    x: float
    y: float
    task: str
    kind: str
    sample_id: str
    key: str
    why: str
    content: str = ""
    cluster: int | None = None
    rank: int | None = None
    """Within its cluster, 0 is the most central."""
    centrality: float | None = None
    irs: float | None = None
    picked: Near | None = None
    """Its nearest picked neighbour of its task, itself left out."""
    skipped: Near | None = None
    """Its nearest neighbour that was not instructed."""


def told(samples: pa.Table, tables: Mapping[str, pa.Table]) -> pa.Table:
    """Samples with the columns of TOLD, null where a table says nothing of a sample."""
    ids = samples["sample_id"]
    for name, columns in TOLD.items():
        other = tables[name]
        places = pc.index_in(ids, value_set=other["sample_id"].combine_chunks())
        for column in columns:
            samples = samples.append_column(column, other[column].take(places))
    return samples


def is_instructed(samples: pa.Table) -> pa.ChunkedArray:
    """Of samples that `told` gave columns: is it a record of the version?"""
    return pc.is_valid(samples["origin"])


def dots(samples: pa.Table, quotas: Mapping[str, int]) -> list[Dot]:
    """A dot for every row, not placed yet."""
    return [_dot(row, quotas.get(row["task"], 0)) for row in Rows(samples)]


def _dot(row: Mapping[str, Any], quota: int) -> Dot:
    same = {name: row[name] for name in ("task", "sample_id", "key", "content", "cluster", "rank", "centrality", "irs")}
    return Dot(0.0, 0.0, kind=KINDS.get(row["origin"] or "", "pool"), why=why(row, quota), **same)


def why(row: Mapping[str, Any], quota: int) -> str:
    """One sentence: what happened to a sample, and by which rule."""
    if row["origin"] == "reference":
        return "reference: drawn at random, to learn what a question is worth in this task"
    if row["origin"] == "kept":
        return "kept: an earlier version of the dataset paid for it"
    if row["origin"] == "selected":
        came = "came in for a refused answer" if row["outcome"] == "replacement" else "picked"
        return f"{came}: {_place(row)}; the quota is {quota}"
    if row["reason"] == Reason.NEAR_DUPLICATE:
        return f"passed over, a near-copy: {row['detail']}"
    if row["reason"] is not None:
        said = f" ({row['detail'][:200]})" if row["detail"] else ""
        return f"refused: {row['reason'].replace('_', ' ')}{said}"
    if row["order"] is None:
        return "not picked"
    beyond = row["order"] + 1 - quota
    if beyond > 0:
        return f"not picked: {_place(row)}, {beyond:,} beyond the quota of {quota}"
    return f"not instructed, though within the quota of {quota}: {_place(row)}"


def _place(row: Mapping[str, Any]) -> str:
    if row["order"] is None:
        return "of this task's order"
    return f"number {row['order'] + 1:,} in its task's order, rank {row['rank'] + 1:,} of cluster {row['cluster']}"
