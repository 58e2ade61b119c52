"""An export read back, so that presel's own fine-tuning is shown what every other trainer is.

Of the form `hf` alone: pictures and dialogues lie in its shards. They come in the order of shards,
and a model is fitted in another one each epoch, so the pictures are laid out as files first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from presel.config.keys import digest
from presel.errors import InputError, NotFound
from presel.export.job import Side
from presel.export.place import MARKER, document
from presel.export.shapes import turns_of
from presel.storage import Store, open_store
from presel.tables.schemas import DatasetRef


def exported(uri: str) -> DatasetRef:
    """The version of a complete export, to be read from there; its digest is that of what the export promises.

    Raises NotFound where none lies, InputError where it has no form `hf`.
    """
    store = open_store(uri)
    said: dict[str, Any] = {}
    with suppress(NotFound, ValueError):
        said = document(store.read(MARKER))
    if not said:
        fix = "`presel export --to` writes one; of one that was ended run the command again"
        raise NotFound("no complete export lies there", where=store.uri, fix=fix)
    promise, records = said["promise"], said["records"]
    if not any(_side(name) for name in said["shards"]):
        fix = "`presel export --for hf`"
        raise InputError("the export has no form that can be read back", where=store.uri, expected="hf", fix=fix)
    name, version = promise["dataset"]["name"], promise["dataset"]["version"]
    ident = digest(json.dumps(promise, sort_keys=True).encode())
    return DatasetRef(name=name, version=version, uri=store.uri, digest=ident, records=sum(records.values()))


def unpacked(export: DatasetRef, folder: Path) -> Iterator[tuple[Side, dict[str, Any]]]:
    """Every record with its side, and its picture in `folder`, as a row with `sample_id`, `task`, `key`, `content`, `turns`.

    Raises InputError for a record that has not one picture.
    """
    store = open_store(export.uri)
    for name in sorted(document(store.read(MARKER))["shards"]):
        side = _side(name)
        for row in _rows(store, name) if side else ():
            if len(row["images"]) != 1:
                got = f"{len(row['images'])} in record {row['id']}"
                raise InputError("records of one picture can be fitted", where=f"{store.uri}/{name}", got=got)
            picture = row["images"][0]
            (folder / picture["path"]).write_bytes(picture["bytes"])
            yield side or "train", {
                "sample_id": row["id"], "task": row["task"], "key": picture["path"],
                "content": digest(picture["bytes"]), "turns": turns_of(row["conversations"]),
            }  # fmt: skip


def _rows(store: Store, name: str) -> Iterator[dict[str, Any]]:
    with store.open(name) as opened:
        file = pq.ParquetFile(opened, pre_buffer=False)
        for group in range(file.num_row_groups):
            yield from file.read_row_group(group, use_threads=False).to_pylist()


def _side(name: str) -> Side | None:
    """Of a shard of the form `hf`, which may lie in a folder of its own."""
    folder, _, file = name.rpartition("/")
    if folder not in ("data", "hf/data"):
        return None
    return "validation" if file.startswith("validation-") else "train"
