"""Dataset versions on a store: numbers claimed once, files written whole, complete when the manifest exists.

`<store>/datasets/<name>/<n>/` is immutable. Two refreshes at once, or one that is killed and tried again, must neither mix
their files nor lose a number that a trainer already reads. So the number is claimed by a conditional create of
`claim.json`, which says what the version will hold; the files follow; `manifest.json` (SHA-256 and size of each) is created
last. A claim without a manifest is an unfinished version. A run that is about to publish exactly what the claim promised
finishes it under the same number (the bytes are the same, so it does not matter which run writes them, or whether both do).
Any other run leaves it alone and takes the next number, so gaps between numbers are normal. `latest.json` is written after the
manifest, for people and shell scripts; the program itself lists the manifests, which cannot be out of date.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from presel.config.keys import digest, short_digest
from presel.errors import AlreadyExists, IntegrityError, NotFound
from presel.storage import open_store
from presel.storage.sealed import seal, unseal
from presel.tables.schemas import DatasetRef

FORMAT = 2
"""Of the manifest. Raise it when a reader of an older version would misread a newer one.

1: `data.parquet` had its image digests in a column `content`, and the card was `card.md`."""
Files = Mapping[str, bytes | BinaryIO]
"""What a version will hold, by name: the large ones as open files."""


def latest(store: str, name: str) -> DatasetRef | None:
    """The newest complete version, if there is one."""
    complete = versions(store, name)
    return find(store, name, complete[-1]) if complete else None


def versions(store: str, name: str) -> list[int]:
    """Numbers of the complete versions, ascending."""
    return _numbers(store, name, "manifest.json")


def find(store: str, name: str, version: int) -> DatasetRef:
    """A complete version. Raises NotFound when it was never published or never finished."""
    found = open_store(store)
    uri = found.locate(_folder(name, version))
    try:
        said = _manifest(uri)
    except NotFound as error:
        known = ", ".join(map(str, versions(store, name))) or "none"
        raise NotFound(
            f"dataset '{name}' has no version {version}", where=found.uri, fix=f"there is: {known}"
        ) from error
    return DatasetRef(name=name, version=version, uri=uri, digest=said["digest"], records=said["records"])


def published(store: str, name: str, version: int | None = None) -> DatasetRef:
    """That version, or the latest. Raises NotFound when there is none."""
    found = latest(store, name) if version is None else find(store, name, version)
    if found is None:
        raise NotFound(f"nothing has been published as '{name}' yet", where=store, fix="run `presel run`")
    return found


def manifest(ref: DatasetRef) -> dict[str, Any]:
    """What `manifest.json` says: files with sizes and digests, `content`, `before`, and where and when it was made."""
    return _manifest(ref.uri)


def file(ref: DatasetRef, name: str) -> bytes:
    """One file of a version. Raises NotFound, and IntegrityError when its bytes are not those that were published."""
    data = open_store(ref.uri).read(name)
    _check(ref, name, digest(data))
    return data


def opened(ref: DatasetRef, name: str) -> BinaryIO:
    """One that is too large to be held, read once to be checked. Raises what `file` does."""
    found = open_store(ref.uri).open(name)
    _check(ref, name, digest(found))
    return found


def _check(ref: DatasetRef, name: str, got: str) -> None:
    promised = manifest(ref)["files"].get(name)
    if promised is None or got != promised["sha256"]:
        raise IntegrityError(
            "a published file changed",
            where=f"{ref.uri}/{name}",
            expected=promised and promised["sha256"],
            got=got,
        )


def verify(ref: DatasetRef) -> list[str]:
    """What is wrong with a version's files, in words; nothing when all are there and unchanged."""
    try:
        names = sorted(manifest(ref)["files"])
    except (NotFound, IntegrityError) as error:
        return [f"manifest.json: {error.what}"]
    wrong = []
    for name in names:
        try:
            opened(ref, name).close()
        except (NotFound, IntegrityError) as error:
            wrong.append(f"{name}: {error.what}")
    return wrong


def content_digest(files: Files) -> str:
    """One digest over files by name and bytes."""
    return short_digest(*(f"{name}:{digest(files[name])}" for name in sorted(files)))


def claim(store: str, name: str, promise: Mapping[str, Any]) -> int:
    """A number for a version that will hold what `promise` says: one of the same promise, or the next free.

    One of the same promise may be complete by now. It names the version before it, so it is no older one with the same
    content, but that of a twin which was looked for a moment before it was there.
    """
    data = json.dumps(promise, indent=1, sort_keys=True).encode()
    while True:
        complete, claimed = versions(store, name), _numbers(store, name, "claim.json")
        for number in claimed:
            if open_store(store).read(f"{_folder(name, number)}/claim.json") == data:
                return number
        number = max([*claimed, *complete], default=0) + 1
        try:
            open_store(store).create(f"{_folder(name, number)}/claim.json", data)
        except AlreadyExists:
            continue  # somebody else was first: look again, it may be our twin
        return number


def complete(
    store: str, name: str, version: int, files: Files, about: Mapping[str, Any], run: Mapping[str, Any]
) -> DatasetRef:
    """Write the files of a claimed version, then its manifest, then `latest.json`; of a complete one nothing is written.

    `about` must depend on the content alone; `run` says when and where, and is in no digest.
    """
    found, folder = open_store(store), _folder(name, version)
    if found.exists(f"{folder}/manifest.json"):
        point_at_latest(store, name)
        return find(store, name, version)
    for file_name, data in files.items():
        found.write(f"{folder}/{file_name}", data)
    document = {
        **about,
        "name": name,
        "version": version,
        "digest": short_digest(name, str(version), content_digest(files)),
        "files": {file_name: {"sha256": digest(data), "bytes": _size(data)} for file_name, data in files.items()},
        "run": dict(run),
    }
    with suppress(AlreadyExists):  # our twin finished first, with the same files
        found.create(f"{folder}/manifest.json", seal(document, FORMAT))
    point_at_latest(store, name)
    return find(store, name, version)


def point_at_latest(store: str, name: str) -> None:
    """Make `latest.json` name the newest complete version, where it does not yet."""
    newest = latest(store, name)
    if newest is None:
        return
    path = f"datasets/{name}/latest.json"
    data = _json({"name": name, "version": newest.version, "digest": newest.digest, "records": newest.records})
    found = open_store(store)
    if not found.exists(path) or found.read(path) != data:
        found.write(path, data)


def _manifest(uri: str) -> dict[str, Any]:
    fix = "restore it from a backup; if there is none, delete the version's folder: the next run publishes another"
    return unseal(open_store(uri).read("manifest.json"), FORMAT, what="this version", where=uri, fix=fix)


def _numbers(store: str, name: str, marker: str) -> list[int]:
    root = f"datasets/{name}/"
    found = []
    for entry in open_store(store).list(root):
        number, _, rest = entry.path.removeprefix(root).partition("/")
        if rest == marker and number.isdigit():
            found.append(int(number))
    return sorted(found)


def _size(data: bytes | BinaryIO) -> int:
    return len(data) if isinstance(data, bytes) else data.seek(0, os.SEEK_END)


def _folder(name: str, version: int) -> str:
    return f"datasets/{name}/{version}"


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
