"""The selection: what stays from an earlier version, then the first rows of a task's pick order, as many as allotted."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from presel.tables import table_store
from presel.tables.kept_samples import kept_of
from presel.tables.schemas import SELECTION, TableRef
from presel.tables.stage import stage
from presel.tables.table_store import Output


@stage("select", version=2)
def select(out: Output, ranking: TableRef, plan: TableRef) -> None:
    """One task's pick order with its quota picked; the rest is the reserve for images that turn out unusable.

    Kept samples stand before it, picked as well: their instructions come from the ledger like any other's.
    """
    quotas = table_store.read(plan, ["task", "quota"])
    quota = dict(zip(quotas["task"].to_pylist(), quotas["quota"].to_pylist(), strict=True)).get(ranking.label, 0)
    kept = kept_of(ranking)
    rows = pa.concat_tables([kept.drop_columns("answered"), table_store.read(ranking)])
    picked = pc.less(rows["order"], pa.scalar(quota, pa.int32()))
    stays = pc.less(rows["order"], pa.scalar(0, pa.int32()))
    rows = rows.append_column(SELECTION.field("picked"), picked).append_column(SELECTION.field("kept"), stays)
    out.write(rows.combine_chunks(), SELECTION, ranking.label)
    out.note(quota=quota, kept=kept.num_rows)
