"""What is there: one row for every image of the source, known from listing alone.

The catalog only ever grows. A refresh writes the objects it has not seen into new parts and takes the old parts over as they
are, so their embeddings keep their keys: 1,000 new images in a pool of a million cost one new part. Objects that went away stay
in their part and are named in `removed.parquet`, which `assemble` subtracts. What `latest.json` points at is a convenience:
without it a full catalog is made, which is also what a fresh store gets.

The key is the listing itself (keys, etags, sizes) and the file that names tasks, if there is one; so this is not a stage like
the others: it has to look first. An unchanged pool finds the catalog it had, and no object is read.
"""

from __future__ import annotations

import json
import logging

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from presel import progress, table_store
from presel.catalog import REMOVED
from presel.config import SourceConfig
from presel.errors import IntegrityError, NotFound, SupplyError
from presel.keys import stage_key
from presel.listing import Listing, take_listing
from presel.sources import Source, open_source
from presel.storage import open_store
from presel.table_store import Output
from presel.tables import CATALOG, Part, TableRef

log = logging.getLogger(__name__)
NAME, VERSION = "ingest", 1
Known = tuple[tuple[Part, ...], pa.Table]
"""Parts of the catalog before, and their (image_id, key) rows."""


def ingest(source: SourceConfig, store: str) -> TableRef:
    """The catalog of what the source holds now. Raises SupplyError when that is nothing at all.

    Facts: `images`, `new`, `kept`, `changed` and `removed` against the catalog before, `listed` per task, rejects included, and
    `absent`, the keys that a mapping names and the source does not hold.
    """
    opened = open_source(source)
    listing = take_listing(opened, store)
    if not listing.per_task:
        raise SupplyError(
            "the source holds no objects",
            where=source.uri,
            expected="images",
            got="an empty listing",
            fix="check `source.uri`, and whether the folder is mounted; nothing was changed",
        )
    mapping = opened.task_map.digest if opened.task_map else None
    key = stage_key(NAME, VERSION, {"source": source, "listing": listing.digest, "mapping": mapping})
    found = table_store.find(store, NAME, key)
    if found is not None:
        _report(listing, f"{listing.images.num_rows:,} images, nothing changed")
        return found
    catalog = _write(Output(store, NAME, key), opened, listing, _previous(opened, store))
    open_store(store).write(_pointer(opened), catalog.model_dump_json().encode())
    return catalog


def _write(out: Output, source: Source, listing: Listing, previous: Known) -> TableRef:
    images, (parts, old) = listing.images, previous
    new = images.filter(pc.invert(pc.is_in(images["image_id"], value_set=old["image_id"])))
    gone = pc.invert(pc.is_in(old["image_id"], value_set=images["image_id"]))
    out.adopt(parts)
    size = source.config.part_size
    for number, start in enumerate(range(0, new.num_rows, size), start=len(parts)):
        out.write(new.slice(start, size).combine_chunks(), CATALOG, f"{number:05d}")
    removed = old.filter(gone)
    out.write_file(REMOVED, table_store.encode(removed.select(["image_id"])))
    for row in listing.rejects:
        out.reject(**row)
    facts = _changes(images, new, removed)
    out.note(**facts, listed=listing.per_task, absent=listing.absent)
    _report(listing, ", ".join(f"{count:,} {name}" for name, count in facts.items()))
    return out.commit({"source": source.config.model_dump(mode="json"), "listing": listing.digest})


def _changes(images: pa.Table, new: pa.Table, removed: pa.Table) -> dict[str, int]:
    """A changed object is one whose key was known with another etag or task; it counts neither as new nor as removed."""
    changed = pc.sum(pc.is_in(new["key"], value_set=removed["key"])).as_py() or 0
    still_there = pc.sum(pc.is_in(pc.unique(removed["key"]), value_set=images["key"])).as_py() or 0
    return {
        "images": images.num_rows,
        "new": new.num_rows - changed,
        "kept": images.num_rows - new.num_rows,
        "changed": changed,
        "removed": len(pc.unique(removed["key"])) - still_there,
    }


def _report(listing: Listing, note: str) -> None:
    count = listing.images.num_rows + len(listing.rejects)
    progress.report(NAME, "source", count, count, "objects", note)


def _pointer(source: Source) -> str:
    return f"catalogs/{source.digest}/latest.json"


def _previous(source: Source, store: str) -> Known:
    """What the last change of this source left behind, if all of it is there; else nothing, which costs time only."""
    try:
        told = TableRef.model_validate_json(open_store(store).read(_pointer(source)))
        found = table_store.find(store, NAME, told.key)
        if found is not None and found.parts:
            return found.parts, table_store.read(found, ["image_id", "key"])
    except NotFound:
        pass
    except (IntegrityError, ValidationError, json.JSONDecodeError) as error:
        log.warning("the catalog before cannot be used (%s): a full one is made", error)
    return (), CATALOG.empty_table().select(["image_id", "key"])
