"""Rows of a version, whichever presel published it.

The digest of a record's image was called `content` once. ms-swift takes a column of that name for
the answer, and trained on 64 hexadecimal digits without a word. So newer versions call it DIGEST,
and who reads one asks for DIGEST in any of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from presel.dataset import versions
from presel.dataset.trainer_formats import DIGEST
from presel.tables import DatasetRef, table_store

_FORMERLY = "content"


def rows(data: BinaryIO, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows of an open `data.parquet`, one by one, of these columns."""
    former = DIGEST in columns and DIGEST not in pq.read_schema(data).names
    for row in table_store.decoded_rows(data, [_named(name, former) for name in columns]):
        yield {name: row[_named(name, former)] for name in columns} if former else row


def digest_of(row: Mapping[str, Any]) -> str:
    """The digest of a row's image, in a row of all columns."""
    return str(row[DIGEST] if DIGEST in row else row[_FORMERLY])


def table(version: DatasetRef, columns: Sequence[str]) -> pa.Table:
    """All rows of a version, of these columns. Raises what `versions.opened` does."""
    with versions.opened(version, "data.parquet") as data:
        former = DIGEST in columns and DIGEST not in pq.read_schema(data).names
        named = [_named(name, former) for name in columns]
        return pq.read_table(data, columns=named, use_threads=False, pre_buffer=False).rename_columns(list(columns))


def _named(column: str, former: bool) -> str:
    return _FORMERLY if former and column == DIGEST else column
