"""What a catalog says beside its rows: which of them the source does not hold any more."""

from __future__ import annotations

import pyarrow as pa

from presel import table_store
from presel.tables import TableRef

REMOVED = "removed.parquet"


def removed_ids(catalog: TableRef) -> pa.Array:
    """Image ids that the catalog's parts hold and the source does not. Parts are never rewritten, so they keep them."""
    return table_store.decode(table_store.file(catalog, REMOVED))["image_id"].combine_chunks()
