"""What a ranking says beside its rows: the samples that stay from an earlier version and need no place in the order."""

from __future__ import annotations

import pyarrow as pa

from presel.tables import table_store
from presel.tables.schemas import TableRef

KEPT_FILE = "kept.parquet"


def kept_of(ranking: TableRef) -> pa.Table:
    """KEPT of a task."""
    return table_store.decode(table_store.file(ranking, KEPT_FILE))
