"""The pool as the method sees it: one part per task, one row per sample, nothing that depends on when or where it was listed.

A sample is (task, image content), so the same bytes under two keys of a task are one sample, named by the smaller key; the
other key is a reject. Embedding parts follow the order of arrival, samples the order of tasks, so rows are sorted out through
temporary files: memory holds a few embedding parts or one task, never the pool.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ParamSpec

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import feather

from presel.concurrency import progress
from presel.config.keys import sample_id, short_digest
from presel.dataset.history import task_digest
from presel.errors import ConfigError
from presel.images import Reason
from presel.selection.duplicates import nearest
from presel.sources.catalog import removed_ids
from presel.tables import table_store
from presel.tables.schemas import TableRef, samples
from presel.tables.scratch import scratch
from presel.tables.stage import Stage
from presel.tables.table_store import Output
from presel.tables.vectors import unit_vectors

P = ParamSpec("P")
TASKS = "tasks.json"
_SPILLED_AT_ONCE = 1 << 15
_CARRIED = ["task", "key", "content", "width", "height", "vector"]


class AssembleStage(Stage[P]):
    """A stage whose key does not mention tests if there are none, so that earlier keys still hold."""

    def key(self, inputs: Mapping[str, Any]) -> str:
        without = {name: value for name, value in inputs.items() if name not in ("apart", "above")}
        return super().key(inputs if inputs.get("apart") else without)


def _assemble(
    out: Output,
    catalog: TableRef,
    embeddings: list[TableRef],
    apart: list[TableRef] | None = None,
    above: float = 0.95,
) -> None:
    """SAMPLES, one part per task with usable images, tasks in sorted order, rows by `sample_id`.

    `tasks.json` beside it counts `images` (listed) and `usable` of every task that was listed; listed = usable + rejected.
    `apart`: EMBEDDINGS of images of tests; what has the bytes of one, or a cosine of `above` to it, is a reject `held_out`.
    Facts: `pool`, one digest over all sample ids; `reuploaded`, objects with another etag than before and the same bytes
    (listing alone counts them as changed).
    """
    listed: dict[str, int] = table_store.facts(catalog)["listed"]
    usable: Counter[str] = Counter()
    digests, reuploaded, tests = [], 0, _Tests(apart or [], above)
    with scratch("assemble") as folder:
        spilled, gone = _spill(catalog, embeddings, folder)
        for number, task in enumerate(sorted(spilled), start=1):
            table = _read(spilled[task])
            reuploaded += len(gone.intersection(_objects(table))) if gone else 0
            ids = _write_task(out, task, table, tests)
            usable[task] = len(ids)
            digests.append(task_digest(task, ids))
            again = f", {reuploaded:,} re-uploaded with the same bytes" if reuploaded else ""
            progress.report("assemble", "samples", number, len(spilled), "tasks", f"{usable.total():,} samples{again}")
    counts = {task: {"images": listed[task], "usable": usable[task]} for task in sorted(listed)}
    out.note(pool=short_digest(*digests), reuploaded=reuploaded)
    out.write_file(TASKS, json.dumps(counts, ensure_ascii=False, indent=1).encode())


assemble = AssembleStage(_assemble, "assemble", 3)
"""assemble(catalog, embeddings, apart, above) -> TableRef of SAMPLES."""


def _spill(
    catalog: TableRef, embeddings: list[TableRef], folder: Path
) -> tuple[dict[str, list[Path]], set[tuple[str, str, str]]]:
    """Rows of every embedding part that are still in the pool, in a few files per task; and what went just now."""
    removed, just_now = removed_ids(catalog), removed_ids(catalog, just_now=True)
    files: dict[str, list[Path]] = {}
    gone: set[tuple[str, str, str]] = set()
    for table in _together(single for ref in embeddings for single in ref.split()):
        went = pc.is_in(table["image_id"], value_set=removed)
        gone.update(_objects(table.filter(pc.is_in(table["image_id"], value_set=just_now))))
        present = table.filter(pc.invert(went)).select(_CARRIED)
        for task in pc.unique(present["task"]).to_pylist():
            file = folder / f"{short_digest(task)}-{len(files.setdefault(task, [])):06d}.arrow"
            feather.write_feather(present.filter(pc.equal(present["task"], task)), file, compression="uncompressed")
            files[task].append(file)
    return files, gone


def _together(parts: Iterable[TableRef]) -> Iterator[pa.Table]:
    """Rows of parts, some 33,000 at a time: where every part holds every task, one part at a time made 191 files of each."""
    waiting: list[pa.Table] = []
    for part in parts:
        waiting.append(table_store.read(part))
        if sum(table.num_rows for table in waiting) >= _SPILLED_AT_ONCE:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _objects(table: pa.Table) -> Iterator[tuple[str, str, str]]:
    return zip(*(table[name].to_pylist() for name in ("task", "key", "content")), strict=True)


def _read(files: list[Path]) -> pa.Table:
    """A task's rows in the order of arrival."""
    return pa.concat_tables([feather.read_table(file, memory_map=False) for file in files])


