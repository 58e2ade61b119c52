"""A source's listing in the order of its keys, in Arrow arrays that go to the disk when they are many.

Sorted by key, so that nothing after it depends on the order in which a store happens to name its objects, or on how many
requests were made at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from presel import progress
from presel.images import Reason, not_an_image_by_name
from presel.keys import digest, image_id
from presel.sources import Source
from presel.storage import Entry
from presel.tables.ordered import Ordered
from presel.tables.schemas import CATALOG
from presel.tables.table_store import encode_pieces

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
    digest: str = ""
    """The same for the same objects and etags, in whatever order they were listed."""


def take_listing(source: Source, store: str, folder: Path) -> Listing:
    """Everything the source holds, the store itself left out if it lies inside. `folder` is for what memory should not hold,
    and is to stay until the listing has been used."""
    listing = Listing(Ordered(folder, CATALOG, "key", "task"))
    counts: Counter[str] = Counter()
    for rows in _batches(source, store, listing.rejects, counts):
        listing.images.add(rows)
    listing.rejects.sort(key=lambda row: (row["key"], row["task"]))
    listing.per_task = dict(sorted(counts.items()))
    listing.digest = _digest(listing, folder)
    if source.task_map is not None:
        listed = sum(_distinct(rows["key"]) for rows in listing.images.ranges())
        listing.absent = len(source.task_map) - listed - len({row["key"] for row in listing.rejects if row["task"]})
    return listing


def _digest(listing: Listing, folder: Path) -> str:
    named = (rows.select(_NAMED.names) for rows in listing.images.ranges())
    refused = "\n".join(sorted(row["id"] for row in listing.rejects))
    with TemporaryFile(dir=folder) as said:
        encode_pieces(said, named, _NAMED)
        said.write(refused.encode())
        return digest(said)


def _distinct(ordered: pa.ChunkedArray) -> int:
    """Different values in a sorted column."""
    values = ordered.combine_chunks()
    return len(values) and 1 + (pc.sum(pc.not_equal(values[1:], values[:-1])).as_py() or 0)


def _batches(source: Source, store: str, rejects: list[dict[str, Any]], counts: Counter[str]) -> Iterator[pa.Table]:
    columns: dict[str, list[str | int]] = {name: [] for name in CATALOG.names}
    mapped = source.task_map is not None
    for seen, (key, task, entry) in enumerate(source.entries(without=store), start=1):
        counts[_text(task)] += 1
        refused = _refused(key, task, entry, mapped)
        ident = image_id(_text(key), entry.etag, task if mapped else "")
        if refused:
            reason, detail = refused
            rejects.append({"task": _text(task), "key": _text(key), "id": ident, "reason": reason, "detail": detail})
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
    if _text(key) != key:
        return Reason.UNREADABLE, "its name is not valid UTF-8"
    if not task:
        return Reason.NO_TASK, "the mapping does not name it" if mapped else "it lies in no folder"
    by_name = not_an_image_by_name(key)
    if by_name:
        return Reason.NOT_AN_IMAGE, by_name
    if entry.archived:
        return Reason.ARCHIVED, "restore it, then refresh"
    if entry.size == 0:
        return Reason.ZERO_BYTE, ""
    return None


def _text(name: str) -> str:
    """A name that a table can hold; file names may hold any bytes, which Python shows as lone surrogates."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
