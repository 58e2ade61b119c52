"""The rejects of a run, for objects that are there now.

Parts of the catalog and of the embeddings are never written again, so they keep the verdict on an object that was deleted or
replaced since. Code that shows or publishes rejects reads them here, without such verdicts. So for every task,
listed = usable + rejected.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from presel.runs.run_record import PoolRecord, RunRecord
from presel.sources.catalog import removed_ids
from presel.tables import table_store


def refused(record: RunRecord | PoolRecord) -> Iterator[pa.Table]:
    """REJECTS of every table of a run, table by table."""
    for ref in record.tables():
        if not ref.rejects:
            continue
        rows = table_store.rejects(ref)
        if ref.stage == "embed":
            rows = rows.filter(pc.invert(pc.is_in(rows["id"], value_set=removed_ids(record.catalog))))
        elif ref.stage == "score" and record.basis:  # of a reference set from another day
            present = table_store.read(record.samples, ["sample_id"])["sample_id"].combine_chunks()
            rows = rows.filter(pc.is_in(rows["id"], value_set=present))
        yield rows
