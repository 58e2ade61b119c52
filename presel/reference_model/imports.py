"""Losses, IRS or weights that somebody has already, in place of a reference model: one table, checked like our own.

What is imported is told by the columns: two losses by `sample_id` or image `key` (the IRS is taken from them here, so floor and
estimator apply); or, by `task`, an `irs` or a `weight`. A value that is not a number is a missing value, never a NaN in
a sum: a sample becomes a reject, a task weighs as the mean of the others. A table that says two things about one
name is refused, because either choice would be a guess.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv
from pyarrow import json as arrow_json

from presel.errors import ConfigError, NotFound
from presel.storage import open_store
from presel.tables.schemas import INT, REAL, TEXT

FILE = "imported.parquet"
"""Beside the FIT table: the import as it was read."""
Kind = Literal["losses", "irs", "weight"]
WHERE = "reference_model.precomputed"
LOSSES = ("loss_with_question", "loss_without_question")
_TYPES = {
    **dict.fromkeys(("sample_id", "key", "task"), TEXT),
    **dict.fromkeys((*LOSSES, "irs", "weight"), REAL),
    "response_tokens": INT,
}
_MISSING = ["", "nan", "NaN", "NA", "N/A", "null", "None"]


def fetch(uri: str, where: str = WHERE) -> bytes:
    """The bytes of a table that the setting `where` names. Raises ConfigError when it is not there."""
    folder, _, name = uri.rpartition("/")
    try:
        return open_store(folder or ("/" if uri.startswith("/") else ".")).read(name)
    except NotFound as error:
        raise ConfigError(
            "the table is not there", where=where, got=uri, expected="a file", fix="correct it"
        ) from error


def parse(data: bytes, uri: str) -> pa.Table:
    """The columns we know, each of its type. Raises ConfigError when they do not say what to import, or say it twice."""
    try:
        table = _read(data, uri.rpartition(".")[2].lower())
        names = [name for name in _TYPES if name in table.column_names]
        table = table.select(names).cast(pa.schema([(name, _TYPES[name]) for name in names])).combine_chunks()
    except (pa.ArrowException, ValueError) as error:
        raise ConfigError(
            "the table cannot be read", where=f"{WHERE} = {uri}", expected="numbers and text", got=str(error)[:300]
        ) from error
    _one_row_a_name(table, kind_of(table, uri), uri)
    return table


def kind_of(table: pa.Table, uri: str = FILE) -> Kind:
    """What a table imports, by its columns."""
    names = set(table.column_names)
    if names & {"sample_id", "key"} and names >= set(LOSSES):
        return "losses"
    values = sorted(names & {"irs", "weight"})
    if "task" in names and len(values) == 1:
        return "irs" if values == ["irs"] else "weight"
    raise ConfigError(
        "the table's columns do not say what to import",
        where=f"{WHERE} = {uri}",
        expected="sample_id or key, loss_with_question, loss_without_question; or task and irs; or task and weight",
        got=", ".join(sorted(names)) or "none of these",
    )


def compare(table: pa.Table, tasks: Sequence[str]) -> tuple[list[str], list[str]]:
    """(unknown, missing): tasks it names that the pool lacks, and tasks of the pool without a usable value in it."""
    if "task" not in table.column_names:
        return [], []
    kind = kind_of(table)
    named, usable = set(table["task"].to_pylist()) - {None}, set(tasks)
    if kind != "losses":
        usable = {row["task"] for row in table.to_pylist() if value_of(row, kind) is not None}
    return sorted(named - set(tasks)), sorted(set(tasks) - (usable & named))


def value_of(row: dict[str, Any], kind: Kind) -> float | None:
    """A task's IRS or weight; None where the table has no usable number: not finite, or negative."""
    value: float | None = row[kind]
    return value if value is not None and 0 <= value < float("inf") else None


class ImportedLosses:
    """Rows by sample id, or by key (and task, where the table has it)."""

    def __init__(self, table: pa.Table) -> None:
        self._by_key = "sample_id" not in table.column_names
        self._tasks = "task" in table.column_names
        self._rows = {self._name(row): row for row in table.to_pylist()}

    def of(self, sample_id: str, task: str, key: str) -> dict[str, Any] | None:
        return self._rows.get(self._name({"sample_id": sample_id, "task": task, "key": key}))

    def _name(self, row: dict[str, Any]) -> tuple[str, ...]:
        if not self._by_key:
            return (row["sample_id"],)
        return (row["key"], row["task"]) if self._tasks else (row["key"],)


def _one_row_a_name(table: pa.Table, kind: Kind, uri: str) -> None:
    names = ["task"] if kind != "losses" else ["sample_id"] if "sample_id" in table.column_names else ["key", "task"]
    columns = [table[name].to_pylist() for name in names if name in table.column_names]
    twice = [name for name, count in Counter(zip(*columns, strict=True)).items() if count > 1]
    if twice:
        raise ConfigError(
            f"{len(twice)} names occur more than once",
            where=f"{WHERE} = {uri}",
            expected=f"one row for each {' and '.join(names)}",
            got=" / ".join(map(str, twice[0])),
        )


def _read(data: bytes, ending: str) -> pa.Table:
    if ending == "csv":
        convert = csv.ConvertOptions(column_types=_TYPES, null_values=_MISSING, strings_can_be_null=False)
        return csv.read_csv(io.BytesIO(data), convert_options=convert)
    if ending in ("jsonl", "ndjson"):
        return arrow_json.read_json(io.BytesIO(data))
    if ending == "parquet":
        return pq.read_table(io.BytesIO(data))
    raise ValueError(f"a file that ends in .{ending}; it must be .csv, .jsonl or .parquet")


def finite(value: Any) -> bool:
    """Whether a value of the table is a loss."""
    return value is not None and bool(pc.is_finite(pa.scalar(value, REAL)).as_py()) and value >= 0
