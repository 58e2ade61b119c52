"""Tables of any size in the order of a column of text: sorted in pieces, which wait on disk, and read side by side.

The keys of ten million images took 3.9 GB while they were sorted in memory, the records of a large version as much. But to
compare or join by a key, only the rows of that key are needed. So all tables are read side by side in the same ranges of the
key, and the caller does to each range what it would do to the whole.

Memory: a piece while it is sorted (64 MB, some three times), later a megabyte of each piece. What fits into one piece never
goes to the disk.
"""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from presel.errors import StorageError

_PIECE = 64 << 20
"""Bytes that are sorted at once."""
_BATCH = 1 << 20
"""Bytes of a piece that are read at once."""


class Ordered:
    """Rows of one schema by the columns `order`, of which the first is text and never null."""

    def __init__(self, folder: Path, schema: pa.Schema, *order: str) -> None:
        """`folder`: takes what is too much for memory, and is the caller's to delete."""
        self.schema, self.key, self.num_rows = schema, order[0], 0
        self._folder, self._order = folder, [(name, "ascending") for name in order]
        self._waiting: list[pa.Table] = []
        self._bytes = 0
        self._files: list[Path] = []

    def add(self, rows: pa.Table) -> None:
        """Rows in any order. Raises StorageError when they do not fit on the disk."""
        self._waiting.append(rows)
        self._bytes += rows.nbytes
        self.num_rows += rows.num_rows
        if self._bytes >= _PIECE:
            self._files.append(_put_down(self.in_order(self._waiting), self._folder))
            self._waiting, self._bytes = [], 0
            pa.default_memory_pool().release_unused()

    def ranges(self) -> Iterator[pa.Table]:
        """All rows, in order, a few at a time."""
        return (rows for (rows,) in side_by_side(self))

    def runs(self) -> list[_Run]:
        """Each sorted piece from its start."""
        rest = self.in_order(self._waiting)
        pieces = [*map(_picked_up, self._files), iter(rest.to_batches(max_chunksize=_rows_a_batch(rest)))]
        return [_Run(batches, self.schema, self.key) for batches in pieces]

    def in_order(self, tables: Sequence[pa.Table]) -> pa.Table:
        """Their rows, one chunk a column. Rows that are equal in all of `order` stay as they came."""
        rows = pa.concat_tables([self.schema.empty_table(), *tables]).combine_chunks()
        return rows.take(pc.sort_indices(rows, sort_keys=self._order)).combine_chunks()


def side_by_side(*tables: Ordered) -> Iterator[tuple[pa.Table, ...]]:
    """Rows of every table, range by range of their keys. All rows of a key are in one range; no range is empty."""
    runs = [table.runs() for table in tables]
    every = [run for of_table in runs for run in of_table]
    while True:
        # Below the least of the last keys that are in memory, no piece can have another row.
        bound = min((run.last for run in every if not run.ended), default=None)
        found = [[rows for run in of_table if (rows := run.below(bound)).num_rows] for of_table in runs]
        if any(found):
            yield tuple(
                of_table[0] if len(of_table) == 1 else table.in_order(of_table)
                for table, of_table in zip(tables, found, strict=True)
            )
        if bound is None:
            return
        for run in every:
            if not run.ended and run.last == bound:
                run.read_on()


def regrouped(tables: Iterable[pa.Table], schema: pa.Schema, size: int) -> Iterator[pa.Table]:
    """The same rows, `size` a table, fewer in the last; one chunk a column. No rows are no tables."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        if count >= size:
            rows = pa.concat_tables(waiting)
            whole = count - count % size
            yield from (rows.slice(start, size).combine_chunks() for start in range(0, whole, size))
            waiting, count = [rows.slice(whole)], count % size
    if count:
        yield pa.concat_tables([schema.empty_table(), *waiting]).combine_chunks()


class _Run:
    """A sorted piece while it is read: what was read of it and not taken yet."""

    def __init__(self, batches: Iterator[pa.RecordBatch], schema: pa.Schema, key: str) -> None:
        self.ended = False
        self._batches, self._key, self._rows = batches, key, schema.empty_table()
        self.read_on()

    def read_on(self) -> None:
        batch = next(self._batches, None)
        if batch is None:
            self.ended = True
        else:
            self._rows = pa.concat_tables([self._rows, pa.Table.from_batches([batch])]).combine_chunks()

    @property
    def last(self) -> str:
        """The key of the last row that was read."""
        key: str = self._rows[self._key][-1].as_py()
        return key

    def below(self, bound: str | None) -> pa.Table:
        """Take the rows whose key is less, or all."""
        keys = self._rows[self._key]
        count: int = len(keys)
        if bound is not None:
            count = bisect_left(range(count), bound, key=lambda row: str(keys[row]))
        taken, self._rows = self._rows.slice(0, count), self._rows.slice(count)
        return taken


def _rows_a_batch(table: pa.Table) -> int:
    rows: int = table.num_rows * _BATCH // max(_BATCH, table.nbytes)
    return max(1, rows)


def _put_down(piece: pa.Table, folder: Path) -> Path:
    try:
        handle, name = tempfile.mkstemp(suffix=".arrow", dir=folder)
        os.close(handle)
        with pa.OSFile(name, "wb") as sink, pa.ipc.new_file(sink, piece.schema) as writer:
            writer.write_table(piece, max_chunksize=_rows_a_batch(piece))
    except OSError as error:
        fix = "free space there, or name another folder in TMPDIR"
        raise StorageError("rows could not be written aside", where=str(folder), got=str(error), fix=fix) from error
    return Path(name)


def _picked_up(file: Path) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(file), "rb") as source:
        reader = pa.ipc.open_file(source)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)
