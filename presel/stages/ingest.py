"""What is there: one row for every image of the source, known from listing alone.

The catalog only ever grows. A refresh writes the objects it has not seen into new parts and takes the old parts over as they
are, so their embeddings keep their keys: 1,000 new images in a pool of a million cost one new part. Objects that went away stay
in their part and are named in `removed.parquet`, which `assemble` subtracts. Two pointers are a convenience: `latest.json`, the
catalog that was written last and that the next one grows from, and `listed.json`, what the listing before came to, which may be
an older one again. Without them a full catalog is made, in which all is new, as on a fresh store.

The key is the listing itself (keys, etags, sizes) and the file that names tasks, if there is one; so this is not a stage like
the others: it has to look first. An unchanged pool finds the catalog it had, and no object is read.

Memory does not grow with the pool: the listing and the catalogs it is compared with are read side by side in ranges of the key.
What is refused by its name and what went away are held.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from presel.concurrency import progress
from presel.config import SourceConfig
from presel.config.keys import stage_key
from presel.errors import IntegrityError, NotFound, SupplyError
from presel.sources import Source, open_source
from presel.sources.catalog import REMOVED, Changes, note_changes, point, pointed, removed_ids
from presel.sources.listing import Listing, take_listing
from presel.tables import table_store
from presel.tables.ordered import Ordered, regrouped, side_by_side
from presel.tables.schemas import CATALOG, INT, TEXT, Part, TableRef
from presel.tables.scratch import scratch
from presel.tables.table_store import Output

log = logging.getLogger(__name__)
NAME, VERSION = "ingest", 2
_AT_EASE = 2000
"""Task runs of one stage that Prefect shows and keeps without trouble."""
_LATEST, _LISTED = "latest.json", "listed.json"
_ROWS = pa.schema([("image_id", TEXT), ("key", TEXT), ("at", INT), ("present", pa.bool_())])
_GONE = pa.schema([("image_id", TEXT), ("just_now", pa.bool_()), ("at", INT)])
_NAMES = pa.schema([("image_id", TEXT), ("key", TEXT)])
_READ_AT_ONCE = 1 << 17


class Known(NamedTuple):
    """A catalog that there is."""

    key: str
    parts: tuple[Part, ...]
    rows: Ordered
    """`at`: their place, part after part. `present`: the source held it when it was listed."""


def ingest(source: SourceConfig, store: str) -> TableRef:
    """The catalog of what the source holds now. Raises SupplyError when that is nothing at all.

    Facts: `images`, `new`, `kept`, `changed` and `removed` against the listing before, `listed` per task, rejects included, and
    `absent`, the keys that a mapping names and the source does not hold. `catalog.changes` says what the latest listing
    found, also where it came to a catalog that was there already.
    """
    opened = open_source(source)
    with scratch("ingest") as folder:
        return _ingest(opened, take_listing(opened, store, folder), store, folder)


def _ingest(source: Source, listing: Listing, store: str, folder: Path) -> TableRef:
    if not listing.per_task:
        raise SupplyError(
            "the source holds no objects",
            where=source.config.uri,
            expected="images",
            got="an empty listing",
            fix="check `source.uri`, and whether the folder is mounted; nothing was changed",
        )
    mapping = source.task_map.digest if source.task_map else None
    key = stage_key(NAME, VERSION, {"source": source.config, "listing": listing.digest, "mapping": mapping})
    catalog, told = table_store.find(store, NAME, key), _pointed(source, store, _LISTED)
    if catalog is not None and told is not None and told.key == key:
        changes = Changes(new=0, kept=listing.images.num_rows, changed=0, removed=0)
    else:
        before = _known(store, told, folder)
        changes = _changes(listing.images, before)
        catalog = catalog or _write(Output(store, NAME, key), source, listing, before, changes, folder)
    note_changes(catalog, changes)
    if told is None or told.key != key:
        point(store, _pointer(source, _LISTED), catalog)
    _report(listing, changes)
    return catalog


def _write(out: Output, source: Source, listing: Listing, before: Known, changes: Changes, folder: Path) -> TableRef:
    latest = _pointed(source, out.store, _LATEST)
    grown = before if latest is None or latest.key == before.key else _known(out.store, latest, folder)
    images = listing.images
    out.adopt(grown.parts)
    new = (_without(rows, held) for rows, held in side_by_side(images, grown.rows))
    parts = regrouped(new, CATALOG, source.config.part_size)
    for number, rows in enumerate(parts, start=len(grown.parts)):
        out.write(rows, CATALOG, f"{number:05d}")
    gone = (_gone(*rows) for rows in side_by_side(images, grown.rows, before.rows))
    removed = pa.concat_tables([_GONE.empty_table(), *gone]).sort_by("at").combine_chunks()
    out.write_file(REMOVED, table_store.encode(removed.drop_columns("at")))
    for row in listing.rejects:
        out.reject(**row)
    out.note(images=images.num_rows, **changes._asdict(), listed=listing.per_task, absent=listing.absent)
    catalog = out.commit({"source": source.config.model_dump(mode="json"), "listing": listing.digest})
    _warn_of_many(catalog, source.config.part_size)
    point(out.store, _pointer(source, _LATEST), catalog)
    return catalog


def _warn_of_many(catalog: TableRef, size: int) -> None:
    """Each part is a task run of embedding. Said when the catalog is written, which is when it can still be changed."""
    parts = len(catalog.parts)
    if parts > _AT_EASE:
        larger = 1000 * math.ceil(catalog.rows / _AT_EASE / 1000)
        said = "%d parts of %d images are as many task runs: set source.part_size to %d and list anew (docs/sources.md)"
        log.warning(said, parts, size, max(larger, 2 * size))


def _gone(images: pa.Table, held: pa.Table, before: pa.Table) -> pa.Table:
    """What the catalog holds and the source does not."""
    removed = _without(held, images)
    just_now = pc.is_in(removed["image_id"], value_set=_present(before)["image_id"])
    return pa.table([removed["image_id"], just_now, removed["at"]], schema=_GONE)


def _changes(images: Ordered, before: Known) -> Changes:
    """Of two listings, range by range: an image is in the range of its key, whatever its etag is."""
    found = [Changes(0, 0, 0, 0)]
    found += (_changes_in(rows, _present(old)) for rows, old in side_by_side(images, before.rows))
    return Changes(*map(sum, zip(*found, strict=True)))


def _changes_in(images: pa.Table, before: pa.Table) -> Changes:
    """A changed object is one whose key was known with another etag or task; it counts neither as new nor as removed."""
    unknown = _without(images, before)["key"]
    went = pc.unique(_without(before, images)["key"])
    changed = pc.sum(pc.is_in(unknown, value_set=went)).as_py() or 0
    still_there = pc.sum(pc.is_in(went, value_set=images["key"])).as_py() or 0
    return Changes(
        new=len(unknown) - changed,
        kept=images.num_rows - len(unknown),
        changed=changed,
        removed=len(went) - still_there,
    )


def _without(rows: pa.Table, others: pa.Table) -> pa.Table:
    """Rows whose image is not among the others."""
    return rows.filter(pc.invert(pc.is_in(rows["image_id"], value_set=others["image_id"])))


def _present(rows: pa.Table) -> pa.Table:
    return rows.filter(rows["present"])


def _report(listing: Listing, changes: Changes) -> None:
    images = listing.images.num_rows
    objects = images + len(listing.rejects)
    found = ", ".join(f"{count:,} {name}" for name, count in changes._asdict().items())
    note = f"{images:,} images, " + ("nothing changed" if changes == (0, images, 0, 0) else found)
    progress.report(NAME, "source", objects, objects, "objects", note)
    log.info("ingest: %s", note)


def _pointer(source: Source, name: str) -> str:
    return f"catalogs/{source.digest}/{name}"


def _pointed(source: Source, store: str, name: str) -> TableRef | None:
    try:
        return pointed(store, _pointer(source, name))
    except NotFound:
        return None
    except IntegrityError as error:
        log.warning("the pointer to a catalog cannot be used (%s)", error)
        return None


def _known(store: str, told: TableRef | None, folder: Path) -> Known:
    """A catalog as it was written, if all of it is there; else nothing, which costs time only."""
    try:
        found = table_store.find(store, NAME, told.key) if told else None
        if found is not None and found.parts:
            return Known(found.key, found.parts, _rows(found, folder))
    except (NotFound, IntegrityError) as error:
        log.warning("the catalog before cannot be used (%s): a full one is made", error)
    return Known("", (), Ordered(folder, _ROWS, "key"))


def _rows(catalog: TableRef, folder: Path) -> Ordered:
    rows, gone = Ordered(folder, _ROWS, "key"), removed_ids(catalog)
    parts = (table_store.read_part(catalog, part, ["image_id", "key"]) for part in catalog.parts)
    for table in regrouped(parts, _NAMES, _READ_AT_ONCE):
        at = pa.array(range(rows.num_rows, rows.num_rows + table.num_rows), INT)
        present = pc.invert(pc.is_in(table["image_id"], value_set=gone))
        rows.add(pa.table([table["image_id"], table["key"], at, present], schema=_ROWS))
    return rows
