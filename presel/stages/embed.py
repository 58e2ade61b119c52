"""One part of the catalog to vectors: read, decode, compute, all three at the same time.

Reading waits for a network, decoding keeps processors busy, computing keeps the accelerator busy; done one after the other each
waits for the other two. So readers run ahead of decoders and decoders ahead of the encoder, a bounded number of images ahead,
and the slowest of the three alone sets the pace. Each is timed apart, so that the facts of a part say which one it was.

Every listed image ends as a row or as a reject. A part is written whole or not at all. Rows stand in key order, whoever
was ready first.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, ParamSpec

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from presel import encoders, progress, table_store
from presel.config import EncoderConfig, SourceConfig
from presel.encoders import Encoder
from presel.images import Reason, Rejected, open_guarded
from presel.keys import digest
from presel.parallel import cores
from presel.pipeline import Stopwatch, ahead, shared_pool
from presel.sources import Source, open_source
from presel.stage import Stage
from presel.table_store import Output
from presel.tables import TableRef, embeddings, rows_of

P = ParamSpec("P")
_READERS = 32


class EmbedStage(Stage[P]):
    """A stage whose key holds what the encoder *is* in place of how it is named.

    The weights' digest and the preprocessing count, not the address of a file: the same model under another path keeps its
    embeddings, and a file that was replaced under the same path loses them.
    """

    def key(self, inputs: Mapping[str, Any]) -> str:
        encoder: EncoderConfig = inputs["encoder"]
        what = {"identity": encoders.identity(encoder), "images": encoder.images}
        return super().key({**inputs, "encoder": what})


class Item(NamedTuple):
    """An image that decoded, on its way to the encoder."""

    row: dict[str, Any]
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class Seconds:
    read: Stopwatch
    decode: Stopwatch
    compute: Stopwatch


def _embed_part(out: Output, part: TableRef, source: SourceConfig, encoder: EncoderConfig) -> None:
    """EMBEDDINGS of one part: L2-normalised float16, in key order.

    Facts: seconds of work spent reading, decoding and computing (summed over threads), the threads, and images a second.
    """
    started = time.perf_counter()
    model = encoders.load_encoder(encoder)
    rows = sorted(rows_of(table_store.read(part)), key=lambda row: str(row["key"]))
    seconds = Seconds(Stopwatch(), Stopwatch(), Stopwatch())
    schema = embeddings(model.dimensions)
    tables = [schema.empty_table()]
    done = 0
    for batch in _batches(rows, open_source(source), model, encoder, seconds):
        good = [item for item in batch if isinstance(item, Item)]
        for row, refused in (item for item in batch if not isinstance(item, Item)):
            _reject(out, row, refused)
        tables += _computed(out, good, model, seconds, schema)
        done += len(batch)
        rate = f"{done / (time.perf_counter() - started):,.0f} images/s"
        progress.report("embed", part.label, done, len(rows), "images", rate)
    out.write(pa.concat_tables(tables).combine_chunks(), schema, part.label)
    _note(out, len(rows), time.perf_counter() - started, seconds, model)


embed_part = EmbedStage(_embed_part, "embed", 1)
"""embed_part(part, source, encoder) -> TableRef of EMBEDDINGS."""


def _batches(
    rows: list[dict[str, Any]], source: Source, model: Encoder, config: EncoderConfig, seconds: Seconds
) -> Iterator[list[Item | tuple[dict[str, Any], Rejected]]]:
    """Images in key order, `batch_size` at a time; reading and decoding go on while the caller works on a batch."""

    most = 16 * config.images.max_pixels  # no layout takes more bytes a pixel: not worth the memory to find out

    def read(row: dict[str, Any]) -> tuple[dict[str, Any], bytes | Rejected]:
        if row["size"] > most:
            return row, Rejected(
                Reason.TOO_MANY_PIXELS, f"{row['size']:,} bytes, more than {config.images.max_pixels:,} pixels take"
            )
        with seconds.read:
            return row, source.read(row["key"], row["etag"], row["size"])

    def decode(got: tuple[dict[str, Any], bytes | Rejected]) -> Item | tuple[dict[str, Any], Rejected]:
        row, data = got
        if isinstance(data, Rejected):
            return row, data
        with seconds.decode:
            return _decoded(row, data, model, config)

    size = config.batch_size
    raw = ahead(read, rows, shared_pool("read", _READERS), window=2 * _READERS)
    ready = ahead(decode, raw, shared_pool("decode", cores()), window=2 * size)
    while batch := list(itertools.islice(ready, size)):
        yield batch


def _decoded(
    row: dict[str, Any], data: bytes, model: Encoder, config: EncoderConfig
) -> Item | tuple[dict[str, Any], Rejected]:
    picture = open_guarded(data, config.images, row["key"], model.side)
    if isinstance(picture, Rejected):
        return row, picture
    known = {"content": digest(data), "width": picture.width, "height": picture.height, "format": picture.format}
    return Item(row | known, model.prepare(picture.image))


def _computed(out: Output, items: list[Item], model: Encoder, seconds: Seconds, schema: pa.Schema) -> list[pa.Table]:
    if not items:
        return []
    with seconds.compute:
        vectors = model.encode([item.pixels for item in items])
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        fine = np.isfinite(lengths) & (lengths > 1e-12)
        unit = (vectors[fine] / lengths[fine, None]).astype(np.float16)
    for item in (item for item, good in zip(items, fine, strict=True) if not good):
        _reject(out, item.row, Rejected(Reason.NOT_FINITE, "the encoder's vector is zero, NaN or infinite"))
    kept = [item.row for item, good in zip(items, fine, strict=True) if good]
    names = [name for name in schema.names if name != "vector"]
    columns = [pa.array([row[name] for row in kept], schema.field(name).type) for name in names]
    column = pa.FixedSizeListArray.from_arrays(pa.array(unit.ravel()), model.dimensions)
    return [pa.Table.from_arrays([*columns, column], schema=schema)]


def _reject(out: Output, row: dict[str, Any], refused: Rejected) -> None:
    out.reject(task=row["task"], key=row["key"], id=row["image_id"], reason=refused.reason, detail=refused.detail)


def _note(out: Output, images: int, wall: float, seconds: Seconds, model: Encoder) -> None:
    out.note(
        encoder=model.identity,
        images=images,
        wall_seconds=round(wall, 6),
        read_seconds=round(seconds.read.total, 6),
        decode_seconds=round(seconds.decode.total, 6),
        compute_seconds=round(seconds.compute.total, 6),
        read_threads=_READERS,
        decode_threads=cores(),
        images_per_second=round(images / wall, 1) if wall else 0.0,
    )
