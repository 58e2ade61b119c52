"""A source's listing in the order of its keys, in Arrow arrays that go to the disk when they are many.

Sorted by key, so that nothing after it depends on the order in which a store happens to name its objects, or on how many
requests were made at once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from presel.concurrency import progress
from presel.config.keys import digest, image_id
from presel.images import Reason, not_an_image_by_name
from presel.sources import Source
from presel.sources.captions import is_caption
from presel.storage import Entry
from presel.tables.ordered import Ordered
from presel.tables.schemas import CATALOG
from presel.tables.table_store import encode_pieces

log = logging.getLogger(__name__)
_BATCH = 50_000
_NAMED = pa.schema([CATALOG.field("image_id"), CATALOG.field("size")])


@dataclass
class Listing:
    images: Ordered
    """CATALOG rows of what may be an image, by key and task."""
    rejects: list[dict[str, Any]] = field(default_factory=list)
    """What is known to be none from its listing alone, as arguments of Output.reject."""
    per_task: dict[str, int] = field(default_factory=dict)
    """Objects listed, rejects included; one that has several tasks counts in each."""
    absent: int = 0
    """Keys that the mapping names and the source does not hold."""
    captions: set[bytes] = field(default_factory=set)
    """Ids of the texts beside pictures (`source.captions`), which are no part of the pool."""
    digest: str = ""
    """The same for the same objects and etags, in whatever order they were listed."""


def take_listing(source: Source, store: str, folder: Path) -> Listing:
    """Everything the source holds, the store itself left out if it lies inside. `folder` is for what memory should not hold,
    and is to stay until the listing has been used."""
    listing = Listing(Ordered(folder, CATALOG, "key", "task"))
    counts: Counter[str] = Counter()
    for rows in _batches(source, store, listing, counts):
        listing.images.add(rows)
    listing.rejects = _once(listing.rejects, counts)
    if any(_repeats(rows).num_rows for rows in listing.images.ranges()):
        listing.images = _distinct_rows(listing.images, folder, counts)
    listing.per_task = dict(sorted(counts.items()))
    listing.digest = _digest(listing, folder)
    if source.task_map is not None:
        listed = sum(_distinct(rows["key"]) for rows in listing.images.ranges())
        listing.absent = max(
            0, len(source.task_map) - listed - len({row["key"] for row in listing.rejects if row["task"]})
        )
    return listing


def _digest(listing: Listing, folder: Path) -> str:
    named = (rows.select(_NAMED.names) for rows in listing.images.ranges())
    refused = "\n".join(sorted(row["id"] for row in listing.rejects))
    with TemporaryFile(dir=folder) as said:
        encode_pieces(said, named, _NAMED)
        said.write(refused.encode())
        for ident in sorted(listing.captions):
            said.write(ident)
        return digest(said)


def _once(rejects: list[dict[str, str]], counts: Counter[str]) -> list[dict[str, str]]:
    """By key and task, each of them once: a server may repeat pages of a listing."""
    by_name = {(row["key"], row["task"]): row for row in rejects}
    counts.subtract(Counter(row["task"] for row in rejects))
    counts.update(task for _, task in by_name)
    return [by_name[name] for name in sorted(by_name)]


def _repeats(ordered: pa.Table) -> pa.Table:
    """Rows that name the same key and task as the row before."""
    return ordered.filter(_is_repeat(ordered))


def _is_repeat(ordered: pa.Table) -> pa.Array:
    first = pa.array([False] * min(1, ordered.num_rows))
    same = [
        pc.equal(values[1:], values[:-1]) for name in ("key", "task") for values in [ordered[name].combine_chunks()]
    ]
    return pa.concat_arrays([first, pc.and_(*same)])


def _distinct_rows(images: Ordered, folder: Path, counts: Counter[str]) -> Ordered:
    """The same without what was listed again. `counts` loses it."""
    once = Ordered(folder, CATALOG, "key", "task")
    for rows in images.ranges():
        repeated = _is_repeat(rows)
        once.add(rows.filter(pc.invert(repeated)))
        counts.subtract(rows["task"].filter(repeated).to_pylist())
    log.warning("the listing named %d objects more than once: each counts once", images.num_rows - once.num_rows)
    return once


def _distinct(ordered: pa.ChunkedArray) -> int:
    """Different values in a sorted column."""
    values = ordered.combine_chunks()
    return len(values) and 1 + (pc.sum(pc.not_equal(values[1:], values[:-1])).as_py() or 0)


def _batches(source: Source, store: str, listing: Listing, counts: Counter[str]) -> Iterator[pa.Table]:
    columns: dict[str, list[str | int]] = {name: [] for name in CATALOG.names}
    mapped = source.task_map is not None
    for seen, (key, task, entry) in enumerate(source.entries(without=store), start=1):
        if is_caption(source.config, key):
            listing.captions.add(bytes.fromhex(image_id(readable(key), entry.etag)))
            continue
        counts[readable(task)] += 1
        refused = _refused(key, task, entry, mapped)
        ident = image_id(readable(key), entry.etag, task if mapped else "")
        if refused:
            reason, detail = refused
            listing.rejects.append(
                {"task": readable(task), "key": readable(key), "id": ident, "reason": reason, "detail": detail}
            )
            continue
        row: tuple[str | int, ...] = (ident, key, task, entry.etag, entry.size)
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
        if len(columns["key"]) == _BATCH:
            progress.report("ingest", "source", seen, seen, "objects", "listing")
            yield pa.table(columns, schema=CATALOG)
            columns = {name: [] for name in CATALOG.names}
    yield pa.table(columns, schema=CATALOG)


def _refused(key: str, task: str, entry: Entry, mapped: bool) -> tuple[Reason, str] | None:
    if readable(key) != key:
        return Reason.UNREADABLE, "its name is not valid UTF-8"
    if not task:
        return Reason.NO_TASK, "the mapping does not name it" if mapped else "it lies where `source.tasks` finds none"
    by_name = not_an_image_by_name(key)
    if by_name:
        return Reason.NOT_AN_IMAGE, by_name
    if not entry.plain:
        return Reason.UNREADABLE, "not a plain file"
    if entry.archived:
        return Reason.ARCHIVED, "restore it, then refresh"
    if entry.size == 0:
        return Reason.ZERO_BYTE, ""
    return None


def readable(name: str) -> str:
    """A name as a table can hold it: file names may hold any bytes, which Python shows as lone surrogates."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
