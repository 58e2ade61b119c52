"""One part of the catalog to vectors: read, decode, compute, all three at the same time (`presel/encoders/feeding.py`).

Each is timed by itself, so the facts of a part say which one set the pace. Every listed image ends as a row or as a reject. A
part is written whole or not at all. Rows stand in key order, whichever was ready first. An image with several tasks is read,
decoded and computed once. Reads that failed are tried again by the next run (`presel/tables/unfinished.py`).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import Any, ParamSpec

import numpy as np
import pyarrow as pa

from presel import encoders
from presel.concurrency import progress
from presel.concurrency.blocks import cores
from presel.config import EncoderConfig, SourceConfig
from presel.encoders import Encoder
from presel.encoders.feeding import READERS, Feed, Image, Item, Refusal, Seconds
from presel.images import Reason, Rejected
from presel.images.reasons import PASSING
from presel.sources import open_source
from presel.tables import table_store, unfinished
from presel.tables.schemas import TableRef, embeddings, rows_of
from presel.tables.table_store import Output

P = ParamSpec("P")


class EmbedStage(unfinished.OpenStage[P]):
    """A stage whose key holds what the encoder *is* in place of how it is named, and how often reads failed.

    A GPU's vectors are not a CPU's to the byte, so they have keys of their own.
    The weights' digest and the preprocessing count, not the address of a file: the same model under another path keeps its
    embeddings, and a file that was replaced under the same path loses them.
    """

    def key(self, inputs: Mapping[str, Any]) -> str:
        encoder: EncoderConfig = inputs["encoder"]
        what = {"identity": encoders.identity(encoder), "images": encoder.images}
        if (device := encoders.device_in_key(encoder)) is not None:
            what["device"] = device
        return super().key({**inputs, "encoder": what})


def _embed_part(out: Output, part: TableRef, source: SourceConfig, encoder: EncoderConfig) -> None:
    """EMBEDDINGS of one part: L2-normalised float16, in key order.

    Facts: seconds of work spent reading, decoding and computing (summed over threads or processes), how many of these there
    were, images a second, and how many reads failed that may work another time.
    """
    started = time.perf_counter()
    model, seconds = encoders.load_encoder(encoder), Seconds()
    schema = embeddings(model.dimensions)
    earlier = unfinished.former(out)
    images = _images(out, part, earlier)
    tables = [schema.empty_table()]
    done = failed = 0
    opened = open_source(source)
    opened.expect(part.rows)
    for batch in Feed(opened, model, encoder, seconds).batches(images):
        refusals = [item for item in batch if isinstance(item, Refusal)]
        for refusal in refusals:
            _reject(out, refusal)
        tables += _computed(out, [item for item in batch if isinstance(item, Item)], model, seconds, schema)
        failed += sum(refusal.why.reason in PASSING for refusal in refusals)
        done += len(batch)
        progress.report("embed", part.label, done, len(images), "images")
    table = pa.concat_tables(tables).combine_chunks()
    if table.num_rows or earlier is None:
        out.write(table, schema, part.label)
    _note(out, len(images), time.perf_counter() - started, seconds, model)
    out.note(failed_reads=failed)


embed_part = EmbedStage(_embed_part, "embed", 3, lacks="failed_reads")
"""embed_part(part, source, encoder) -> TableRef of EMBEDDINGS."""


def _images(out: Output, part: TableRef, earlier: TableRef | None) -> list[Image]:
    """What to embed, in key order, the rows of one object together: all of the part, or what could not be read earlier."""
    rows = rows_of(table_store.read(part))
    if earlier is not None:
        unread = _taken_over(out, earlier)
        rows = [row for row in rows if row["image_id"] in unread]
    rows.sort(key=lambda row: (str(row["key"]), row["etag"], row["task"]))
    return [Image(list(same)) for _, same in itertools.groupby(rows, key=lambda row: (row["key"], row["etag"]))]


def _taken_over(out: Output, earlier: TableRef) -> set[str]:
    """Take over all that `earlier` says for good; the image ids that remain to be read."""
    unfinished.is_last(out)
    out.adopt(earlier.parts)
    unread = set()
    for row in rows_of(table_store.rejects(earlier)):
        if row["reason"] in PASSING:
            unread.add(row["id"])
        else:
            out.reject(**{name: row[name] for name in ("task", "key", "id", "reason", "detail")})
    return unread


def _computed(out: Output, items: list[Item], model: Encoder, seconds: Seconds, schema: pa.Schema) -> list[pa.Table]:
    if not items:
        return []
    with seconds.compute:
        vectors = model.encode([item.prepared for item in items])
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        fine = np.isfinite(lengths) & (lengths > 1e-12)
    for item in (item for item, good in zip(items, fine, strict=True) if not good):
        _reject(out, Refusal(item.image, Rejected(Reason.NOT_FINITE, "the encoder's vector is zero, NaN or infinite")))
    kept = [(number, row | items[number].known) for number in np.flatnonzero(fine) for row in items[number].image.rows]
    which = np.array([number for number, _ in kept], np.intp)
    unit = (vectors[which] / lengths[which, None]).astype(np.float16)
    names = [name for name in schema.names if name != "vector"]
    columns = [pa.array([row[name] for _, row in kept], schema.field(name).type) for name in names]
    column = pa.FixedSizeListArray.from_arrays(pa.array(unit.ravel()), model.dimensions)
    return [pa.Table.from_arrays([*columns, column], schema=schema)]


def _reject(out: Output, refusal: Refusal) -> None:
    why = refusal.why
    for row in refusal.image.rows:
        out.reject(task=row["task"], key=row["key"], id=row["image_id"], reason=why.reason, detail=why.detail)


def _note(out: Output, images: int, wall: float, seconds: Seconds, model: Encoder) -> None:
    out.note(
        encoder=model.identity,
        images=images,
        wall_seconds=round(wall, 6),
        read_seconds=round(seconds.read.total, 6),
        decode_seconds=round(seconds.decode.total, 6),
        compute_seconds=round(seconds.compute.total, 6),
        read_threads=READERS,
        decode_processes=cores(),
        images_per_second=round(images / wall, 1) if wall else 0.0,
    )
