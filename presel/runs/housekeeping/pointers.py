"""What no manifest covers: the claims of versions, and the small documents that say which version, record or catalog is latest.

None of them is data, and each is made again or passed over by the next run. But a person or a script reads `latest.json`, and a
claim says what a number was given to: both must say what the versions themselves say. A pointer that merely lags behind, as
after a run that was killed between two writes, is no fault.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from presel.dataset import versions
from presel.errors import IntegrityError, NotFound, PreselError
from presel.runs import run_record
from presel.sources import catalog
from presel.storage import Store, open_store
from presel.tables.schemas import DatasetRef


def wrong_pointers(version: DatasetRef) -> Iterator[str]:
    """Faults in words: the claim of this whole version, its name's `latest.json` and record, and every catalog pointer."""
    store = version.uri.removesuffix(f"/datasets/{version.name}/{version.version}")
    place = open_store(store)
    try:
        yield from _claim(place, version)
    except PreselError as error:
        yield f"version {version.version}: claim.json: {error.what}"
    yield from _latest(place, store, version.name)
    yield from _record(store, version.name)
    yield from _catalogs(place, store)


def _claim(place: Store, version: DatasetRef) -> Iterator[str]:
    """It promised what the manifest says, and the libraries that the version names."""
    folder = f"datasets/{version.name}/{version.version}"
    said = {**versions.manifest(version), "libraries": _document(versions.file(version, "versions.json"))}
    promise = _document(place.read(f"{folder}/claim.json"))
    if promise is None or any(said.get(name) != value for name, value in promise.items()):
        yield f"version {version.version}: claim.json does not promise what was published"


def _latest(place: Store, store: str, name: str) -> Iterator[str]:
    path = f"datasets/{name}/latest.json"
    try:
        pointer = _document(place.read(path)) or {}
    except NotFound:
        return  # the next run writes it
    try:
        named = versions.find(store, name, int(pointer["version"]))
    except (PreselError, KeyError, TypeError, ValueError):
        yield f"{path} names no version that is there"
        return
    if pointer != named.model_dump(mode="json", exclude={"uri"}):
        yield f"{path} does not say what version {named.version} is"


def _record(store: str, name: str) -> Iterator[str]:
    wrong: dict[str, None] = {}  # the two records may be of one run
    for which in (run_record.latest, run_record.published):
        try:
            if (record := which(store, name)) is not None:
                catalog.changes(record.catalog)
        except NotFound:
            continue
        except IntegrityError as error:
            wrong[f"{error.where}: {error.what}"] = None
    yield from wrong


def _catalogs(place: Store, store: str) -> Iterator[str]:
    for entry in place.list("catalogs/"):
        try:
            catalog.pointed(store, entry.path)
        except NotFound:
            continue
        except IntegrityError as error:
            yield f"{entry.path}: {error.what}"


def _document(data: bytes) -> dict[str, Any] | None:
    """None for what is no document."""
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
