"""The selection: the first rows of a task's pick order, as many as the plan allots it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from presel import table_store
from presel.stage import stage
from presel.table_store import Output
from presel.tables import SELECTION, TableRef


@stage("select", version=1)
def select(out: Output, ranking: TableRef, plan: TableRef) -> None:
    """One task's pick order with its quota picked; the rest is the reserve for images that turn out unusable."""
    quotas = table_store.read(plan, ["task", "quota"])
    quota = dict(zip(quotas["task"].to_pylist(), quotas["quota"].to_pylist(), strict=True)).get(ranking.label, 0)
    rows = table_store.read(ranking)
    picked = pc.less(rows["order"], pa.scalar(quota, pa.int32()))
    out.write(rows.append_column(SELECTION.field("picked"), picked), SELECTION, ranking.label)
    out.note(quota=quota)
