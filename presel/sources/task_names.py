"""Which tasks a key belongs to: said by its first folder, by a table, or by an existing instruction dataset.

A mapping is data, not a setting: its digest is part of the catalog's key. A key may have several tasks (an image that is asked
about in two ways): each is a sample of its own, decoded and embedded once. The file is read as a stream.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from functools import partial
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from presel.config import SourceConfig
from presel.config.keys import short_digest
from presel.errors import ConfigError
from presel.sources import mapping, records
from presel.sources.mapping import MappingFile
from presel.sources.task_map import Pairs, TaskMap, hashed, relative

SINGLE_TASK = "all"
_COLUMNS = ("key", "task")
Row = tuple[str | None, ...]


def first_folder(key: str) -> tuple[str, ...]:
    """The task of a key in a source whose folders are tasks; nothing for an object at its root."""
    folder, separator, _ = key.partition("/")
    return (folder,) if separator and folder else ()


def load_task_map(config: SourceConfig, root: str) -> TaskMap:
    """The mapping that `config` names; `root` is the source's address, which the keys in it may start with.

    Raises ConfigError when there is no such file, when it is not of the kind that `config.tasks` says, or names no image.
    """
    one_a_task = (config.mapping or "").endswith("/")
    root = root.rstrip("/") + "/"
    found, digests = TaskMap(root), []
    for one in mapping.files(config):
        with one.opened() as file:
            found.add(_pairs(str(config.tasks), one, file, one.stem if one_a_task else "", root))
            digests += [one.stem, mapping.digest_of(file)] if one_a_task else [mapping.digest_of(file)]
    found.complete(short_digest(*digests) if one_a_task else digests[0])
    if not len(found):
        raise ConfigError(
            "the mapping names no image",
            where=config.mapping,
            expected="a key and a task" if config.tasks == "table" else f"records of a {config.tasks} dataset",
            got="none with one",
            fix="correct `source.mapping` or `source.tasks`",
        )
    return found


def captions_of(config: SourceConfig, root: str, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The text in the mapping's column `source.caption_field` for each wanted (key, task) that has one; the first counts.

    Raises ConfigError where there is no such column.
    """
    root = root.rstrip("/") + "/"
    named = {(hashed(key), task): (key, task) for key, task in wanted}
    found: dict[tuple[str, str], str] = {}
    for one in mapping.files(config):
        with one.opened() as file:
            for key, task, text in _table(one, file, (*_COLUMNS, config.caption_field)):
                place = named.get((hashed(relative(key, root)), task)) if key and task else None
                if place and text:
                    found.setdefault(place, text)
    return found


def _pairs(tasks: str, one: MappingFile, file: BinaryIO, named: str, root: str) -> Pairs:
    if tasks == "llava":
        return records.llava_tasks(records.parse(file, one.where), named, SINGLE_TASK, partial(relative, root=root))
    if tasks == "vision_flan":
        return records.vision_flan_tasks(records.parse(file, one.where), named)
    return ((key, task) for key, task in _table(one, file, _COLUMNS))


def _table(one: MappingFile, file: BinaryIO, columns: tuple[str, ...]) -> Iterator[Row]:
    readers = {"csv": _csv, "jsonl": _json_lines, "ndjson": _json_lines, "parquet": _parquet}
    if one.kind not in readers:
        kinds = ".csv, .jsonl, .ndjson or .parquet"
        raise ConfigError("unknown kind of table", where=one.where, expected=kinds, got=f".{one.kind}")
    try:
        for row in readers[one.kind](file, one.where, columns):
            if not all(value is None or isinstance(value, str) for value in row):
                raise ValueError(": ".join(map(repr, row)))
            yield row
    except (pa.ArrowException, csv.Error, KeyError, ValueError) as error:
        raise ConfigError(
            "the mapping cannot be read as a table",
            where=one.where,
            expected=f"columns {', '.join(f'`{name}`' for name in columns)}, all text",
            got=str(error)[:300],
        ) from error


def _csv(file: BinaryIO, _: str, columns: tuple[str, ...]) -> Iterator[Row]:
    # A spreadsheet begins its file with a byte order mark and ends lines with two characters.
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
    rows = csv.DictReader(text)
    if not set(columns) <= set(rows.fieldnames or ()):
        raise KeyError(f"columns {', '.join(rows.fieldnames or ()) or 'none'}")
    for row in rows:
        yield tuple(row[name] for name in columns)
    text.detach()  # it would close the file


def _json_lines(file: BinaryIO, where: str, columns: tuple[str, ...]) -> Iterator[Row]:
    for record in records.parse(file, where):
        yield tuple(record.get(name) for name in columns)


def _parquet(file: BinaryIO, _: str, columns: tuple[str, ...]) -> Iterator[Row]:
    table = pq.ParquetFile(file, pre_buffer=False)
    if not set(columns) <= set(table.schema_arrow.names):
        raise KeyError(f"columns {', '.join(table.schema_arrow.names)}")
    for batch in table.iter_batches(20_000, columns=list(columns), use_threads=False):
        yield from zip(*(batch[name].cast(pa.string()).to_pylist() for name in columns), strict=True)
