"""The reference set of a task, drawn by `presel.selection.reference` (METHOD, step 1)."""

from __future__ import annotations

import pyarrow as pa

from presel.config import ReferenceConfig
from presel.selection.reference import draw_order, reference_size
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