class _Tests:
    """Images that no sample may be."""

    def __init__(self, apart: list[TableRef], above: float) -> None:
        tables = [table_store.read(ref).select(["key", "content", "vector"]) for ref in apart if ref.rows]
        self._above = above
        sizes = {table.schema.field("vector").type.list_size for table in tables}
        if len(sizes) > 1:
            raise _other_encoder(sizes)
        if tables:
            together = pa.concat_tables(tables)
            self._names, self._vectors = together["key"].to_pylist(), unit_vectors(together)
            self._of = dict(zip(together["content"].to_pylist(), self._names, strict=True))
        self._any = bool(tables)

    def found(self, table: pa.Table, rows: list[int]) -> Iterator[tuple[int, str]]:
        """Those of the rows that are an image of a test, or nearly, and in words which and how nearly."""
        if not self._any or not rows:
            return
        chosen = table.take(pa.array(rows, pa.int64()))
        if (size := chosen.schema.field("vector").type.list_size) != self._vectors.shape[1]:
            raise _other_encoder({size, self._vectors.shape[1]})
        places, cosines = nearest(unit_vectors(chosen), self._vectors)
        for at, content in enumerate(chosen["content"].to_pylist()):
            if content in self._of:
                yield rows[at], f"the same bytes as {self._of[content]} of a test (cosine 1.000)"
            elif cosines[at] >= self._above:
                yield rows[at], f"nearly {self._names[places[at]]} of a test (cosine {cosines[at]:.3f})"


def _other_encoder(sizes: set[int]) -> ConfigError:
    expected, got = "vectors of this run's encoder", f"vectors of {' and '.join(map(str, sorted(sizes)))} numbers"
    return ConfigError("vectors of tests are another encoder's", where="exclude", expected=expected, got=got)


def _write_task(out: Output, task: str, table: pa.Table, tests: _Tests) -> list[str]:
    """One task's samples; returns their ids. Of a content's keys the smallest stays, of tests none."""
    kept: dict[str, int] = {}
    keys, contents = table["key"].to_pylist(), table["content"].to_pylist()
    for row in sorted(range(len(keys)), key=keys.__getitem__):
        first = kept.setdefault(contents[row], row)
        if keys[first] != keys[row]:
            told, ident = f"the same bytes as {keys[first]}", sample_id(task, contents[row])
            out.reject(task=task, key=keys[row], id=ident, reason=Reason.DUPLICATE, detail=told)
    for row, told in tests.found(table, list(kept.values())):
        del kept[contents[row]]
        ident = sample_id(task, contents[row])
        out.reject(task=task, key=keys[row], id=ident, reason=Reason.HELD_OUT, detail=told)
    named = sorted((sample_id(task, content), row) for content, row in kept.items())
    rows = table.take(pa.array([row for _, row in named], pa.int64())).combine_chunks()
    schema = samples(table.schema.field("vector").type.list_size)
    idents = pa.array([ident for ident, _ in named], pa.string())
    columns = [idents if name == "sample_id" else rows[name].combine_chunks() for name in schema.names]
    out.write(pa.Table.from_arrays(columns, schema=schema), schema, task)
    return [ident for ident, _ in named]
