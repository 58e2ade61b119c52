"""One record of a version as every format gets it: words no tokenizer misreads, pictures by the name they are
copied under.

Records carry lists on purpose: one picture and one turn today, but a page with three pictures or a
question without any is a record, too, and each format says what it makes of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple

import pyarrow.parquet as pq

from presel.dataset.rows import rows
from presel.dataset.texts import neutral
from presel.dataset.trainer_formats import DIGEST
from presel.tables.ratings import FIELDS

RATED_BY = "visual_dependency_min"
"""The rating that records are chosen by."""


class Wanted(NamedTuple):
    """A picture of a sample, before it is copied."""

    name: str
    """What it is copied as, without an extension: the sample's id, and of several an ordinal."""
    key: str
    content: str


@dataclass(frozen=True)
class Record:
    """A record of a version; `turns` are pairs of question and answer."""

    id: str
    task: str
    turns: tuple[tuple[str, str], ...]
    wanted: tuple[Wanted, ...]
    ratings: Mapping[str, Any] = field(default_factory=dict)
    """The columns of ratings, in a version that has any."""


class Copied(NamedTuple):
    """A picture as it is handed over."""

    name: str
    extension: str
    """`jpg` or `png`: what the bytes are."""
    data: bytes

    @property
    def file(self) -> str:
        return f"{self.name}.{self.extension}"


COLUMNS = ("sample_id", "task", "key", DIGEST, "turns")
_RATED = tuple(name for name, _ in FIELDS)


def is_rated(data: BinaryIO) -> bool:
    """Whether any record of an open `data.parquet` has ratings; versions of presel 0.1 have no such columns."""
    if RATED_BY not in pq.read_schema(data).names:
        return False
    return any(row[RATED_BY] is not None for row in rows(data, (RATED_BY,)))


def records_of(data: BinaryIO, rated: bool = False, least: int | None = None) -> Iterator[Record]:
    """Records of an open `data.parquet`, in its order: by id. With ratings if it is `rated`.

    `least`: the rating of visual dependency that they must have.
    """
    for row in rows(data, (*COLUMNS, *_RATED) if rated else COLUMNS):
        if least is None or (row[RATED_BY] or 0) >= least:
            yield record_of(row)


def record_of(row: Mapping[str, Any]) -> Record:
    """A row of RECORDS as a record."""
    ratings = {name: row[name] for name in _RATED if name in row}
    turns = tuple((neutral(turn["question"]), neutral(turn["response"])) for turn in row["turns"])
    return Record(row["sample_id"], row["task"], turns, (Wanted(row["sample_id"], row["key"], row[DIGEST]),), ratings)
