"""One part of the catalog to vectors: read, decode, compute, all three at the same time.

Reading waits for a network, decoding keeps processors busy, computing keeps the accelerator busy; done one after the other each
waits for the other two. So readers run ahead of decoders and decoders ahead of the encoder, a bounded number of images ahead,
and the slowest of the three alone sets the pace. Each is timed apart, so that the facts of a part say which one it was.

Every listed image ends as a row or as a reject. A part is written whole or not at all. Rows stand in key order, whoever
was ready first. An image with several tasks is read, decoded and computed once.

A read that failed may work tomorrow, though neither key nor etag of the object will have changed. So the output of a part in
which reads failed is not the last word: the next run that asks for it makes another, `<key>-1`, `<key>-2` and so on, which
takes the rows over and reads only what could not be read. If that fails again, its digest is what it was, and nothing
after it is done again; the price is a request for each such image and three small objects a run.
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

from presel import again, encoders, progress, table_store
from presel.config import EncoderConfig, SourceConfig
from presel.encoders import Encoder
from presel.images import Reason, Rejected, attempt, open_guarded
from presel.keys import digest
from presel.parallel import cores
from presel.pipeline import Stopwatch, ahead, shared_pool
from presel.sources import Source, open_source
from presel.stage import Stage, store_of
from presel.table_store import Output
from presel.tables import TableRef, embeddings, rows_of

P = ParamSpec("P")
_READERS = 32


_PASSING = frozenset({Reason.UNREADABLE, Reason.CHANGED, Reason.ARCHIVED})
"""Reasons that say something about the moment, not about the picture."""
Row = dict[str, Any]


class EmbedStage(Stage[P]):
    """A stage whose key holds what the encoder *is* in place of how it is named, and how often reads failed.

    The weights' digest and the preprocessing count, not the address of a file: the same model under another path keeps its
    embeddings, and a file that was replaced under the same path loses them.
    """

    def key(self, inputs: Mapping[str, Any]) -> str:
        encoder: EncoderConfig = inputs["encoder"]
        what = {"identity": encoders.identity(encoder), "images": encoder.images}
        return again.open_key(store_of(inputs), self.name, super().key({**inputs, "encoder": what}), "failed_reads")


class Image(NamedTuple):
    """One object of the source, and its catalog rows: one for each of its tasks."""

    rows: list[Row]

    @property
    def first(self) -> Row:
        return self.rows[0]


class Item(NamedTuple):
    """An image that decoded, on its way to the encoder."""

    image: Image
    known: Row
    pixels: NDArray[np.uint8]


Refusal = tuple[Image, Rejected]


@dataclass(frozen=True)
class Seconds:
    read: Stopwatch
    decode: Stopwatch
    compute: Stopwatch


@dataclass(frozen=True)
class Work:
    """What reading and decoding a part need to know."""

    source: Source
    model: Encoder
    config: EncoderConfig
    isolated: bool
    seconds: Seconds


def _embed_part(out: Output, part: TableRef, source: SourceConfig, encoder: EncoderConfig) -> None:
    """EMBEDDINGS of one part: L2-normalised float16, in key order.

    Facts: seconds of work spent reading, decoding and computing (summed over threads), the threads, images a second, and how
    many reads failed that may work another time.
    """
    started = time.perf_counter()
    model = encoders.load_encoder(encoder)
    seconds = Seconds(Stopwatch(), Stopwatch(), Stopwatch())
    schema = embeddings(model.dimensions)
    images = _images(_wanted(out, part))
    tables = [schema.empty_table()]
    done = failed = 0
    with attempt(out.store, out.stage, out.key) as died:
        work = Work(open_source(source), model, encoder, died or encoder.isolate == "all", seconds)
        for batch in _batches(images, work):
            refusals = [item for item in batch if not isinstance(item, Item)]
            for image, refused in refusals:
                _reject(out, image, refused)
            tables += _computed(out, [item for item in batch if isinstance(item, Item)], model, seconds, schema)
            failed += sum(refused.reason in _PASSING for _, refused in refusals)
            done += len(batch)
            progress.report("embed", part.label, done, len(images), "images")
    table = pa.concat_tables(tables).combine_chunks()
    if table.num_rows or again.former(out) is None:
        out.write(table, schema, part.label)
    _note(out, len(images), time.perf_counter() - started, seconds, model)
    out.note(failed_reads=failed)


embed_part = EmbedStage(_embed_part, "embed", 2)
"""embed_part(part, source, encoder) -> TableRef of EMBEDDINGS."""


def _wanted(out: Output, part: TableRef) -> list[Row]:
    """The rows to embed: all of the part, or what an earlier output could not read, whose other rows are taken over."""
    rows = rows_of(table_store.read(part))
    former = again.former(out)
    if former is None:
        return rows
    again.is_last(out)
    out.adopt(former.parts)
    unread = set()
    for row in rows_of(table_store.rejects(former)):
        if row["reason"] in _PASSING:
            unread.add(row["id"])
        else:
            out.reject(**{name: row[name] for name in ("task", "key", "id", "reason", "detail")})
    return [row for row in rows if row["image_id"] in unread]


def _images(rows: list[Row]) -> list[Image]:
    """In key order, the rows of one object together."""
    ordered = sorted(rows, key=lambda row: (str(row["key"]), row["etag"], row["task"]))
    grouped = itertools.groupby(ordered, key=lambda row: (row["key"], row["etag"]))
    return [Image(list(same)) for _, same in grouped]


def _batches(images: list[Image], work: Work) -> Iterator[list[Item | Refusal]]:
    """Images in key order, `batch_size` at a time; reading and decoding go on while the caller works on a batch."""
    limits, seconds = work.config.images, work.seconds
    most = 16 * limits.max_pixels  # no layout takes more bytes a pixel: not worth the memory to find out

    def read(image: Image) -> tuple[Image, bytes | Rejected]:
        key, etag, size = image.first["key"], image.first["etag"], image.first["size"]
        if size > most:
            told = f"{size:,} bytes, more than {limits.max_pixels:,} pixels take"
            return image, Rejected(Reason.TOO_MANY_PIXELS, told)
        with seconds.read:
            return image, work.source.read(key, etag, size)

    def decode(got: tuple[Image, bytes | Rejected]) -> Item | Refusal:
        image, data = got
        if isinstance(data, Rejected):
            return image, data
        with seconds.decode:
            return _decoded(image, data, work)

    size = work.config.batch_size
    raw = ahead(read, images, shared_pool("read", _READERS), window=2 * _READERS)
    ready = ahead(decode, raw, shared_pool("decode", cores()), window=2 * size)
    while batch := list(itertools.islice(ready, size)):
        yield batch


def _decoded(image: Image, data: bytes, work: Work) -> Item | Refusal:
    limits, key, side = work.config.images, image.first["key"], work.model.side
    picture = open_guarded(data, limits, key, side, isolated=work.isolated)
    if isinstance(picture, Rejected):
        return image, picture
    known = {"content": digest(data), "width": picture.width, "height": picture.height, "format": picture.format}
    return Item(image, known, work.model.prepare(picture.image))


def _computed(out: Output, items: list[Item], model: Encoder, seconds: Seconds, schema: pa.Schema) -> list[pa.Table]:
    if not items:
        return []
    with seconds.compute:
        vectors = model.encode([item.pixels for item in items])
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        fine = np.isfinite(lengths) & (lengths > 1e-12)
    for item in (item for item, good in zip(items, fine, strict=True) if not good):
        _reject(out, item.image, Rejected(Reason.NOT_FINITE, "the encoder's vector is zero, NaN or infinite"))
    kept = [(number, row | items[number].known) for number in np.flatnonzero(fine) for row in items[number].image.rows]
    which = np.array([number for number, _ in kept], np.intp)
    unit = (vectors[which] / lengths[which, None]).astype(np.float16)
    names = [name for name in schema.names if name != "vector"]
    columns = [pa.array([row[name] for _, row in kept], schema.field(name).type) for name in names]
    column = pa.FixedSizeListArray.from_arrays(pa.array(unit.ravel()), model.dimensions)
    return [pa.Table.from_arrays([*columns, column], schema=schema)]


def _reject(out: Output, image: Image, refused: Rejected) -> None:
    for row in image.rows:
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
