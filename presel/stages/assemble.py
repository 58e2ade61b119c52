"""The pool as the method sees it: one part per task, one row per sample, nothing that depends on when or where it was listed.

A sample is (task, image content), so the same bytes under two keys of a task are one sample, named by the smaller key; the
other key is a reject. Embedding parts follow the order of arrival, samples the order of tasks, so rows are sorted out through
temporary files: memory holds a few embedding parts or one task, never the pool.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import feather

from presel import progress
from presel.dataset.history import task_digest
from presel.errors import SupplyError
from presel.images import Reason
from presel.keys import sample_id, short_digest
from presel.sources.catalog import removed_ids
from presel.tables import table_store
from presel.tables.schemas import TableRef, samples
from presel.tables.scratch import scratch
from presel.tables.stage import stage
from presel.tables.table_store import Output

TASKS = "tasks.json"
_SPILLED_AT_ONCE = 1 << 15
_CARRIED = ["task", "key", "content", "width", "height", "vector"]


@stage("assemble", version=3)
def assemble(out: Output, catalog: TableRef, embeddings: list[TableRef]) -> None:
    """SAMPLES, one part per task with usable images, tasks in sorted order, rows by `sample_id`.

    `tasks.json` beside it counts `images` (listed) and `usable` of every task that was listed; listed = usable + rejected.
    Facts: `pool`, one digest over all sample ids; `reuploaded`, objects with another etag than before and the same bytes
    (listing alone counts them as changed).
    Raises SupplyError when no image of the pool is usable.
    """
    listed: dict[str, int] = table_store.facts(catalog)["listed"]
    usable: Counter[str] = Counter()
    digests, reuploaded = [], 0
    with scratch("assemble") as folder:
        spilled, gone = _spill(catalog, embeddings, folder)
        for number, task in enumerate(sorted(spilled), start=1):
            table = _read(spilled[task])
            reuploaded += len(gone.intersection(_objects(table))) if gone else 0
            ids = _write_task(out, task, table)
            usable[task] = len(ids)
            digests.append(task_digest(task, ids))
            again = f", {reuploaded:,} re-uploaded with the same bytes" if reuploaded else ""
            progress.report("assemble", "samples", number, len(spilled), "tasks", f"{usable.total():,} samples{again}")
    counts = {task: {"images": listed[task], "usable": usable[task]} for task in sorted(listed)}
    out.note(pool=short_digest(*digests), reuploaded=reuploaded)
    out.write_file(TASKS, json.dumps(counts, ensure_ascii=False, indent=1).encode())
    if not usable.total():
        raise SupplyError(
            "no image of the pool is usable",
            where="source",
            expected="at least one image that decodes",
            got=f"{sum(listed.values()):,} objects, all rejected",
            fix="look at the rejects of ingest and embed for the reasons",
        )


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


def _write_task(out: Output, task: str, table: pa.Table) -> list[str]:
    """One task's samples; returns their ids. Of a content's keys the smallest stays."""
    kept: dict[str, int] = {}
    keys, contents = table["key"].to_pylist(), table["content"].to_pylist()
    for row in sorted(range(len(keys)), key=keys.__getitem__):
        first = kept.setdefault(contents[row], row)
        if keys[first] != keys[row]:
            told, ident = f"the same bytes as {keys[first]}", sample_id(task, contents[row])
            out.reject(task=task, key=keys[row], id=ident, reason=Reason.DUPLICATE, detail=told)
    named = sorted((sample_id(task, content), row) for content, row in kept.items())
    rows = table.take(pa.array([row for _, row in named], pa.int64())).combine_chunks()
    schema = samples(table.schema.field("vector").type.list_size)
    idents = pa.array([ident for ident, _ in named], pa.string())
    columns = [idents if name == "sample_id" else rows[name].combine_chunks() for name in schema.names]
    out.write(pa.Table.from_arrays(columns, schema=schema), schema, task)
    return [ident for ident, _ in named]
