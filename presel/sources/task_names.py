"""Which tasks a key belongs to: said by its first folder, by a table, or by an existing instruction dataset.

A mapping is data, not a setting: it is read whole once an ingest, and its digest is part of the catalog's key. A key may have
several tasks (an image that is asked about in two ways): each is a sample of its own, decoded and embedded once.
A dictionary of a million keys takes about 200 MB, most of it the keys themselves; the few distinct task tuples are shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv
from pyarrow import json as arrow_json

from presel.config import SourceConfig
from presel.errors import ConfigError, NotFound
from presel.keys import digest
from presel.sources import records
from presel.storage import open_store

SINGLE_TASK = "all"
_COLUMNS = ["key", "task"]
Pairs = Iterable[tuple[str | None, str | None]]


@dataclass(frozen=True)
class TaskMap:
    """`tasks[key]`: the tasks of that key, sorted. `digest`: of the file they were read from."""

    tasks: Mapping[str, tuple[str, ...]]
    digest: str


def first_folder(key: str) -> tuple[str, ...]:
    """The task of a key in a source whose folders are tasks; nothing for an object at its root."""
    folder, separator, _ = key.partition("/")
    return (folder,) if separator and folder else ()


def load_task_map(config: SourceConfig, root: str) -> TaskMap:
    """The mapping that `config` names; `root` is the source's address, which the keys in it may start with.

    Raises ConfigError when there is no such file, when it is not of the kind that `config.tasks` says, or names no image.
    """
    where = config.mapping or ""
    data = _read(config)
    pairs: Pairs
    if config.tasks == "llava":
        pairs = records.llava_tasks(records.parse(data, where), SINGLE_TASK)
    elif config.tasks == "vision_flan":
        pairs = records.vision_flan_tasks(records.parse(data, where))
    else:
        pairs = _table(data, where)
    tasks = _collected(pairs, root.rstrip("/") + "/")
    if not tasks:
        raise ConfigError(
            "the mapping names no image",
            where=where,
            expected="a key and a task" if config.tasks == "table" else f"records of a {config.tasks} dataset",
            got=f"{len(data):,} bytes without one",
            fix="correct `source.mapping` or `source.tasks`",
        )
    return TaskMap(tasks, digest(data))


def _read(config: SourceConfig) -> bytes:
    """With the source's own access where the file lies in its bucket, else with what the environment says."""
    where = config.mapping or ""
    folder, _, name = where.rpartition("/")
    same_bucket = where.startswith("s3://") and where.split("/")[2] == config.uri.partition("://")[2].split("/")[0]
    try:
        return open_store(folder or ("/" if where.startswith("/") else "."), config.s3 if same_bucket else None).read(
            name
        )
    except NotFound as error:
        fix = "correct `source.mapping`"
        raise ConfigError("the mapping is not there", where=where, expected="a file", got="none", fix=fix) from error


def _collected(pairs: Pairs, root: str) -> dict[str, tuple[str, ...]]:
    tasks: dict[str, tuple[str, ...]] = {}
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    for named, task in pairs:
        if not named or not task:
            continue
        key = named.removeprefix(root)
        known = tasks.get(key, ())
        if task not in known:
            several = tuple(sorted((*known, task)))
            tasks[key] = shared.setdefault(several, several)
    return tasks


def _table(data: bytes, where: str) -> Iterator[tuple[str | None, str | None]]:
    try:
        table = _parsed(data, where.rpartition(".")[2].lower(), where)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise ConfigError(
            "the mapping cannot be read as a table",
            where=where,
            expected="columns `key` and `task`, both text",
            got=str(error)[:300],
        ) from error
    for batch in table.to_batches(max_chunksize=50_000):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _parsed(data: bytes, kind: str, where: str) -> pa.Table:
    schema = pa.schema([(name, pa.string()) for name in _COLUMNS])
    source = pa.BufferReader(data)
    if kind == "csv":
        convert = csv.ConvertOptions(column_types=schema, include_columns=_COLUMNS)
        parse = csv.ParseOptions(newlines_in_values=True)
        return csv.read_csv(source, parse_options=parse, convert_options=convert)
    if kind in ("jsonl", "ndjson"):
        options = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        return arrow_json.read_json(source, parse_options=options).select(_COLUMNS)
    if kind == "parquet":
        return pq.read_table(source, columns=_COLUMNS).select(_COLUMNS).cast(schema)
    raise ConfigError(
        "unknown kind of table", where=where, expected=".csv, .jsonl, .ndjson or .parquet", got=f".{kind}"
    )
