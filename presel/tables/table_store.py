"""Tables on a store: written whole, read by reference.

An output is `<store>/tables/<stage>/<key>/`: Parquet parts, `rejects.parquet` if anything was rejected, other files, and
`manifest.json`, written last. Without its manifest an output does not exist, so a killed stage leaves only files that
the next attempt overwrites with the same bytes.
"""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from presel.config.keys import digest
from presel.errors import IntegrityError, NotFound, __version__
from presel.images.reasons import Reason
from presel.storage import open_store
from presel.storage.sealed import seal, unseal
from presel.tables.ordered import regrouped
from presel.tables.schemas import COLUMNS, FORMAT, REJECTS, ROWS_AT_ONCE, Part, TableRef, combined_digest

_VECTORS_A_GROUP = 16_384
"""Parquet keeps two levels for every number of a vector while it writes or reads a row group: a task of 199,000 vectors of 256
took 580 MB to encode and 470 to decode in one group, and takes next to nothing and 200 in several."""
_ROWS_A_GROUP = 1 << 20
"""Parquet's own choice."""
_HOW: dict[str, Any] = {"compression": "zstd", "write_statistics": False, "store_schema": True}


def read(ref: TableRef, columns: list[str] | None = None) -> pa.Table:
    """All rows of the parts a reference names, in part order."""
    return pa.concat_tables([read_part(ref, part, columns) for part in ref.parts])


def read_part(ref: TableRef, part: Part, columns: list[str] | None = None) -> pa.Table:
    """Rows of one part. Raises IntegrityError when its bytes are not those that were written, or columns are missing."""
    store = open_store(ref.store)
    data = store.read(part.path)
    if digest(data) != part.digest:
        raise IntegrityError(
            "a table's bytes changed after it was written",
            where=store.locate(part.path),
            expected=part.digest,
            got=digest(data),
            fix=f"delete {store.locate(ref.folder)} to have it made again",
        )
    rows = decode(data, columns)
    wanted = columns or COLUMNS.get(ref.stage, rows.column_names)
    if missing := [name for name in wanted if name not in rows.column_names]:
        raise IntegrityError(
            "another version of presel made this table",
            where=store.locate(part.path),
            expected=f"columns {', '.join(missing)}",
            got=", ".join(pq.read_schema(pa.BufferReader(data)).names),
            fix="run again: it is made anew, and nothing that is paid for is bought again",
        )
    return rows


def rejects(ref: TableRef) -> pa.Table:
    """The rows an output refused, with their reasons."""
    if not ref.rejects:
        return REJECTS.empty_table()
    return decode(open_store(ref.store).read(f"{ref.folder}/rejects.parquet"))


def file(ref: TableRef, name: str) -> bytes:
    """A file that an output holds beside its table: an adapter, a page."""
    return open_store(ref.store).read(f"{ref.folder}/{name}")


def facts(ref: TableRef) -> dict[str, Any]:
    """Small numbers noted while the output was made: times, money, settings. Not part of its identity."""
    noted: dict[str, Any] = manifest(ref.store, ref.folder)["facts"]
    return noted


def finished(ref: TableRef) -> float:
    """When the output was made, in seconds since 1970."""
    return float(manifest(ref.store, ref.folder).get("finished", 0.0))


def manifest(store: str, folder: str) -> dict[str, Any]:
    """What an output says of itself. Raises NotFound, and IntegrityError when it is damaged or a newer presel wrote it."""
    found, path = open_store(store), f"{folder}/manifest.json"
    fix = f"delete {found.locate(folder)} to have it made again"
    return unseal(found.read(path), FORMAT, what="a manifest", where=found.locate(path), fix=fix)


def find(store: str, stage: str, key: str) -> TableRef | None:
    """The output of that key, if it is there whole and of the present format.

    Raises IntegrityError when its manifest is damaged or a newer presel wrote it.
    """
    try:
        said = manifest(store, f"tables/{stage}/{key}")
    except NotFound:
        return None
    if said["format"] < FORMAT:
        return None
    saved = TableRef.model_validate(said["table"])
    # The store may have been copied since: where it lies now is what counts.
    return saved.model_copy(update={"store": store})


def encode(table: pa.Table) -> bytes:
    """Parquet bytes, the same for the same rows."""
    sink = io.BytesIO()
    encode_into(sink, table)
    return sink.getvalue()


def encode_into(sink: BinaryIO, table: pa.Table) -> None:
    """The bytes of `encode` into an open file, column by column."""
    group = _VECTORS_A_GROUP if "vector" in table.column_names else None
    pq.write_table(table, sink, **_HOW, row_group_size=group)


def encode_pieces(sink: BinaryIO, pieces: Iterable[pa.Table], schema: pa.Schema, group: int = _ROWS_A_GROUP) -> None:
    """Parquet of a table that is never there as a whole: `group` rows of it are. With the default the bytes of `encode`."""
    with pq.ParquetWriter(sink, schema, **_HOW) as writer:
        rows = schema.empty_table()
        for rows in regrouped(pieces, schema, group):
            writer.write_table(rows, row_group_size=group)
        if not rows.num_rows:
            writer.write_table(rows)


