"""The reference set: a uniform random share of every task, at least one sample (METHOD, step 1).

Each sample gets a pseudo-random priority from the seed and its own id, and the lowest are drawn ("bottom-k" sampling). That
is uniform like a shuffled list, and it survives change: the order of listing does not matter, and when a pool grows,
a sample that was drawn stays drawn unless a new one comes before it, so a refresh pays only for the top-up.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import pyarrow as pa

from presel.config import ReferenceConfig
from presel.tables import table_store
from presel.tables.schemas import REFERENCE, TableRef
from presel.tables.stage import stage
from presel.tables.table_store import Output


@stage("reference", version=1)
def draw_reference(out: Output, samples: TableRef, config: ReferenceConfig, seed: int) -> None:
    """One task's reference set, picked first, then as many again in reserve for refused images."""
    table = table_store.read(samples, ["sample_id", "task", "key", "content"])
    size = reference_size(table.num_rows, config.share)
    order = draw_order(table["sample_id"].to_pylist(), seed)[: 2 * size]
    drawn = table.take(pa.array(order, pa.int64()))
    n = drawn.num_rows
    columns = {
        "cluster": pa.array([0] * n, pa.int32()),
        "order": pa.array(range(n), pa.int32()),
        "picked": pa.array([i < size for i in range(n)], pa.bool_()),
    }
    for name, values in columns.items():
        drawn = drawn.append_column(name, values)
    out.write(drawn.cast(REFERENCE), REFERENCE, samples.label)


def reference_size(samples: int, share: float) -> int:
    """The share of a task's samples, rounded half up, at least one; 0 only for an empty task."""
    return min(samples, max(1, math.floor(share * samples + 0.5)))


def draw_order(ids: Sequence[str], seed: int) -> list[int]:
    """Positions in draw order: by a keyed digest of the id, so neither input order nor other samples matter."""

    def priority(position: int) -> bytes:
        return hashlib.blake2b(ids[position].encode(), key=f"reference {seed}".encode(), digest_size=16).digest()

    return sorted(range(len(ids)), key=priority)
