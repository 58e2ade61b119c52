"""What is said of catalogs beside their rows: which of them the source does not hold any more, what is new since the last look,
and which catalog a listing starts from.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
from pydantic import ValidationError

from presel.errors import IntegrityError, NotFound
from presel.storage import open_store
from presel.storage.sealed import seal, unseal
from presel.tables import table_store
from presel.tables.schemas import TableRef

REMOVED = "removed.parquet"
_CHANGES, _FORMAT = "changes.json", 1


class Changes(NamedTuple):
    """Images of a listing against those of the listing before, by what can be known without reading any."""

    new: int
    kept: int
    changed: int
    """Known before with another etag or task."""
    removed: int


def removed_ids(catalog: TableRef, just_now: bool = False) -> pa.Array:
    """Image ids that the catalog's parts hold and the source does not. Parts are never rewritten, so they keep them.

    `just_now`: only those which the catalog before still held.
    """
    table = table_store.decode(table_store.file(catalog, REMOVED))
    if just_now:
        table = table.filter(table["just_now"])
    return table["image_id"].combine_chunks()


def note_changes(catalog: TableRef, changes: Changes) -> None:
    """What the latest listing that came to this catalog found. The one file there that is written again: a pool that has
    not changed since comes to the same catalog, and then nothing in it is new."""
    open_store(catalog.store).write(f"{catalog.folder}/{_CHANGES}", seal(changes._asdict(), _FORMAT))


def changes(catalog: TableRef) -> Changes:
    """What `note_changes` kept. Raises IntegrityError when it is not what was written."""
    try:
        data = table_store.file(catalog, _CHANGES)
    except NotFound:
        found = table_store.facts(catalog)
    else:
        where, fix = f"{catalog.folder}/{_CHANGES}", "the next run writes it anew"
        found = unseal(data, _FORMAT, what="what a listing found", where=where, fix=fix)
        if found.keys() != {*Changes._fields, "format"}:  # the name of its checksum may be what changed
            raise IntegrityError("what a listing found changed after it was written", where=where, fix=fix)
    return Changes(**{name: found[name] for name in Changes._fields})


def point(store: str, path: str, catalog: TableRef) -> None:
    """Keep a reference to a catalog as a document of its own."""
    open_store(store).write(path, seal(catalog.model_dump(mode="json"), _FORMAT))


def pointed(store: str, path: str) -> TableRef:
    """What `point` kept. Raises NotFound, and IntegrityError when it is not what was written."""
    place = open_store(store)
    what, fix = "the pointer to a catalog", "nothing: the next run takes every image for a new one, and writes it anew"
    where = place.locate(path)
    found = unseal(place.read(path), _FORMAT, what=what, where=where, fix=fix)
    try:
        return TableRef.model_validate({name: value for name, value in found.items() if name != "format"})
    except ValidationError as error:
        raise IntegrityError(f"{what} cannot be read", where=where, got=str(error), fix=fix) from error


def since_before(catalog: TableRef, samples: TableRef) -> dict[str, int]:
    """Images against the listing before, now that they have been read: `new`, `kept`, `changed`, `reuploaded` (touched, but the
    same bytes), `refused` (by their listing alone: the first five are all that was listed) and `removed`; and `absent`, keys
    that a mapping names and the source does not hold."""
    found = changes(catalog)
    same = min(found.changed, int(table_store.facts(samples).get("reuploaded", 0)))
    return {
        "new": found.new,
        "kept": found.kept,
        "changed": found.changed - same,
        "reuploaded": same,
        "refused": catalog.rejects,
        "removed": found.removed,
        "absent": int(table_store.facts(catalog).get("absent", 0)),
    }


def in_words(since: dict[str, int]) -> str:
    """`since_before` as a sentence."""
    words = (
        f"Since the listing before: {since['new']:,} new, {since['kept']:,} kept, {since['changed']:,} changed, "
        f"{since['reuploaded']:,} re-uploaded unchanged, {since['removed']:,} removed; {since['refused']:,} refused unread."
    )
    absent = since["absent"]
    return f"{words} {absent:,} that the mapping names are not there." if absent else words
