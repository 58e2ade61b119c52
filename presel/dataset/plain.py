"""Of each record, whether its file, opened plainly, shows the picture that was instructed.

That depends on the picture alone. So what the version before says of a sample is taken over, and
only pictures that are new in a version are read for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from presel.concurrency.ahead import ahead, shared_pool
from presel.concurrency.blocks import cores
from presel.config import ImageConfig
from presel.dataset import versions
from presel.images import Rejected, is_plain
from presel.sources import Source
from presel.tables.schemas import TEXT, DatasetRef

PLAIN = pa.schema([("sample_id", TEXT), ("plain", pa.bool_())])
_READERS = 16


def seen(version: DatasetRef | None) -> Iterator[pa.Table]:
    """PLAIN of what a version says, in pieces; nothing of one that an older presel published."""
    if version is None:
        return
    with versions.opened(version, "data.parquet") as data:
        if "plain" in pq.read_schema(data).names:
            file = pq.ParquetFile(data, pre_buffer=False)
            for batch in file.iter_batches(columns=PLAIN.names, use_threads=False):
                rows = pa.Table.from_batches([batch])
                yield rows.filter(pc.is_valid(rows["plain"]))


def told(instructed: pa.Table, known: pa.Table, source: Source, images: ImageConfig) -> pa.Table:
    """PLAIN of all rows of `instructed`: as `known` has it, and where it does not, after a look at the picture.

    Null where that cannot be read. Raises what `Source.read` does.
    """
    new = instructed.filter(pc.invert(pc.is_in(instructed["sample_id"], value_set=known["sample_id"].combine_chunks())))
    source.expect(len(new))

    def read(row: Mapping[str, Any]) -> bytes | Rejected:
        return source.read_content(row["key"], row["content"])

    def look(data: bytes | Rejected) -> bool | None:
        return None if isinstance(data, Rejected) else is_plain(data, images)

    came = ahead(read, new.select(["key", "content"]).to_pylist(), shared_pool("plain", _READERS), 3 * _READERS)
    # One for each core: what is no ordinary JPEG is decoded, and pictures can be large.
    found = ahead(look, came, shared_pool("look", cores()), 2 * cores())
    looked = pa.Table.from_arrays([new["sample_id"].combine_chunks(), pa.array(found, pa.bool_())], schema=PLAIN)
    return pa.concat_tables([known, looked])
