"""What is there: one row for every image of the source, known from listing alone.

The catalog only ever grows. A refresh writes the objects it has not seen into new parts and takes the old parts over as they
are, so their embeddings keep their keys: 1,000 new images in a pool of a million cost one new part. Objects that went away stay
in their part and are named in `removed.parquet`, which `assemble` subtracts. Two pointers are a convenience: `latest.json`, the
catalog that was written last and that the next one grows from, and `listed.json`, what the listing before came to, which may be
an older one again. Without them a full catalog is made, in which all is new, as on a fresh store.

The key is the listing itself (keys, etags, sizes) and the file that names tasks, if there is one; so this is not a stage like
the others: it has to look first. An unchanged pool finds the catalog it had, and no object is read.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from presel import progress, table_store
from presel.catalog import REMOVED, Changes, note_changes, removed_ids
from presel.config import SourceConfig
from presel.errors import IntegrityError, NotFound, SupplyError
from presel.keys import stage_key
from presel.listing import Listing, take_listing
from presel.sources import Source, open_source
from presel.storage import open_store
from presel.table_store import Output
from presel.tables import CATALOG, Part, TableRef

log = logging.getLogger(__name__)
NAME, VERSION = "ingest", 2
_LATEST, _LISTED = "latest.json", "listed.json"


class Known(NamedTuple):
    """A catalog that there is."""

    key: str
    parts: tuple[Part, ...]
    rows: pa.Table
    """(image_id, key) of all its parts."""
    gone: pa.Array
    """Image ids of these rows that the source did not hold any more when it was listed."""

    @property
    def present(self) -> pa.Table:
        if not len(self.gone):
            return self.rows  # a copy of a million of them is 90 MB
        return self.rows.filter(pc.invert(pc.is_in(self.rows["image_id"], value_set=self.gone)))


_NOTHING = Known(
    "",
    (),
    pa.table({"image_id": pa.array([], pa.string()), "key": pa.array([], pa.string())}),
    pa.array([], pa.string()),
)


def ingest(source: SourceConfig, store: str) -> TableRef:
    """The catalog of what the source holds now. Raises SupplyError when that is nothing at all.

    Facts: `images`, `new`, `kept`, `changed` and `removed` against the listing before, `listed` per task, rejects included, and
    `absent`, the keys that a mapping names and the source does not hold. `catalog.changes` says what the latest listing
    found, also where it came to a catalog that was there already.
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
    catalog = table_store.find(store, NAME, key)
    before = _known(store, _pointed(opened, store, _LISTED))
    if catalog is not None and before.key == key:
        changes = Changes(new=0, kept=listing.images.num_rows, changed=0, removed=0)
    else:
        changes = _changes(listing.images, before.present)
    catalog = catalog or _write(Output(store, NAME, key), opened, listing, before, changes)
    note_changes(catalog, changes)
    if before.key != key:
        _point(opened, store, _LISTED, catalog)
    _report(listing, changes)
    return catalog


def _write(out: Output, source: Source, listing: Listing, before: Known, changes: Changes) -> TableRef:
    latest = _pointed(source, out.store, _LATEST)
    grown = before if latest is None or latest.key == before.key else _known(out.store, latest)
    images, old, size = listing.images, grown.rows["image_id"], source.config.part_size
    new = images.filter(pc.invert(pc.is_in(images["image_id"], value_set=old)))
    out.adopt(grown.parts)
    for number, start in enumerate(range(0, new.num_rows, size), start=len(grown.parts)):
        out.write(new.slice(start, size).combine_chunks(), CATALOG, f"{number:05d}")
    removed = old.filter(pc.invert(pc.is_in(old, value_set=images["image_id"])))
    just_now = pc.is_in(removed, value_set=before.present["image_id"])
    out.write_file(REMOVED, table_store.encode(pa.table({"image_id": removed, "just_now": just_now})))
    for row in listing.rejects:
        out.reject(**row)
    out.note(images=images.num_rows, **changes._asdict(), listed=listing.per_task, absent=listing.absent)
    catalog = out.commit({"source": source.config.model_dump(mode="json"), "listing": listing.digest})
    _point(source, out.store, _LATEST, catalog)
    return catalog


def _changes(images: pa.Table, before: pa.Table) -> Changes:
    """A changed object is one whose key was known with another etag or task; it counts neither as new nor as removed."""
    unknown = images["key"].filter(pc.invert(pc.is_in(images["image_id"], value_set=before["image_id"])))
    went = before["key"].filter(pc.invert(pc.is_in(before["image_id"], value_set=images["image_id"])))
    pa.default_memory_pool().release_unused()  # looking ids up takes a table of them all, twice
    changed = pc.sum(pc.is_in(unknown, value_set=went)).as_py() or 0
    still_there = pc.sum(pc.is_in(pc.unique(went), value_set=images["key"])).as_py() or 0
    return Changes(
        new=len(unknown) - changed,
        kept=images.num_rows - len(unknown),
        changed=changed,
        removed=len(pc.unique(went)) - still_there,
    )


def _report(listing: Listing, changes: Changes) -> None:
    images = listing.images.num_rows
    objects = images + len(listing.rejects)
    found = ", ".join(f"{count:,} {name}" for name, count in changes._asdict().items())
    note = f"{images:,} images, " + ("nothing changed" if changes == (0, images, 0, 0) else found)
    progress.report(NAME, "source", objects, objects, "objects", note)
    log.info("ingest: %s", note)


def _pointer(source: Source, name: str) -> str:
    return f"catalogs/{source.digest}/{name}"


def _point(source: Source, store: str, name: str, catalog: TableRef) -> None:
    open_store(store).write(_pointer(source, name), catalog.model_dump_json().encode())


def _pointed(source: Source, store: str, name: str) -> TableRef | None:
    try:
        return TableRef.model_validate_json(open_store(store).read(_pointer(source, name)))
    except NotFound:
        return None
    except ValidationError as error:
        log.warning("the pointer to a catalog cannot be used (%s)", error)
        return None


def _known(store: str, told: TableRef | None) -> Known:
    """A catalog as it was written, if all of it is there; else nothing, which costs time only."""
    if told is None:
        return _NOTHING
    try:
        found = table_store.find(store, NAME, told.key)
        if found is not None and found.parts:
            return Known(found.key, found.parts, table_store.read(found, ["image_id", "key"]), removed_ids(found))
    except (NotFound, IntegrityError) as error:
        log.warning("the catalog before cannot be used (%s): a full one is made", error)
    return _NOTHING