def decode(data: bytes, columns: list[str] | None = None) -> pa.Table:
    """A table from its Parquet bytes, read by this thread alone: pyarrow's pools can abort a process that ends just after."""
    file = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False)
    if file.num_row_groups < 2:
        return file.read(columns, use_threads=False)
    return pa.concat_tables(
        [file.read_row_group(number, columns, use_threads=False) for number in range(file.num_row_groups)]
    )


def decoded_rows(file: BinaryIO, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of a large table from an open Parquet file, one by one."""
    table = pq.ParquetFile(file, pre_buffer=False)
    for batch in table.iter_batches(ROWS_AT_ONCE, columns=list(columns), use_threads=False):
        yield from batch.to_pylist()


def find_rows(file: BinaryIO, column: str, wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A few rows of a large table in an open Parquet file: those that have one of these values."""
    values = pa.array(wanted, pa.string())
    for batch in pq.ParquetFile(file, pre_buffer=False).iter_batches(ROWS_AT_ONCE, use_threads=False):
        yield from batch.filter(pc.is_in(batch[column], value_set=values)).to_pylist()


class Output:
    """A stage's output while it is made. Rows go to `write`, refusals to `reject`, small numbers to `note`."""

    def __init__(self, store: str, stage: str, key: str) -> None:
        self.store, self.stage, self.key = store, stage, key
        self._folder = f"tables/{stage}/{key}"
        self._parts: list[Part] = []
        self._files: dict[str, str] = {}
        self._rejects: list[dict[str, str]] = []
        self._facts: dict[str, Any] = {}
        self._started = time.time()

    def write(self, table: pa.Table, schema: pa.Schema, label: str = "all") -> None:
        """One more part. Raises IntegrityError when the rows are not of the declared schema."""
        if table.schema != schema:
            raise IntegrityError(f"rows of {self.stage} have another schema", expected=schema, got=table.schema)
        data = encode(table)
        path = f"{self._folder}/{len(self._parts):05d}-{_file_name(label)}.parquet"
        open_store(self.store).write(path, data)
        self._parts.append(Part(label=label, path=path, digest=digest(data), rows=table.num_rows, bytes=len(data)))

    def write_rows(self, rows: list[dict[str, Any]], schema: pa.Schema, label: str = "all") -> None:
        self.write(pa.Table.from_pylist(rows, schema=schema), schema, label)

    def adopt(self, parts: tuple[Part, ...]) -> None:
        """Take over parts that an earlier output of this store wrote."""
        self._parts.extend(parts)

    def write_file(self, name: str, data: bytes) -> None:
        """A file beside the table; its digest counts."""
        open_store(self.store).write(f"{self._folder}/{name}", data)
        self._files[name] = digest(data)

    def reject(self, *, task: str, key: str, id: str, reason: Reason, detail: str = "") -> None:
        self._rejects.append(
            {"stage": self.stage, "task": task, "key": key, "id": id, "reason": Reason(reason), "detail": detail}
        )

    def rejected(self, reasons: Collection[str]) -> int:
        """How many were rejected for one of these reasons so far."""
        return sum(row["reason"] in reasons for row in self._rejects)

    def note(self, **facts: Any) -> None:
        self._facts.update(facts)

    def commit(self, inputs: dict[str, Any]) -> TableRef:
        """Make the output exist: the manifest, last."""
        self._write_rejects()
        parts = tuple(self._parts)
        ref = TableRef(
            stage=self.stage,
            store=self.store,
            key=self.key,
            digest=combined_digest(parts, self._files),
            rows=sum(part.rows for part in parts),
            rejects=len(self._rejects),
            parts=parts,
        )
        document = {
            "table": ref.model_dump(mode="json"),
            "files": self._files,
            "inputs": inputs,
            "facts": self._facts,
            "presel": __version__,
            "seconds": round(time.time() - self._started, 3),
            "finished": round(time.time(), 3),
            "peak_mb": _peak_mb(),
        }
        open_store(self.store).write(f"{self._folder}/manifest.json", seal(document, FORMAT))
        return ref

    def _write_rejects(self) -> None:
        if self._rejects:
            rows = sorted(self._rejects, key=lambda row: (row["task"], row["key"], row["id"], row["reason"]))
            # A refusal is part of what an output says (a refused sample is never chosen again): its digest counts too.
            self.write_file("rejects.parquet", encode(pa.Table.from_pylist(rows, schema=REJECTS)))


def _peak_mb() -> int | None:
    """The most memory that this process ever had, in MB, where the system says it."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return None
    peak = getrusage(RUSAGE_SELF).ru_maxrss
    return peak // (1 << 20) if sys.platform == "darwin" else peak >> 10


def _file_name(label: str) -> str:
    """A label as a file name that every store takes; the digest keeps two labels apart that look alike."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", label)[:40].strip(".-")
    return plain if plain == label else f"{plain}-{digest(label.encode())[:8]}"
